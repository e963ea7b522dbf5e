//! A server process that dies with the process that started it, however that one ends.
//!
//! The server runs under a small shell that waits for its own standard input to close and then kills the
//! server and clears its directory. That input is a pipe we hold: it closes when we let go of it, and the
//! kernel closes it when we are killed.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// `$1` is the directory to clear, `$2` the files elsewhere, one a line; the rest is the server's command line.
const WRAPPER: &str = r#"
directory=$1; elsewhere=$2; shift 2
"$@" </dev/null 2>&1 &
server=$!
exec >/dev/null 2>&1
read -r _
kill -9 "$server"
wait "$server"
rm -rf -- "$directory"
set -f
IFS='
'
rm -f -- $elsewhere
"#;

/// Lines of output that wait to be looked at: more than any server says while it starts.
const LINES_WAITING: usize = 8192;

/// Lines of output that are kept for a message when the server fails.
const LINES_KEPT: usize = 20;

/// A running server process.
pub struct ServerProcess {
    name: &'static str,
    shell: Child,
    /// Taken out when dropped, which ends the server.
    leash: Option<ChildStdin>,
    output: Receiver<String>,
    last_lines: Vec<String>,
}

impl ServerProcess {
    /// Starts `command`. When the server ends, `directory` is removed.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub fn start(name: &'static str, directory: &Path, command: &[String]) -> Result<Self> {
        Self::start_clearing(name, directory, &[], command)
    }

    /// The same for a server that leaves files elsewhere, too, where nobody can tell it not to.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub fn start_clearing(
        name: &'static str,
        directory: &Path,
        elsewhere: &[String],
        command: &[String],
    ) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", WRAPPER, "sh"])
            .arg(directory)
            .arg(elsewhere.join("\n"))
            .args(command)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::start(name, "process"))?;
        let leash = shell.stdin.take();
        let stdout = shell.stdout.take();
        let (lines, output) = sync_channel(LINES_WAITING);
        // Reads to the end also when nobody listens any more, so that the server never blocks on a full
        // pipe.
        let reader = move || {
            let output = stdout
                .into_iter()
                .flat_map(|pipe| BufReader::new(pipe).lines());
            for line in output.map_while(std::result::Result::ok) {
                let _ = lines.try_send(line);
            }
        };
        thread::Builder::new()
            .name(format!("{name}-output"))
            .spawn(reader)
            .map_err(Error::start(name, "thread"))?;
        Ok(Self {
            name,
            shell,
            leash,
            output,
            last_lines: Vec::new(),
        })
    }

    /// Waits until `ready` says so, asking after every line of output and at least ten times a second.
    ///
    /// # Errors
    /// What the server said last, when it ended or was not ready within `patience`.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut(Option<&str>) -> bool,
    ) -> std::result::Result<(), String> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            let line = match self.output.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => Some(line),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.complaint("ended before it was ready"));
                }
            };
            if ready(line.as_deref()) {
                return Ok(());
            }
            self.last_lines.extend(line);
            let surplus = self.last_lines.len().saturating_sub(LINES_KEPT);
            self.last_lines.drain(..surplus);
        }
        Err(self.complaint("was not ready in time"))
    }

    fn complaint(&self, what: &str) -> String {
        let said = self.last_lines.join(" | ");
        format!("{} {what}; it said last: {said}", self.name)
    }
}

impl fmt::Debug for ServerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerProcess")
            .field("name", &self.name)
            .field("shell", &self.shell.id())
            .finish_non_exhaustive()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.leash.take());
        // Bounded: the shell only kills, which cannot be refused, and clears a directory.
        let _ = self.shell.wait();
    }
}
