//! How short Kafka's retention can be: Kafka has to hold a record only until the ledger names it, and through the
//! longest outage that it is to bridge. And whether state outlives the topics.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use skein_config::kafka::KafkaSettings;
use skein_config::prices::{Dollars, PriceSettings};
use skein_config::retention::{RetentionSettings, StateVerdict, TopicRetention};
use skein_shared::bucket::Bucket;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{Chain, FlushId, TopicName};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use crate::error::Result;

const CONCURRENT_READS: usize = 16;
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

/// What a recommendation allows for: twice the longest time that a record waited for the ledger.
const WAIT_FACTOR: u64 = 2;

/// Where a report comes from.
#[derive(Debug, Clone)]
pub struct RetentionSetup {
    /// The bucket that holds the ledger.
    pub bucket: Bucket,
    /// The `[kafka]` section.
    pub kafka: KafkaSettings,
    /// The `[retention]` section.
    pub retention: RetentionSettings,
    /// The `[prices]` section.
    pub prices: PriceSettings,
    /// Newest entries of each partition that are looked at.
    pub entries: usize,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicReport {
    /// Its name.
    pub topic: String,
    /// Partitions that have a ledger.
    pub partitions: u64,
    /// Ledger entries that were looked at.
    pub entries: u64,
    /// Longest time between a record's timestamp and its place in the ledger; `None` when no record has one.
    pub longest_wait_ms: Option<u64>,
    /// Longest time between two entries of one partition.
    pub longest_gap_ms: Option<u64>,
    /// Bytes of the records of a day, before compression; `None` when there are too few entries to tell.
    pub bytes_per_day: Option<u64>,
    /// How long Kafka keeps the topic: `unknown` when the cluster does not tell, `for ever`, or `for a time`.
    pub kafka_keeps: &'static str,
    /// That time.
    pub kafka_retention_ms: Option<u64>,
    /// How short that could be.
    pub shortest_retention_ms: Option<u64>,
    /// What the difference costs in a month, with all of Kafka's copies.
    pub saved_per_month: Option<Dollars>,
    /// What is wrong with how long state is kept; empty when it is long enough.
    pub state: String,
}

/// Says what is wrong with how long state is kept for a topic, and what to do; `None` when nothing is.
pub fn state_warning(
    settings: &RetentionSettings,
    topic: &TopicName,
    kept: TopicRetention,
) -> Option<String> {
    let state = settings.state;
    match settings.judge(kept) {
        StateVerdict::LongEnough => None,
        StateVerdict::TooShort(least) => Some(format!(
            "retention.state is {state}, but topic `{topic}` is kept longer than half of that: keep state for \
             at least {least}, or the topic for a shorter time"
        )),
        StateVerdict::NeverEnough => Some(format!(
            "retention.state is {state}, but kafka keeps topic `{topic}` for ever: set its retention.ms, or \
             retention.state to \"0 s\""
        )),
    }
}

/// Warnings for every topic that the settings name; a topic that the cluster tells nothing about has none.
pub fn state_warnings<'a>(
    kafka: &'a KafkaSettings,
    settings: &'a RetentionSettings,
) -> BoxFuture<'a, Vec<String>> {
    Box::pin(async move {
        let mut warnings = Vec::new();
        for topic in kafka
            .topics
            .iter()
            .filter_map(|name| TopicName::new(name).ok())
        {
            match kafka.topic_retention(&topic).await {
                Ok(kept) => warnings.extend(state_warning(settings, &topic, kept)),
                Err(error) => tracing::debug!(%error, "the topic's retention is not known"),
            }
        }
        warnings
    })
}

/// Looks at the newest entries of every partition of the settings' source.
///
/// # Errors
/// `Corrupt` when the ledger does not read back, and what the bucket says.
pub fn report(setup: &RetentionSetup) -> BoxFuture<'_, Result<Vec<TopicReport>>> {
    Box::pin(async move {
        let ledger = Ledger::new(setup.bucket.clone());
        let source = setup.kafka.source_name();
        let mut topics: BTreeMap<TopicName, Vec<Chain>> = BTreeMap::new();
        for chain in ledger
            .chains()
            .await?
            .into_iter()
            .filter(|chain| chain.source == source)
        {
            topics.entry(chain.topic.clone()).or_default().push(chain);
        }
        let mut reports = Vec::new();
        for (topic, chains) in topics {
            let mut seen = Seen::default();
            for chain in &chains {
                let entries = newest_entries(setup, &ledger, chain).await?;
                seen.add(&entries);
            }
            let record_bytes = record_bytes(&setup.bucket, &seen.flushes).await?;
            let kept = setup.kafka.topic_retention(&topic).await.ok();
            reports.push(seen.report(setup, (&topic, chains.len() as u64), (kept, record_bytes)));
        }
        Ok(reports)
    })
}

