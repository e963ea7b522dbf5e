//! A memory limit around a process, held by the kernel: a control group where one may be made.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// A group with a limit. It goes when dropped.
#[derive(Debug)]
pub(super) struct Cage {
    directory: Option<PathBuf>,
}

/// What every group's name begins with; the number of the process that made it follows.
const NAME: &str = "skein-memory-";

/// Where groups are made, and the file that holds the limit: version 1, then version 2.
const PLACES: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
];

impl Cage {
    /// A limit of `bytes`; none where no group can be made, and then only what was resident tells. Groups that
    /// processes left behind when they were killed go first.
    pub(super) fn new(bytes: u64) -> Self {
        for (parent, _) in PLACES {
            remove_left(Path::new(parent));
        }
        let name = format!("{NAME}{}-{bytes}", std::process::id());
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

/// Removes the groups of processes that are no more. One that is not empty stays: the kernel refuses.
fn remove_left(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(maker_of);
        if maker.is_some_and(|maker| !Path::new("/proc").join(maker.to_string()).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The number of the process that made a group.
fn maker_of(name: &str) -> Option<u32> {
    let (maker, _) = name.strip_prefix(NAME)?.split_once('-')?;
    maker.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_processes_that_are_no_more_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        // Beyond what the kernel numbers processes with.
        let gone = format!("{NAME}4294967295-1");
        let ours = format!("{NAME}{}-1", std::process::id());
        let names = [
            gone.as_str(),
            &ours,
            "skein-memory-x-1",
            "other-4294967295-1",
        ];
        for name in names {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        remove_left(parent.path());
        let is_there = names.map(|name| parent.path().join(name).exists());
        assert_eq!(is_there, [false, true, true, true]);
    }
}
