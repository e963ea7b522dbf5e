//! How far everything is, partition by partition: ledger against Kafka, what holds the watermark back, and
//! what waits for a person. From the bucket alone; whoever can reach Kafka adds its ends.

mod needs;

use std::collections::BTreeMap;

use futures::future::LocalBoxFuture;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::completeness::{Behind, Completeness, Standing};
use skein_shared::format::ledger_entry::EntryKind;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::worker_status::Claim;
use skein_shared::ids::{Chain, WorkerId};
use skein_shared::ledger::{ChainEnd, ChainFinding, Ledger};
use skein_shared::offset::{Offset, Span};
use skein_shared::status_log::{Gathered, gather};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

pub use needs::Need;

const CONCURRENT_READS: usize = 32;

/// What to look at, and by which measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusOptions {
    /// How much later than its own timestamp a record may come into Kafka.
    pub watermark_delay: Millis,
    /// A partition of which no worker told for this long is read by nobody.
    pub stale_after: Millis,
    /// How much of each chain is read.
    pub depth: Depth,
}

/// How much of each chain is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Its end.
    Ends,
    /// All of it, so that gaps are found.
    Gaps,
}

/// Everything that `skein status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// The bucket's clock.
    pub now: String,
    /// Everything before it is durable; `None` when nothing can be said.
    pub watermark: Option<String>,
    /// How far that is behind the bucket's clock.
    pub watermark_lag_ms: Option<i64>,
    /// The partitions that the watermark waits for.
    pub held_back_by: Vec<String>,
    /// Every partition that has a ledger.
    pub partitions: Vec<PartitionRow>,
    /// Every worker that left a status.
    pub workers: Vec<WorkerRow>,
    /// What waits for a person.
    pub needs: Vec<Need>,
}

/// One partition of one life of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionRow {
    /// Kafka cluster.
    pub source: String,
    /// Topic.
    pub topic: String,
    /// Life of the topic.
    pub incarnation: u32,
    /// Partition.
    pub partition: u32,
    /// First offset of the ledger.
    pub ledger_start: i64,
    /// First offset that is not durable.
    pub ledger_end: i64,
    /// The offset behind Kafka's newest record, where it is known.
    pub kafka_end: Option<i64>,
    /// Offsets between the two.
    pub lag_records: Option<u64>,
    /// How old the newest durable record is; 0 at Kafka's end.
    pub lag_ms: Option<i64>,
    /// How old the last ledger entry is.
    pub flush_age_ms: Option<i64>,
    /// Everything before it is durable.
    pub watermark: Option<String>,
    /// `at end`, `behind`, `no claim`, `no timestamp`, `stopped`, `retired` or `replaced`.
    pub state: &'static str,
    /// Who told of it last.
    pub worker: Option<String>,
    /// How old that is.
    pub told_age_ms: Option<i64>,
    /// Offsets that Kafka no longer had; `None` when the chain was not read.
    pub gaps: Option<Vec<GapRow>>,
}

/// A span without records, because Kafka no longer had them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapRow {
    /// First offset.
    pub from: i64,
    /// First offset beyond.
    pub to: i64,
    /// Why.
    pub reason: String,
}

/// One worker's last status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerRow {
    /// Which run of a process.
    pub worker: String,
    /// How old its status is.
    pub told_age_ms: i64,
    /// Partitions that it had.
    pub partitions: u64,
}

/// What is known of one chain.
struct ChainView<'a> {
    chain: &'a Chain,
    end: &'a ChainEnd,
    standing: Standing,
    told: Option<Told<'a>>,
    flushed_at: Option<TimestampMs>,
    checked: Option<Checked>,
}

/// The newest claim about a chain.
#[derive(Clone, Copy)]
struct Told<'a> {
    worker: WorkerId,
    as_of: TimestampMs,
    claim: &'a Claim,
}

/// What reading a whole chain found.
struct Checked {
    gaps: Vec<GapRow>,
    faults: Vec<ChainFinding>,
}

/// Reads the status of everything. `kafka_ends` are the ends that Kafka itself told, where it was asked.
///
/// # Errors
/// `Corrupt` when a genesis or a last entry is damaged, and what the bucket says.
pub fn status<'a>(
    bucket: &'a Bucket,
    options: &'a StatusOptions,
    kafka_ends: &'a BTreeMap<Chain, Offset>,
) -> LocalBoxFuture<'a, Result<StatusReport>> {
    Box::pin(async move {
        let gathered = gather(bucket).await?;
        let completeness = gathered.completeness(options.watermark_delay);
        let told = newest_claims(&gathered);
        let views: Vec<ChainView<'_>> = futures::stream::iter(&gathered.chains)
            .map(|(chain, end)| {
                let view = ChainView {
                    chain,
                    end,
                    standing: completeness.chains[chain],
                    told: told.get(chain).copied(),
                    flushed_at: None,
                    checked: None,
                };
                look_closer(bucket, view, options.depth)
            })
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await?;
        let needs = views
            .iter()
            .flat_map(|view| needs::of(view, gathered.now, options.stale_after));
        let row =
            |view: &ChainView<'_>| row(view, gathered.now, kafka_ends.get(view.chain).copied());
        Ok(StatusReport {
            needs: needs.collect(),
            partitions: views.iter().map(row).collect(),
            ..summary(&gathered, &completeness)
        })
    })
}

