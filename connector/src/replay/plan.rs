//! What a replay would do, before it does anything: which offsets, how many bytes and requests, at what price, and
//! what of the range is gone. Reads ledger, fills and footers; writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use serde::Serialize;
use skein_config::kafka::KafkaSettings;
use skein_config::kafka::login::Login;
use skein_config::prices::Dollars;
use skein_shared::ErrorKind;
use skein_shared::bucket::Bucket;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::ledger_entry::EntryKind;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::replay_job::{ReplayInto, ReplayJob};
use skein_shared::ids::{Chain, JobId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::window::{TimeSpan, TimestampMs};
use skein_shared::{delete_log, shard_map_log};

use crate::error::{Error, Result};
use crate::replay::block_index::{ShardFilter, index};
use crate::replay::from_kafka::FLUSH_BYTES;
use crate::replay::hole_plan::{HolePart, all_hole_parts};
use crate::replay::passage::{Gone, filled, passages};
use crate::replay::request::{OnDeleted, ReplayRequest, resolve};
use crate::replay::running::{ReplaySetup, wall_clock};
use crate::replay::target_check;

/// Bytes of keys, values and headers for each record, where the ledger has none to tell by.
const UNKNOWN_RECORD_BYTES: u64 = 1024;

/// What a replay would do.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayPlan {
    /// The replay itself.
    #[serde(skip)]
    pub job: ReplayJob,
    /// Which offsets, chain by chain.
    pub parts: Vec<PlannedPart>,
    /// What of the range is nowhere, to the offset.
    pub gone: Vec<Gone>,
    /// Records, or more: what a filter leaves out is known only after reading.
    pub records_at_most: u64,
    /// Bytes of keys, values and headers that are written, or more. An estimate for records that come from Kafka.
    pub record_bytes_at_most: u64,
    /// Bytes that are read from the bucket.
    pub state_bytes_read: u64,
    /// Requests to the bucket that read.
    pub read_requests: u64,
    /// Requests to the bucket that write or list.
    pub write_requests: u64,
    /// What the requests cost.
    pub request_cost: Dollars,
    /// What the traffic between zones costs at most: two thirds of all bytes to or from Kafka.
    pub traffic_cost: Dollars,
}

/// A part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedPart {
    /// Source, topic, incarnation and partition.
    pub chain: String,
    /// First offset.
    pub from: i64,
    /// First offset beyond.
    pub to: i64,
}

impl ReplayPlan {
    /// A plan without costs.
    fn bare(job: ReplayJob, gone: Vec<Gone>) -> Self {
        Self {
            job,
            parts: Vec::new(),
            gone,
            records_at_most: 0,
            record_bytes_at_most: 0,
            state_bytes_read: 0,
            read_requests: 0,
            write_requests: 0,
            request_cost: Dollars(0),
            traffic_cost: Dollars(0),
        }
    }

    fn add_part(&mut self, chain: &Chain, span: Span) {
        self.parts.push(PlannedPart {
            chain: chain.to_string(),
            from: span.from.0,
            to: span.to.0,
        });
    }

    fn price(mut self, setup: &ReplaySetup) -> Self {
        let prices = &setup.prices;
        self.request_cost = prices.requests(self.write_requests, self.read_requests);
        self.traffic_cost = prices.kafka_traffic(self.record_bytes_at_most);
        self.gone.sort();
        self
    }
}

/// Plans a replay under a fresh id.
///
/// # Errors
/// [`Error::NothingToReplay`], [`Error::Setting`] for what cannot be; `Corrupt` when ledger, fills or footers do not
/// read back; what bucket and brokers say.
pub fn plan<'a>(
    setup: &'a ReplaySetup,
    request: &'a ReplayRequest,
) -> BoxFuture<'a, Result<ReplayPlan>> {
    Box::pin(async move {
        let (mut spans, gone) = resolve(&setup.bucket, request).await?;
        let mut only = request.only;
        if request.into == ReplayInto::State {
            refuse_parts_of_a_hole(request)?;
            if let Some(times) = only.times.take() {
                spans = at_times(setup, spans, times).await?;
            }
        }
        if let ReplayInto::Topic(target) = &request.into {
            target_check::check(setup, (request, target), &spans).await?;
        }
        let left_out = match (&request.into, request.on_deleted) {
            (ReplayInto::Topic(_), OnDeleted::LeaveOut) => {
                Some(delete_log::load(&setup.bucket).await?.newest())
            }
            (ReplayInto::Topic(_), OnDeleted::Send) | (ReplayInto::State, _) => None,
        };
        let job = ReplayJob {
            job: JobId(fastrand::u64(..)),
            created: wall_clock(),
            into: request.into.clone(),
            fills: filled(&setup.bucket, &spans).await?,
            spans,
            only,
            on_gone: request.on_gone,
            left_out,
        };
        match request.into {
            ReplayInto::State => plan_state(setup, job, gone).await,
            ReplayInto::Topic(_) => plan_topic(setup, job, gone).await,
        }
    })
}

