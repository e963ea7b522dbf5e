//! A memory limit around a process, held by the kernel: a control group where one may be made.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// A group with a limit. It goes when dropped.
#[derive(Debug)]
pub(super) struct Cage {
    directory: Option<PathBuf>,
}

/// Where groups are made, and the file that holds the limit: version 1, then version 2.
const PLACES: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
];

impl Cage {
    /// A limit of `bytes`; none where no group can be made, and then only what was resident tells.
    pub(super) fn new(bytes: u64) -> Self {
        let name = format!("skein-memory-{}-{bytes}", std::process::id());
        let made = PLACES
            .iter()
            .find_map(|(parent, limit)| make(&Path::new(parent).join(&name), limit, bytes));
        Self { directory: made }
    }

    /// Whether there is a limit.
    pub(super) fn is_closed(&self) -> bool {
        self.directory.is_some()
    }

    /// A command that runs `program` inside.
    pub(super) fn command(&self, program: &Path) -> Command {
        let Some(directory) = &self.directory else {
            return Command::new(program);
        };
        let mut command = Command::new("sh");
        let enter = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        command.args(["-c", enter]).arg(directory).arg(program);
        command
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // Refused while a process is inside, which is then being killed; it takes no memory when it is empty.
            let _ = fs::remove_dir(directory);
        }
    }
}

fn make(directory: &Path, limit: &str, bytes: u64) -> Option<PathBuf> {
    fs::create_dir(directory).ok()?;
    let limited = fs::write(directory.join(limit), bytes.to_string());
    if limited.is_err() {
        let _ = fs::remove_dir(directory);
        return None;
    }
    Some(directory.to_owned())
}