/// The newest entries of a chain, each with the time at which it became durable.
async fn newest_entries(
    setup: &RetentionSetup,
    ledger: &Ledger,
    chain: &Chain,
) -> Result<Vec<(LedgerEntry, TimestampMs)>> {
    let Some(end) = ledger.end(chain, None).await? else {
        return Ok(Vec::new());
    };
    let Some(last) = end.last else {
        return Ok(Vec::new());
    };
    // As many offsets back as that many entries of the last one's length have.
    let length = last.span.offsets().saturating_mul(setup.entries as u64);
    let back = i64::try_from(length).unwrap_or(i64::MAX);
    let from = Offset(end.offset.0.saturating_sub(back).max(end.genesis.start.0));
    let entries = ledger
        .entries_within(chain, Span::new(from, end.offset))
        .await?;
    let skipped = entries.len().saturating_sub(setup.entries);
    let dated = futures::stream::iter(entries.into_iter().skip(skipped))
        .map(|entry| async move {
            let (chain, from) = (entry.chain.clone(), entry.span.from);
            let key = ObjectKey::LedgerEntry { chain, from }.to_string();
            let meta = setup.bucket.head(&key).await?;
            let durable = meta.and_then(|meta| meta.last_modified);
            Ok::<_, crate::error::Error>(durable.map(|durable| (entry, durable)))
        })
        .buffered(CONCURRENT_READS)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(dated.into_iter().flatten().collect())
}

/// Bytes and records of flushes, before compression.
async fn record_bytes(bucket: &Bucket, flushes: &BTreeSet<FlushId>) -> Result<Option<u64>> {
    let (mut bytes, mut records) = (0, 0);
    for flush in flushes.iter().rev().take(CONCURRENT_READS) {
        let key = ObjectKey::Flush(*flush).to_string();
        let body = bucket.get(&key).await?;
        let (_, manifest) = FlushManifest::decode(&body).map_err(|error| error.in_object(&key))?;
        if let FlushBody::Written(contents) = manifest.body {
            bytes += contents
                .objects
                .iter()
                .map(|object| object.raw_bytes)
                .sum::<u64>();
            records += contents
                .objects
                .iter()
                .map(|object| object.frames)
                .sum::<u64>();
        }
    }
    Ok(bytes.checked_div(records))
}

/// What entries of one topic told.
#[derive(Debug, Default)]
struct Seen {
    entries: u64,
    longest_wait_ms: Option<u64>,
    longest_gap_ms: Option<u64>,
    /// Records of all partitions in a day, each partition by its own entries.
    records_per_day: Option<u64>,
    flushes: BTreeSet<FlushId>,
}

impl Seen {
    /// Takes the entries of one partition in, oldest first.
    fn add(&mut self, entries: &[(LedgerEntry, TimestampMs)]) {
        self.entries += entries.len() as u64;
        let mut before: Option<TimestampMs> = None;
        for (entry, durable) in entries {
            if let Some(times) = entry.times {
                let wait = elapsed(times.oldest, *durable);
                self.longest_wait_ms = self.longest_wait_ms.max(Some(wait));
            }
            if let Some(before) = before.replace(*durable) {
                let gap = elapsed(before, *durable);
                self.longest_gap_ms = self.longest_gap_ms.max(Some(gap));
            }
            if let EntryKind::Flushed { flush, .. } = entry.kind {
                self.flushes.insert(flush);
            }
        }
        if let ([(_, first), rest @ ..], Some((_, last))) = (entries, entries.last()) {
            // The first entry's records came before the time that is looked at.
            let records: u64 = rest.iter().map(|(entry, _)| entry.frames).sum();
            let daily = u128::from(records) * u128::from(DAY_MS);
            let daily = daily.checked_div(u128::from(elapsed(*first, *last)));
            let daily = daily.and_then(|daily| u64::try_from(daily).ok());
            if let Some(daily) = daily {
                *self.records_per_day.get_or_insert(0) += daily;
            }
        }
    }