fn summary(gathered: &Gathered, completeness: &Completeness) -> StatusReport {
    let watermark = completeness.watermark();
    let workers = gathered.statuses.iter().map(|status| WorkerRow {
        worker: status.worker.to_string(),
        told_age_ms: gathered.now.0 - status.as_of.0,
        partitions: status.claims.len() as u64,
    });
    StatusReport {
        now: gathered.now.to_string(),
        watermark: watermark.map(|time| time.to_string()),
        watermark_lag_ms: watermark.map(|time| gathered.now.0.saturating_sub(time.0)),
        held_back_by: completeness
            .held_back_by()
            .into_iter()
            .map(ToString::to_string)
            .collect(),
        partitions: Vec::new(),
        workers: workers.collect(),
        needs: Vec::new(),
    }
}

fn newest_claims(gathered: &Gathered) -> BTreeMap<&Chain, Told<'_>> {
    let mut newest: BTreeMap<&Chain, Told<'_>> = BTreeMap::new();
    for status in &gathered.statuses {
        for claim in &status.claims {
            let told = Told {
                worker: status.worker,
                as_of: status.as_of,
                claim,
            };
            // Of two that are equally old the one that has come further speaks.
            let rank = |told: &Told<'_>| (told.as_of, told.claim.position);
            let known = newest.entry(&claim.chain).or_insert(told);
            if rank(known) < rank(&told) {
                *known = told;
            }
        }
    }
    newest
}

/// When the last entry was written, and what the whole chain says where that is asked for.
async fn look_closer<'a>(
    bucket: &Bucket,
    view: ChainView<'a>,
    depth: Depth,
) -> Result<ChainView<'a>> {
    let chain = view.chain;
    let last = view.end.last.as_ref().map(|entry| ObjectKey::LedgerEntry {
        chain: chain.clone(),
        from: entry.span.from,
    });
    let flushed_at = match last {
        Some(key) => bucket.head(&key.to_string()).await?,
        None => None,
    };
    let checked = match depth {
        Depth::Ends => None,
        Depth::Gaps => Some(check(bucket, chain).await?),
    };
    Ok(ChainView {
        flushed_at: flushed_at.and_then(|meta| meta.last_modified),
        checked,
        ..view
    })
}

async fn check(bucket: &Bucket, chain: &Chain) -> Result<Checked> {
    let (faults, entries) = Ledger::new(bucket.clone()).check_chain(chain).await?;
    let gaps = entries.into_iter().filter_map(|entry| {
        let Span { from, to } = entry.span;
        match entry.kind {
            EntryKind::Flushed { .. } => None,
            EntryKind::LostSpan { reason } => Some(GapRow {
                from: from.0,
                to: to.0,
                reason,
            }),
        }
    });
    let gaps = gaps.collect();
    Ok(Checked { gaps, faults })
}

fn row(view: &ChainView<'_>, now: TimestampMs, kafka_end: Option<Offset>) -> PartitionRow {
    let Chain {
        source,
        topic,
        incarnation,
        partition,
    } = view.chain;
    let ledger_end = view.end.offset;
    let kafka_end = kafka_end.or(view.told.and_then(|told| told.claim.log_end));
    let watermark = match view.standing {
        Standing::UpTo(reached) => Some(reached.watermark.to_string()),
        Standing::NoClaim | Standing::NoTimestamp | Standing::Retired | Standing::Replaced => None,
    };
    let lag_records = kafka_end.map(|end| u64::try_from(end.0 - ledger_end.0).unwrap_or(0));
    let newest = view.end.last.as_ref().and_then(|last| last.times);
    let age = |time: TimestampMs| now.0.saturating_sub(time.0).max(0);
    let lag_ms = match lag_records {
        Some(0) => Some(0),
        Some(_) | None => newest.map(|times| age(times.newest)),
    };
    PartitionRow {
        source: source.to_string(),
        topic: topic.to_string(),
        incarnation: incarnation.0,
        partition: partition.0,
        ledger_start: view.end.genesis.start.0,
        ledger_end: ledger_end.0,
        kafka_end: kafka_end.map(|end| end.0),
        lag_records,
        lag_ms,
        flush_age_ms: view.flushed_at.map(age),
        watermark,
        state: state(view),
        worker: view.told.map(|told| told.worker.to_string()),
        told_age_ms: view.told.map(|told| age(told.as_of)),
        gaps: view.checked.as_ref().map(|checked| checked.gaps.clone()),
    }
}

fn state(view: &ChainView<'_>) -> &'static str {
    if view.is_awaited() && view.is_stopped() {
        return "stopped";
    }
    match view.standing {
        Standing::Retired => "retired",
        Standing::Replaced => "replaced",
        Standing::UpTo(reached) if reached.behind == Behind::Nothing => "at end",
        Standing::UpTo(_) => "behind",
        Standing::NoClaim => "no claim",
        Standing::NoTimestamp => "no timestamp",
    }
}

impl ChainView<'_> {
    fn is_stopped(&self) -> bool {
        self.told.is_some_and(|told| told.claim.stopped.is_some())
    }

    fn is_awaited(&self) -> bool {
        match self.standing {
            Standing::UpTo(_) | Standing::NoClaim | Standing::NoTimestamp => true,
            Standing::Retired | Standing::Replaced => false,
        }
    }
}

impl StatusReport {
    /// Whether nothing waits for a person.
    pub fn is_quiet(&self) -> bool {
        self.needs.is_empty()
    }
}
