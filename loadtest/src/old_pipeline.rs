//! The old pipeline: the system that this one takes over from, honestly built.
//!
//! A consumer for each partition, a buffer for each metric, and every few hours a file for each of them. It hands over by
//! offsets: a process goes on where the progress in the bucket ends, and what another one had in memory it reads again. It
//! obeys the timelines by each point's own timestamp, as the new pipeline does.
//!
//! `partition → metric buffers → flush → old files → old progress`

mod metric_buffers;
mod report;
mod flush;
mod fleet_acks;
mod partition;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use skein_config::Settings;
use skein_config::cutover::settings::CutoverSettings;
use skein_config::kafka::lookup_client::LookupClient;
use skein_config::kafka::{FirstPosition, KafkaSettings};
use skein_connector::chain_lookup::ChainLookup;
use skein_connector::record_source::kafka::{look, partitions};
use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::Attempt;
use skein_shared::format::old_progress::{OldCounts, OldProgress};
use skein_shared::ids::{Chain, Incarnation, WorkerId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::Offset;
use skein_shared::payload::Limits;
use skein_shared::units::{ByteCount, Millis};
use skein_shared::{old_log, source_binding};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::report::OldReport;

use self::fleet_acks::FleetAcks;
use self::flush::FileWriter;
use self::partition::{Common, Partition};
use self::report::Tally;
use crate::error::{Error, Result};

/// The most that a partition may hold, so that no metric has more points than a file may.
const LARGEST_BUFFERS: u64 = 512 << 20;
/// Time between two calls of the listener.
const TELL: Duration = Duration::from_millis(500);

/// What it is set up with.
#[derive(Debug, Clone)]
pub struct OldSetup {
    /// The `[kafka]` section.
    pub kafka: KafkaSettings,
    /// The `[cutover]` section.
    pub cutover: CutoverSettings,
    /// Bounds of a payload.
    pub limits: Limits,
    /// Where to.
    pub bucket: Bucket,
    /// When to end.
    pub until: Until,
    /// Time between two flushes of a partition.
    pub every: Millis,
    /// Memory for records and points; a partition that has its share of it full is flushed early.
    pub memory: ByteCount,
    /// Which partitions of every topic; all when it is empty. Other processes read the others.
    pub partitions: Vec<u32>,
}

/// When to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When it is asked to.
    Asked,
    /// When every partition is read to the end that it had at the start.
    End,
}

/// How a running one is talked with.
pub struct OldControls {
    /// Cancelled to ask for the end: a last flush of every partition.
    pub stop: CancellationToken,
    /// Told how far it has come, about twice a second.
    pub progress: Box<dyn Fn(&OldReport) + Send + Sync>,
}

impl OldSetup {
    /// From all settings, with a flush every four hours and 512 MiB.
    pub fn of(settings: &Settings, bucket: Bucket, until: Until) -> Self {
        Self {
            kafka: settings.kafka.clone(),
            cutover: settings.cutover.clone(),
            limits: settings.limits.limits(),
            bucket,
            until,
            every: Millis::seconds(4 * 3600),
            memory: ByteCount::mib(512),
            partitions: Vec::new(),
        }
    }
}

impl OldControls {
    /// Nobody to be told, nobody to tell.
    pub fn silent() -> Self {
        Self {
            stop: CancellationToken::new(),
            progress: Box::new(|_| {}),
        }
    }
}

impl std::fmt::Debug for OldControls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OldControls")
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

/// Runs it until its end.
///
/// # Errors
/// `Fenced` when another process has gone on with a partition; `Invalid` when a setting is wrong, or Kafka does not have
/// what comes next; `Transient` when brokers or bucket do not answer. After any of them the next process reads again what
/// was in memory.
///
/// # Cancel safety
/// Not cancel safe: dropped before its end it goes on in the background. Cancel [`OldControls::stop`] instead.
pub fn run(setup: OldSetup, controls: OldControls) -> BoxFuture<'static, Result<OldReport>> {
    Box::pin(async move {
        let started = Instant::now();
        let client = setup.kafka.lookup_client()?;
        let chains = chains(&setup, &client).await?;
        let count = chains.len() as u64;
        let bucket = setup.bucket.clone();
        let acks = FleetAcks {
            bucket: bucket.clone(),
            node: WorkerId::random(),
            poll: setup.cutover.poll.duration(),
        };
        acks.say().await?;
        let first = setup.kafka.first_position;
        let lookup = ChainLookup::new(Arc::new(client), &setup.kafka.brokers);
        let common = Arc::new(common(setup, acks.node, (count, controls.stop.clone())));
        let said = CancellationToken::new();
        let saying = tokio::spawn(acks.go_on(said.clone()));
        let mut running = JoinSet::new();
        let began = begin(&common, (&lookup, first), chains, &mut running).await;
        if began.is_err() {
            common.stop.cancel();
        }
        let tell = || (controls.progress)(&common.tally.report(started, count, &bucket));
        let ended = wait(running, &common.stop, tell).await;
        said.cancel();
        saying
            .await
            .map_err(|error| Error::Ended(error.to_string()))?;
        began.and(ended)?;
        Ok(common.tally.report(started, count, &bucket))
    })
}

