//! Runs the binary, with a bound on everything.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest time that a command of these tests may take, other than those told to take longer.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How to call `skein`: which settings file, and what else is set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Skein {
    config: Option<PathBuf>,
    set: Vec<String>,
    environment: Vec<(String, String)>,
    input: Option<Vec<u8>>,
    patience: Option<Duration>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that is still running.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    held: Option<oneshot::Receiver<()>>,
    stderr: JoinHandle<String>,
}

impl Skein {
    pub(crate) fn with_config(file: &Path) -> Self {
        Self {
            config: Some(file.to_owned()),
            ..Self::default()
        }
    }

    /// Adds `--set key=value`.
    pub(crate) fn set(&self, assignment: &str) -> Self {
        let mut skein = self.clone();
        skein.set.push(assignment.to_owned());
        skein
    }

    /// Adds a variable to the environment.
    pub(crate) fn env(&self, variable: &str, value: &str) -> Self {
        let mut skein = self.clone();
        skein
            .environment
            .push((variable.to_owned(), value.to_owned()));
        skein
    }

    /// Gives standard input.
    pub(crate) fn input(&self, bytes: &[u8]) -> Self {
        let mut skein = self.clone();
        skein.input = Some(bytes.to_vec());
        skein
    }

    /// Allows more time than [`PATIENCE`].
    pub(crate) fn within(&self, patience: Duration) -> Self {
        let mut skein = self.clone();
        skein.patience = Some(patience);
        skein
    }

    /// Runs to the end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let stderr = tokio::spawn(collect(child.stderr.take().unwrap(), None));
        let run = async {
            if let Some(input) = &self.input {
                stdin.write_all(input).await.unwrap();
            }
            drop(stdin);
            child.wait_with_output().await.unwrap()
        };
        let patience = self.patience.unwrap_or(PATIENCE);
        // When it is late it is killed, and what it said until then is known.
        let output = timeout(patience, run).await;
        let stderr = stderr.await.unwrap();
        let output = output
            .unwrap_or_else(|_| panic!("skein {arguments:?} took over {patience:?}: {stderr}"));
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr,
        }
    }

    /// Runs to the end, which must be good; gives the JSON document on stdout.
    pub(crate) async fn report(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--format", "json"]].concat();
        let ended = self.run(&arguments).await;
        assert_eq!(ended.code, Some(0), "skein {arguments:?}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Runs to the end, which must be good; gives the last of the JSON lines on stdout, however many.
    pub(crate) async fn last_line(&self, arguments: &[&str]) -> Value {
        let run = async {
            let mut child = self.command(arguments).spawn().unwrap();
            drop(child.stdin.take());
            let stderr = tokio::spawn(collect(child.stderr.take().unwrap(), None));
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut last = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                last = line;
            }
            let status = child.wait().await.unwrap();
            assert!(status.success(), "{status}: {}", stderr.await.unwrap());
            last
        };
        let last = timeout(self.patience.unwrap_or(PATIENCE), run)
            .await
            .unwrap();
        serde_json::from_str(&last).unwrap()
    }

    /// Starts without waiting for the end; holds where `SKEIN_HOLD_AT` says, if at all.
    pub(crate) fn start(&self, arguments: &[&str], hold_at: Option<&str>) -> Running {
        let mut command = self.command(arguments);
        if let Some(point) = hold_at {
            command.env("SKEIN_HOLD_AT", point);
        }
        let mut child = command.spawn().unwrap();
        drop(child.stdin.take());
        let (announce, held) = oneshot::channel();
        let stderr = child.stderr.take().unwrap();
        Running {
            child,
            held: Some(held),
            stderr: tokio::spawn(collect(stderr, Some(announce))),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        for assignment in &self.set {
            command.arg("--set").arg(assignment);
        }
        command
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Ended {
    /// That the command refused with `code` and said all of `words` on stderr, and nothing on stdout.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "`{word}` is missing: {}",
                self.stderr
            );
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.stdout, "");
    }
}

impl Running {
    /// Waits until it says that it holds.
    pub(crate) async fn wait_until_held(&mut self, patience: Duration) {
        let held = self.held.take().unwrap();
        if !matches!(timeout(patience, held).await, Ok(Ok(()))) {
            self.child.start_kill().unwrap();
            let stderr = (&mut self.stderr).await.unwrap();
            panic!("it does not hold: {stderr}");
        }
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn ended(self, patience: Duration) -> Ended {
        let output = timeout(patience, self.child.wait_with_output()).await;
        let output = output.expect("it ends in time").unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: self.stderr.await.unwrap(),
        }
    }
}

/// Reads all of stderr, and tells when a line says that the process holds.
async fn collect(
    stderr: impl AsyncRead + Unpin,
    mut announce: Option<oneshot::Sender<()>>,
) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut text = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("holding at ")
            && let Some(announce) = announce.take()
        {
            let _ = announce.send(());
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}