    fn report(
        self,
        setup: &RetentionSetup,
        (topic, partitions): (&TopicName, u64),
        (kept, record_bytes): (Option<TopicRetention>, Option<u64>),
    ) -> TopicReport {
        let shortest = self
            .longest_wait_ms
            .map(|wait| shortest(setup.retention.outage, wait));
        let daily = self.records_per_day.zip(record_bytes);
        let daily = daily.map(|(records, bytes)| records.saturating_mul(bytes));
        let (keeps, kept_ms) = match kept {
            None => ("unknown", None),
            Some(TopicRetention::Unlimited) => ("for ever", None),
            Some(TopicRetention::For(kept)) => ("for a time", Some(kept.0)),
        };
        let spared_ms = kept_ms
            .zip(shortest)
            .map(|(kept, s)| kept.saturating_sub(s));
        let saved = spared_ms.zip(daily).map(|(spared_ms, daily)| {
            let bytes = u128::from(daily) * u128::from(spared_ms) / u128::from(DAY_MS);
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            setup.prices.kafka_month(bytes)
        });
        let warning = kept.and_then(|kept| state_warning(&setup.retention, topic, kept));
        TopicReport {
            topic: topic.to_string(),
            partitions,
            entries: self.entries,
            longest_wait_ms: self.longest_wait_ms,
            longest_gap_ms: self.longest_gap_ms,
            bytes_per_day: daily,
            kafka_keeps: keeps,
            kafka_retention_ms: kept_ms,
            shortest_retention_ms: shortest,
            saved_per_month: saved,
            state: warning.unwrap_or_default(),
        }
    }
}

/// An outage, and twice the longest wait, in whole hours.
fn shortest(outage: Millis, wait_ms: u64) -> u64 {
    let needed = outage.0.saturating_add(wait_ms.saturating_mul(WAIT_FACTOR));
    needed.div_ceil(HOUR_MS).saturating_mul(HOUR_MS)
}

fn elapsed(from: TimestampMs, to: TimestampMs) -> u64 {
    u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use skein_shared::format::frame::RecordTimes;
    use skein_shared::ids::{Incarnation, PartitionId, SourceName, Tenure, WorkerId};

    use super::*;

    fn entry(number: i64, oldest_ms: i64, durable_ms: i64) -> (LedgerEntry, TimestampMs) {
        let entry = LedgerEntry {
            chain: Chain {
                source: SourceName::new("a").unwrap(),
                topic: TopicName::new("t").unwrap(),
                incarnation: Incarnation(0),
                partition: PartitionId(0),
            },
            span: Span::new(Offset(number * 10), Offset(number * 10 + 10)),
            kind: EntryKind::Flushed {
                flush: FlushId {
                    worker: WorkerId::random(),
                    counter: 1,
                },
                tenure: Tenure(1),
            },
            frames: 10,
            times: Some(RecordTimes::of(TimestampMs(oldest_ms))),
            last: None,
        };
        (entry, TimestampMs(durable_ms))
    }

    #[test]
    fn the_longest_wait_for_the_ledger_decides_how_short_retention_can_be() {
        let minute = 60_000;
        let mut seen = Seen::default();
        seen.add(&[
            entry(0, 0, 10 * minute),
            entry(1, 10 * minute, 20 * minute),
            entry(2, 15 * minute, 50 * minute),
        ]);
        assert_eq!(seen.longest_wait_ms, Some(35 * 60_000));
        assert_eq!(seen.longest_gap_ms, Some(30 * 60_000));
        // Twenty records in forty minutes.
        assert_eq!(seen.records_per_day, Some(720));
        assert_eq!(shortest(Millis(24 * HOUR_MS), 35 * 60_000), 26 * HOUR_MS);
        assert_eq!(shortest(Millis(24 * HOUR_MS), 0), 24 * HOUR_MS);
    }

    #[test]
    fn a_single_entry_tells_no_rate() {
        let mut seen = Seen::default();
        seen.add(&[entry(0, 0, 1000)]);
        assert_eq!((seen.records_per_day, seen.longest_gap_ms), (None, None));
    }
}