/// A fill accounts for all records of its offsets.
fn refuse_parts_of_a_hole(request: &ReplayRequest) -> Result<()> {
    let key = match (request.only.org, request.only.shard) {
        (Some(_), _) => "--org",
        (None, Some(_)) => "--shard",
        (None, None) => return Ok(()),
    };
    let reason =
        "a lost span is filled with all its records; choose by offsets or times".to_owned();
    Err(Error::Setting { key, reason })
}

async fn plan_topic(setup: &ReplaySetup, job: ReplayJob, gone: Vec<Gone>) -> Result<ReplayPlan> {
    let map = shard_map_log::load(&setup.bucket).await?;
    let shards = ShardFilter::new(&job.only, map.as_ref());
    let (steps, lost) = passages(&setup.bucket, &job).await?;
    let mut plan = ReplayPlan::bare(job, gone);
    plan.gone.extend(lost);
    for (chain, span) in &plan.job.spans.clone() {
        plan.add_part(chain, *span);
        plan.write_requests += 1;
        plan.read_requests += 2;
    }
    for step in &steps {
        let found = index(&setup.bucket, step, &plan.job.only, &shards).await?;
        plan.gone.extend(found.gone);
        plan.state_bytes_read += found.index_bytes;
        plan.read_requests += found.index_requests + found.blocks.len() as u64 + 1;
        for block in &found.blocks {
            plan.state_bytes_read += block.entry.bytes;
            plan.records_at_most += block.entry.frames;
            plan.record_bytes_at_most += block.entry.raw_bytes;
        }
    }
    // A step in the bucket for each transaction, and one look for a cancellation.
    let transactions = plan.record_bytes_at_most.div_ceil(32 << 20) + 2;
    plan.write_requests += transactions;
    plan.read_requests += transactions;
    Ok(plan.price(setup))
}

async fn plan_state(setup: &ReplaySetup, job: ReplayJob, gone: Vec<Gone>) -> Result<ReplayPlan> {
    let holes = all_hole_parts(&setup.bucket, &job.spans).await?;
    let shards = shard_map_log::load(&setup.bucket).await?;
    let shards = shards.map_or(1, |map| map.shards().len() as u64 + 1);
    let mut plan = ReplayPlan::bare(job, gone);
    for (chain, parts) in holes {
        let (low, high) = watermarks(setup, &chain).await?;
        let record_bytes = record_bytes(&setup.bucket, &chain).await?;
        plan.read_requests += 4;
        for left in parts.iter().filter_map(HolePart::left) {
            let has = Span::new(low, high);
            let Some(there) = left.overlap(has) else {
                plan.gone.push(not_in_kafka(&chain, left, has));
                continue;
            };
            plan.add_part(&chain, there);
            let around = [
                Span::new(left.from, there.from),
                Span::new(there.to, left.to),
            ];
            let missing = around.into_iter().filter(|span| span.from < span.to);
            let missing = missing.map(|span| not_in_kafka(&chain, span, has));
            plan.gone.extend(missing);
            let bytes = there.offsets().saturating_mul(record_bytes);
            let flushes = bytes.div_ceil(FLUSH_BYTES);
            plan.records_at_most += there.offsets();
            plan.record_bytes_at_most += bytes;
            // Objects, manifest, fill and step.
            plan.write_requests += flushes * (shards.min(there.offsets()) + 3);
            plan.read_requests += flushes * 3;
        }
    }
    Ok(plan.price(setup))
}

fn not_in_kafka(chain: &Chain, span: Span, has: Span) -> Gone {
    Gone {
        chain: chain.clone(),
        span,
        why: format!("kafka has the offsets from {} to {}", has.from, has.to),
    }
}

