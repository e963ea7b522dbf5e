//! Runs the binary, with a bound on everything.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
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

/// A command that is still running, and what it has said so far.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: watch::Receiver<String>,
    stderr: watch::Receiver<String>,
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

    /// Keeps everything in a directory, which is made, instead of a store that speaks S3.
    pub(crate) fn keeping_in(&self, directory: &Path) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        self.set(&format!("bucket.url=\"file://{}\"", directory.display()))
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
        let stderr = tokio::spawn(collect(child.stderr.take().unwrap()));
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
            let stderr = tokio::spawn(collect(child.stderr.take().unwrap()));
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
        Running {
            stdout: follow(child.stdout.take().unwrap()),
            stderr: follow(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Starts without waiting for the end, and gives its standard input.
    pub(crate) fn start_fed(&self, arguments: &[&str]) -> (ChildStdin, Running) {
        let mut child = self.command(arguments).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let running = Running {
            stdout: follow(child.stdout.take().unwrap()),
            stderr: follow(child.stderr.take().unwrap()),
            child,
        };
        (stdin, running)
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
        wait_for(&mut self.stderr, "holding at ", patience).await;
    }

    /// Waits until it has said `words` on stderr; gives all that it has said there.
    pub(crate) async fn told(&mut self, words: &str) -> String {
        wait_for(&mut self.stderr, words, PATIENCE).await
    }

    /// Waits until it has printed `words`; gives all that it has printed.
    pub(crate) async fn printed(&mut self, words: &str) -> String {
        wait_for(&mut self.stdout, words, PATIENCE).await
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.borrow().clone()
    }

    /// Its number.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// How it ended, if it did; -1 stands for a signal.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let ended = self.child.try_wait().unwrap()?;
        Some(ended.code().unwrap_or(-1))
    }

    /// Ctrl-C.
    pub(crate) async fn interrupt(&self) {
        self.signal("INT").await;
    }

    /// Sends a signal by its name: `HUP`, `TERM`, `STOP`, `CONT`.
    pub(crate) async fn signal(&self, name: &str) {
        let process_id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill")
            .args(["-s", name, &process_id])
            .status();
        assert!(kill.await.unwrap().success());
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn ended(self, patience: Duration) -> Ended {
        let mut running = self;
        let ended = timeout(patience, running.child.wait()).await;
        let status = ended.expect("it ends in time").unwrap();
        Ended {
            code: status.code(),
            stdout: all_of(running.stdout).await,
            stderr: all_of(running.stderr).await,
        }
    }
}

/// Reads lines as they come.
fn follow(stream: impl AsyncRead + Unpin + Send + 'static) -> watch::Receiver<String> {
    let (text, receiver) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            text.send_modify(|text| {
                text.push_str(&line);
                text.push('\n');
            });
        }
    });
    receiver
}

async fn wait_for(text: &mut watch::Receiver<String>, words: &str, patience: Duration) -> String {
    if let Ok(Ok(said)) = timeout(patience, text.wait_for(|text| text.contains(words))).await {
        return said.clone();
    }
    panic!("`{words}` never came: {}", text.borrow().clone());
}

/// All of a stream, once it has ended.
async fn all_of(mut text: watch::Receiver<String>) -> String {
    while text.changed().await.is_ok() {}
    text.borrow().clone()
}

/// Reads all of stderr.
async fn collect(stderr: impl AsyncRead + Unpin) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut text = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Of a compaction that had nothing to do: it says which cutovers it goes by, at its start and every `cutover.poll` of 10 s,
/// and writes nothing besides.
#[track_caller]
pub(crate) fn check_idle_writes(report: &Value) {
    let count = |name: &str| report[name].as_u64().unwrap();
    assert!(
        count("write_requests") <= 1 + count("elapsed_ms") / 10_000,
        "{report}"
    );
}