/// The partitions to read, of the life of their topic that nobody knows of yet.
async fn chains(setup: &OldSetup, client: &LookupClient) -> Result<Vec<Chain>> {
    let (kafka, asked) = (setup.kafka.clone(), client.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let cluster = look(&asked, &kafka)?;
        Ok::<_, skein_connector::Error>((cluster, partitions(&asked, &kafka)?))
    });
    let looked = looking
        .await
        .map_err(|error| Error::Ended(error.to_string()))?;
    let (cluster, partitions) = looked?;
    let source = setup.kafka.source_name();
    source_binding::bind(&setup.bucket, &source, &cluster.cluster_id).await?;
    let wanted = &setup.partitions;
    let chains = partitions
        .into_iter()
        .filter(|it| wanted.is_empty() || wanted.contains(&it.partition.0))
        .map(|it| Chain {
            source: source.clone(),
            topic: it.topic,
            incarnation: Incarnation(0),
            partition: it.partition,
        });
    Ok(chains.collect())
}

fn common(setup: OldSetup, worker: WorkerId, (count, stop): (u64, CancellationToken)) -> Common {
    let share = setup.memory.0 / count.max(1);
    Common {
        kafka: setup.kafka,
        limits: setup.limits,
        writer: FileWriter {
            bucket: setup.bucket,
            unenrolled: setup.cutover.unenrolled.pipeline(),
            worker,
        },
        runtime: Handle::current(),
        stop,
        tally: Tally::default(),
        until: setup.until,
        every: setup.every.duration(),
        // What is flushed takes a part of the memory, too.
        queue: ByteCount(share / 4),
        buffers: ByteCount((share / 2).min(LARGEST_BUFFERS)),
    }
}

/// Starts a thread for each partition.
async fn begin(
    common: &Arc<Common>,
    (lookup, first): (&ChainLookup, FirstPosition),
    chains: Vec<Chain>,
    running: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let ledger = Ledger::new(common.writer.bucket.clone());
    for chain in chains {
        let view = lookup.look_up(&ledger, &chain).await?;
        let chain = Chain {
            incarnation: view.incarnation,
            ..chain
        };
        let (low, high) = (view.kafka_low, view.kafka_high);
        let from = match first {
            FirstPosition::Earliest => low,
            FirstPosition::Latest => high,
        };
        let progress = begin_at(&common.writer, &chain, from).await?;
        if !(low..=high).contains(&progress.to) {
            return Err(Error::OldPosition {
                chain,
                position: progress.to,
                reason: format!("kafka has the offsets from {low} to {high}"),
            });
        }
        let common = Arc::clone(common);
        running.spawn_blocking(move || Partition::open(common, progress, high)?.run());
    }
    Ok(())
}

/// The newest progress of a partition; of one that has none, the first.
async fn begin_at(writer: &FileWriter, chain: &Chain, from: Offset) -> Result<OldProgress> {
    if let Some(newest) = old_log::newest(&writer.bucket, chain).await? {
        return Ok(newest);
    }
    let first = OldProgress {
        chain: chain.clone(),
        number: 0,
        from,
        to: from,
        attempt: Attempt(fastrand::u64(..)),
        writer: writer.worker,
        fleet: 0,
        at: writer.bucket.now().await?,
        counts: OldCounts::default(),
        not_written_to: std::collections::BTreeMap::new(),
    };
    writer.append(&first).await?;
    Ok(first)
}

/// Waits for all partitions. The first that fails ends the others, which flush what they have.
async fn wait(
    mut running: JoinSet<Result<()>>,
    stop: &CancellationToken,
    tell: impl Fn(),
) -> Result<()> {
    let mut failed = Ok(());
    let mut ticks = tokio::time::interval(TELL);
    loop {
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            _ = ticks.tick() => {
                tell();
                continue;
            }
        };
        let Some(ended) = ended else { return failed };
        let ended = ended.unwrap_or_else(|error| Err(Error::Ended(error.to_string())));
        if ended.is_err() {
            stop.cancel();
            failed = failed.and(ended);
        }
    }
}