/// Bytes of a record of the chain, by the flush that its end is in.
async fn record_bytes(bucket: &Bucket, chain: &Chain) -> Result<u64> {
    let end = Ledger::new(bucket.clone()).end(chain, None).await?;
    let kind = end.and_then(|end| end.last).map(|last| last.kind);
    let Some(EntryKind::Flushed { flush, .. }) = kind else {
        return Ok(UNKNOWN_RECORD_BYTES);
    };
    let key = ObjectKey::Flush(flush).to_string();
    let bytes = bucket.get(&key).await?;
    let (_, manifest) = FlushManifest::decode(&bytes).map_err(|error| error.in_object(&key))?;
    let FlushBody::Written(contents) = manifest.body else {
        return Ok(UNKNOWN_RECORD_BYTES);
    };
    let sum = |of: fn(&skein_shared::format::flush_manifest::FlushedObject) -> u64| {
        contents.objects.iter().map(of).sum::<u64>()
    };
    let (raw, frames) = (sum(|object| object.raw_bytes), sum(|object| object.frames));
    Ok(raw.checked_div(frames).unwrap_or(UNKNOWN_RECORD_BYTES))
}

async fn watermarks(setup: &ReplaySetup, chain: &Chain) -> Result<(Offset, Offset)> {
    let (lookup, chain) = (setup.kafka.lookup_client()?, chain.clone());
    let asked = tokio::task::spawn_blocking(move || {
        lookup.watermarks(chain.topic.as_str(), chain.partition.0.cast_signed())
    });
    let (low, high) = asked
        .await
        .expect("a question to the brokers does not panic")?;
    Ok((Offset(low), Offset(high)))
}

/// The offsets of `spans` whose records Kafka holds for `times`.
async fn at_times(
    setup: &ReplaySetup,
    spans: BTreeMap<Chain, Span>,
    times: TimeSpan,
) -> Result<BTreeMap<Chain, Span>> {
    let from = offsets_at(setup, spans.keys().cloned().collect(), times.from).await?;
    let to = offsets_at(setup, spans.keys().cloned().collect(), times.to).await?;
    let clipped = spans.into_iter().zip(from.into_iter().zip(to));
    let clipped = clipped.filter_map(|((chain, span), (from, to))| {
        let wanted = (from < to).then(|| Span::new(from, to))?;
        Some((chain, span.overlap(wanted)?))
    });
    let clipped: BTreeMap<Chain, Span> = clipped.collect();
    if clipped.is_empty() {
        let what = format!(
            "kafka has no record between {} and {}",
            times.from, times.to
        );
        return Err(Error::NothingToReplay { what });
    }
    Ok(clipped)
}

/// Per chain the first offset whose record is not older than `time`; beyond all offsets when there is none.
async fn offsets_at(
    setup: &ReplaySetup,
    chains: Vec<Chain>,
    time: TimestampMs,
) -> Result<Vec<Offset>> {
    let kafka = setup.kafka.clone();
    let asked = tokio::task::spawn_blocking(move || ask_offsets(&kafka, &chains, time));
    asked
        .await
        .expect("a question to the brokers does not panic")
}

fn ask_offsets(kafka: &KafkaSettings, chains: &[Chain], time: TimestampMs) -> Result<Vec<Offset>> {
    let failed = |error: KafkaError| Error::Kafka {
        operation: "ask for offsets of a time",
        brokers: kafka.brokers.clone(),
        reason: error.to_string(),
        kind: ErrorKind::Transient,
    };
    let client: BaseConsumer<Login> = kafka.create(&kafka.client_config()?, kafka.login())?;
    // A login by token is asked for where the client is polled.
    drop(client.poll(Duration::from_millis(20)));
    let mut list = TopicPartitionList::new();
    for chain in chains {
        let (topic, partition) = (chain.topic.as_str(), chain.partition.0.cast_signed());
        list.add_partition_offset(topic, partition, KafkaOffset::Offset(time.0))
            .map_err(failed)?;
    }
    let patience = kafka.metadata_timeout.duration();
    let found = client.offsets_for_times(list, patience).map_err(failed)?;
    let offset = |chain: &Chain| {
        let partition = chain.partition.0.cast_signed();
        let element = found.find_partition(chain.topic.as_str(), partition);
        match element.map(|element| element.offset()) {
            Some(KafkaOffset::Offset(offset)) => Offset(offset),
            Some(_) | None => Offset(i64::MAX),
        }
    };
    Ok(chains.iter().map(offset).collect())
}
