//! A migration in one process, from the first shadow write to the end of the old pipeline, while points come in and a reader
//! reads: both pipelines on one topic, three orgs that are moved, moved back and moved again.
//!
//! `live stream → connector → compactor`, and beside it `→ old pipeline`; the story asks the verbs, and the watcher compares
//! every read with what was sent.

mod sent_points;
mod picture;
mod live_stream;
mod nodes;
mod watcher;
mod story;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use serde::Serialize;
use skein_config::Settings;
use skein_config::load::{Layers, load};
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_shared::bucket::Bucket;
use skein_shared::ids::{OrgId, TopicName};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::migration_demo::live_stream::StreamSetup;
use crate::migration_demo::nodes::Nodes;
use crate::migration_demo::sent_points::SentPoints;
use crate::migration_demo::story::Story;
use crate::migration_demo::watcher::Watcher;

/// Everything that takes days in earnest takes seconds here.
const SETTINGS: &str = "
[connector]
flush_interval = \"1 s\"
status_interval = \"1 s\"

[compactor]
rollups = []
watermark_delay = \"0 s\"

[cutover]
unenrolled = \"old\"
poll = \"200 ms\"
liveness = \"5 s\"
clock_skew = \"100 ms\"
flush_interval = \"2 s\"
grid = \"1 s\"
hold = \"1 s\"
token_lifetime = \"1 s\"
late_horizon = \"4 s\"
";

/// What to do, and where.
#[derive(Clone)]
pub struct MigrationOptions {
    /// Where the bucket and the settings file lie; has to be new or empty.
    pub directory: PathBuf,
    /// Decides the points.
    pub seed: u64,
    /// Ends it early.
    pub cancel: CancellationToken,
    /// Told what happens.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What it came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MigrationReport {
    /// The orgs that were moved.
    pub orgs: Vec<u64>,
    /// Versions of their cutovers.
    pub versions: u64,
    /// Points that were sent, each counted once.
    pub points: u64,
    /// Records that were sent.
    pub records: u64,
    /// Reads while it went on, the last one among them.
    pub reads: u64,
    /// Points of all reads, each compared with what was sent.
    pub points_compared: u64,
    /// Differences between what was read and what was sent.
    pub differences: u64,
    /// The first of them.
    pub first_differences: Vec<String>,
    /// Comparisons of the two pipelines, and their verdicts.
    pub comparisons: Vec<String>,
    /// Who wrote and who was visible.
    pub picture: Vec<String>,
    /// Where everything lies.
    pub directory: PathBuf,
}

/// What it came to, and the services, which run until this is dropped.
#[derive(Debug)]
pub struct Migration {
    /// What it found.
    pub report: MigrationReport,
    /// Broker and bucket.
    pub stack: DevStack,
}

impl std::fmt::Debug for MigrationOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MigrationOptions")
            .field("directory", &self.directory)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Runs it on a runtime of several threads. Differences are findings of the report.
///
/// # Errors
/// A node, a verb or a comparison did not come to its end.
pub fn run(options: MigrationOptions) -> LocalBoxFuture<'static, Result<Migration>> {
    Box::pin(async move {
        let stack = DevStack::start(&DevStackOptions::new(options.directory.clone()))?;
        let settings = Arc::new(settings_of(&stack)?);
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let orgs = [OrgId(1), OrgId(2), OrgId(3)];
        let sent = SentPoints::default();
        let stop_stream = CancellationToken::new();
        let stream = tokio::spawn(live_stream::run(StreamSetup {
            kafka: settings.kafka.clone(),
            topic: topic_of(&settings)?,
            orgs: orgs.to_vec(),
            seed: options.seed,
            sent: sent.clone(),
            stop: stop_stream.clone(),
        }));
        let begun = bucket.now().await?;
        let nodes = Nodes::start(&settings, &bucket).await?;
        let mut watcher = Watcher::new(&settings, &bucket, sent.clone());
        let story = Story::new(&options, &settings, &bucket);
        let told = watcher.while_going(story.tell_all(&orgs)).await;
        stop_stream.cancel();
        let produced = stream
            .await
            .map_err(|error| Error::Ended(error.to_string()))??;
        nodes.end().await?;
        let (comparisons, timelines) = told?;
        watcher.look_last().await?;
        let ended = bucket.now().await?;
        let report = MigrationReport {
            orgs: orgs.iter().map(|org| org.0).collect(),
            versions: timelines.versions,
            points: sent.count(),
            records: produced.records,
            reads: watcher.reads(),
            points_compared: watcher.comparison().compared,
            differences: watcher.comparison().differences,
            first_differences: watcher.comparison().first.clone(),
            comparisons,
            picture: picture::draw(&timelines.newest, story::span(begun, ended)),
            directory: options.directory,
        };
        Ok(Migration { report, stack })
    })
}

fn topic_of(settings: &Settings) -> Result<TopicName> {
    let topic = settings.kafka.topics.first().cloned().unwrap_or_default();
    TopicName::new(topic).map_err(Error::Ended)
}

fn settings_of(stack: &DevStack) -> Result<Settings> {
    let file = stack.config_file().to_path_buf();
    let appended = OpenOptions::new()
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(SETTINGS.as_bytes()));
    appended.map_err(|source| Error::File {
        operation: "append to settings",
        file: file.display().to_string(),
        source,
    })?;
    Ok(load(&Layers {
        file: Some(file),
        ..Layers::default()
    })?)
}
