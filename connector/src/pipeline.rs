//! The connector at work: checks what it needs, then drives the core on Kafka, threads and the bucket.

mod shard_map_watch;
mod janitor_turns;
mod end_watch;
mod order_desk;
mod driver;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use skein_config::Settings;
use skein_config::connector::ConnectorSettings;
use skein_config::kafka::lookup_client::LookupClient;
use skein_config::kafka::{FetchShare, FirstPosition, KafkaSettings};
use skein_shared::bucket::Bucket;
use skein_shared::format::ledger_entry::StartPolicy;
use skein_shared::ids::WorkerId;
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::TimestampMs;
use skein_shared::{shard_map_log, source_binding};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use crate::core::Until;

use crate::block_compressor::BlockCompressor;
use crate::bucket_request::{BucketRequests, Services};
use crate::chain_lookup::ChainLookup;
use crate::core::{Core, CoreOptions, Floors};
use crate::error::{Error, Result};
use crate::hold_point::Holding;
use crate::operations::{Operations, Order};
use crate::pipeline::driver::Driver;
use crate::pipeline::order_desk::OrderDesk;
use crate::record_source::RecordSource;
use crate::record_source::kafka::{ClusterView, KafkaSource, look};
use crate::report::{ConnectReport, Progress};

/// What a connector is set up with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The `[kafka]` section.
    pub kafka: KafkaSettings,
    /// The `[connector]` section.
    pub connector: ConnectorSettings,
    /// The routing that is to be in force; a change is published as a new version of the shard map.
    pub routing: Routing,
    /// Larger payloads go into quarantine.
    pub payload_limit: ByteCount,
    /// Where to.
    pub bucket: Bucket,
    /// When to end.
    pub until: Until,
}

/// How a running connector is talked with.
pub struct Controls {
    /// Cancelled to ask for the end: a last flush, a last commit, leaving the group.
    pub stop: CancellationToken,
    /// Raised to ask for a flush.
    pub flush: FlushSignal,
    /// Told how far it has come, about twice a second, on the polling thread: it must return at once.
    pub progress: Box<dyn Fn(&Progress) + Send>,
    /// Asks and tells it anything else; keep a clone of it.
    pub operations: Operations,
    /// Where that arrives.
    pub orders: Receiver<Order>,
}

/// Asks a running connector for a flush; clones ask the same one.
#[derive(Debug, Clone, Default)]
pub struct FlushSignal(Arc<AtomicBool>);

impl Setup {
    /// From all settings.
    pub fn of(settings: &Settings, bucket: Bucket, until: Until) -> Self {
        Self {
            kafka: settings.kafka.clone(),
            connector: settings.connector.clone(),
            routing: settings.shards.routing(),
            payload_limit: settings.limits.payload_bytes,
            bucket,
            until,
        }
    }
}

impl Controls {
    /// Nothing to be told, nobody to tell.
    pub fn silent() -> Self {
        Self::stopped_by(CancellationToken::new())
    }

    /// Ends when `stop` is cancelled; nobody to tell.
    pub fn stopped_by(stop: CancellationToken) -> Self {
        let (operations, orders) = Operations::new(stop.clone());
        Self {
            stop,
            flush: FlushSignal::default(),
            progress: Box::new(|_| {}),
            operations,
            orders,
        }
    }
}

impl FlushSignal {
    /// Asks for a flush of everything that was read so far.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl fmt::Debug for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controls")
            .field("stop", &self.stop)
            .field("flush", &self.flush)
            .finish_non_exhaustive()
    }
}

/// Runs a connector until its end. Partitions that had to be stopped stand in the report.
///
/// # Errors
/// `Transient` when brokers or bucket do not answer; `Invalid` when a topic, a setting, a permission or the
/// bucket's conditional writes are wrong. Nothing is lost by any error: what the ledger does not name is read
/// again at the next start.
///
/// # Cancel safety
/// Not cancel safe: dropped before its end it goes on in the background. Cancel [`Controls::stop`] instead.
pub fn run(setup: Setup, controls: Controls) -> BoxFuture<'static, Result<ConnectReport>> {
    Box::pin(async move {
        setup.bucket.probe().await?;
        let client = setup.kafka.lookup_client()?;
        let cluster = look_at_cluster(&client, &setup.kafka).await?;
        let source = setup.kafka.source_name();
        source_binding::bind(&setup.bucket, &source, &cluster.cluster_id).await?;
        tracing::info!(
            cluster = cluster.cluster_id,
            partitions = cluster.partitions,
            bucket = setup.bucket.url(),
            "connecting"
        );
        let lookup = ChainLookup::new(Arc::new(client), &setup.kafka.brokers);
        let kafka = setup.kafka.clone();
        let share = FetchShare {
            queue: setup.connector.memory_shares().kafka_queue,
            brokers: cluster.brokers,
        };
        run_on(setup, controls, lookup, move || {
            KafkaSource::join(&kafka, share)
        })
        .await
    })
}

