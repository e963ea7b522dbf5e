//! Whether a connector keeps its memory, whatever comes: one worker process a scenario, its memory limited.
//!
//! The worker runs the real pipeline on a made topic and writes to an embedded bucket in this process, so that only
//! its own memory counts. Once it reads, the bucket stops answering, for longer than the group's session after
//! fetching has paused; then it answers again, and everything has to be caught up.

pub mod scenario;
pub mod parent_watch;
mod made_records;
pub mod worker;
mod cage;
pub mod report;
pub mod compressed_topic;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Mood, Storage};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::error::{Error, Result};
use crate::memory_load::cage::Cage;
use crate::memory_load::report::Measured;
use crate::memory_load::scenario::{PAYLOAD_LIMIT, Scenario};
use crate::memory_load::worker::Said;

/// What to run.
#[derive(Debug, Clone)]
pub struct MemoryLoadOptions {
    /// The `skein` binary, which the workers run.
    pub binary: PathBuf,
    /// How long the bucket does not answer after fetching has paused.
    pub stall: Duration,
    /// How long a scenario may take.
    pub patience: Duration,
    /// More settings, `key=value`, for every worker.
    pub set: Vec<String>,
}

/// Runs one scenario; `directory` holds the bucket's objects meanwhile.
///
/// # Errors
/// The bucket or the worker cannot be started. What the worker does wrong stands in what is measured.
pub fn run<'a>(
    options: &'a MemoryLoadOptions,
    scenario: Scenario,
    directory: &'a Path,
) -> LocalBoxFuture<'a, Result<Measured>> {
    Box::pin(async move {
        let storage = Storage::Directory(directory.to_owned());
        let bucket = EmbeddedBucket::start(BucketOptions::new(storage))?;
        bucket.create_bucket("skein")?;
        let mut measured = Measured {
            scenario,
            is_caged: false,
            stalled_ms: 0,
            last: None,
            fault: None,
        };
        let cage = Cage::new(measured.promised_bytes());
        measured.is_caged = cage.is_closed();
        let mut child = start(options, &scenario, &bucket, &cage)?;
        let watched = watch(options, &bucket, &mut child, &mut measured);
        if tokio::time::timeout(options.patience, watched)
            .await
            .is_err()
        {
            measured.fault = Some(format!("it did not end within {:?}", options.patience));
        }
        // A worker that has ended is not there any more, which is as good.
        let _ = child.kill().await;
        Ok(measured)
    })
}

fn start(
    options: &MemoryLoadOptions,
    scenario: &Scenario,
    bucket: &EmbeddedBucket,
    cage: &Cage,
) -> Result<Child> {
    let set = [
        format!("bucket.endpoint=\"{}\"", bucket.endpoint()),
        "bucket.path_style=true".to_owned(),
        format!("shards.modulus={}", scenario.shards),
        format!("limits.payload_bytes=\"{} MiB\"", PAYLOAD_LIMIT.0 >> 20),
        format!(
            "connector.memory_budget=\"{} MiB\"",
            scenario.budget_bytes >> 20
        ),
    ];
    let mut command = cage.command(&options.binary);
    command.args(["--bucket", "s3://skein/memory"]);
    for assignment in set.iter().chain(&options.set) {
        command.args(["--set", assignment]);
    }
    command
        .args(["loadtest", "memory-worker", "--scenario"])
        .arg(scenario.to_json())
        .env("SKEIN_LOG", "error")
        .env("AWS_ACCESS_KEY_ID", bucket.access_key())
        .env("AWS_SECRET_ACCESS_KEY", bucket.secret_key())
        // It ends when this pipe does.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error.to_string()))
}

/// Listens to the worker until it ends, and lets the bucket stall meanwhile.
async fn watch(
    options: &MemoryLoadOptions,
    bucket: &EmbeddedBucket,
    child: &mut Child,
    measured: &mut Measured,
) {
    let stdout = child.stdout.take().expect("it is a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let mut stalled_at = None;
    let mut paused_at = None;
    while let Some(said) = next(&mut lines).await {
        measured.last = Some(said);
        if said.records > 0 && stalled_at.is_none() {
            bucket.set_mood(Mood::Stalls);
            stalled_at = Some(Instant::now());
        }
        if said.is_paused && paused_at.is_none() {
            paused_at = Some(Instant::now());
        }
        let over = paused_at.is_some_and(|at| at.elapsed() >= options.stall);
        if over && measured.stalled_ms == 0 {
            bucket.set_mood(Mood::Serves);
            let stalled = stalled_at.map_or(Duration::ZERO, |at| at.elapsed());
            measured.stalled_ms = u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX);
        }
    }
    match child.wait().await {
        Ok(status) if status.success() => {}
        Ok(status) => measured.fault = Some(format!("the worker ended with {status}")),
        Err(error) => measured.fault = Some(error.to_string()),
    }
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Said> {
    let line = lines.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

fn failed(reason: &str) -> Error {
    Error::Process {
        command: "loadtest memory-worker".to_owned(),
        reason: reason.to_owned(),
    }
}