/// Runs a connector on any source of records: `join` makes it, on the thread that polls it, and `lookup` knows where
/// its partitions end.
///
/// # Errors
/// As [`run`], but for what only Kafka can refuse.
///
/// # Cancel safety
/// As [`run`].
pub async fn run_on<S: RecordSource>(
    setup: Setup,
    controls: Controls,
    lookup: ChainLookup,
    join: impl FnOnce() -> Result<S> + Send + 'static,
) -> Result<ConnectReport> {
    let epoch = wall_clock();
    let map = shard_map_log::load_or_publish(&setup.bucket, &setup.routing, epoch).await?;
    end_watch::start(&lookup, &controls.operations, &controls.stop);
    let map_changes = shard_map_watch::start(&setup.bucket, map.version_count(), &controls.stop);
    janitor_turns::start(&setup.bucket, &setup.connector, &controls.stop);
    let runtime = Handle::current();
    let (outbox, report) = oneshot::channel();
    let polling = move || {
        let start = Start {
            runtime,
            lookup,
            epoch,
            map,
            map_changes,
        };
        let driven = join().and_then(|source| drive(setup, controls, start, source));
        // The receiver is gone only when `run` was dropped.
        let _ = outbox.send(driven);
    };
    let ended = |reason: String| Error::Ended {
        what: "the polling thread",
        reason,
    };
    thread::Builder::new()
        .name("poll".to_owned())
        .spawn(polling)
        .map_err(|error| ended(error.to_string()))?;
    report
        .await
        .map_err(|_| ended("it panicked, see the log".to_owned()))?
}

/// What the start found out.
struct Start {
    runtime: Handle,
    lookup: ChainLookup,
    epoch: TimestampMs,
    map: ShardMap,
    map_changes: shard_map_watch::MapChanges,
}

fn drive<S: RecordSource>(
    setup: Setup,
    controls: Controls,
    start: Start,
    source: S,
) -> Result<ConnectReport> {
    let holding = Arc::new(Holding::from_env());
    let services = Services::new(&setup.bucket, start.lookup, Arc::clone(&holding));
    let worker = WorkerId::random();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let compressors = setup
        .connector
        .compressors(u32::try_from(cores).unwrap_or(u32::MAX));
    let options = CoreOptions {
        settings: setup.connector.clone(),
        retry: setup.bucket.retry_policy().clone(),
        source: setup.kafka.source_name(),
        worker,
        seed: worker.0.as_u64_pair().1,
        epoch: start.epoch,
        shard_map: start.map,
        payload_limit_bytes: setup.payload_limit.0,
        start: match setup.kafka.first_position {
            FirstPosition::Earliest => StartPolicy::Earliest,
            FirstPosition::Latest => StartPolicy::Latest,
        },
        until: setup.until,
        floors: Floors::S3,
        compressors,
        mutant: None,
    };
    let desk = OrderDesk::new(&setup, controls.operations.vitals().clone());
    let driver = Driver {
        core: Core::new(options, Millis(0)),
        source,
        compressor: BlockCompressor::start(compressors)?,
        requests: BucketRequests::new(start.runtime.clone(), services),
        holding,
        controls,
        desk,
        map_changes: start.map_changes,
        bucket: setup.bucket,
        clock: driver::Clock::start(Instant::now()),
        turn: driver::Turn::default(),
        stopped: BTreeMap::new(),
    };
    driver.run(&start.runtime)
}

/// Asks the brokers whether every topic to read is there.
///
/// # Errors
/// As [`run`] at its start.
pub fn check_topics(kafka: &KafkaSettings) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        look_at_cluster(&kafka.lookup_client()?, kafka)
            .await
            .map(drop)
    })
}

async fn look_at_cluster(client: &LookupClient, kafka: &KafkaSettings) -> Result<ClusterView> {
    let (client, kafka) = (client.clone(), kafka.clone());
    let asked = tokio::task::spawn_blocking(move || look(&client, &kafka));
    asked.await.map_err(|error| Error::Ended {
        what: "the first question to the brokers",
        reason: error.to_string(),
    })?
}

fn wall_clock() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    TimestampMs(i64::try_from(millis).unwrap_or(i64::MAX))
}
