//! Kafka into holes: what the ledger holds as lost and Kafka has again is read and becomes a hole's fills.
//!
//! Fills are contiguous from a hole's beginning, so a range inside a hole is filled from where its fills end. What
//! the ledger or a fill covers is never written twice: a fill that finds its place taken is dropped, and the
//! replay goes on behind the one that took it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use skein_config::kafka::FetchShare;
use skein_config::kafka::login::Login;
use skein_config::kafka::lookup_client::LookupClient;
use skein_shared::ErrorKind;
use skein_shared::fills::{Filled, Fills, end_of};
use skein_shared::format::fill_entry::FillEntry;
use skein_shared::format::frame::{HeaderBuffer, LastRecord, RecordRef};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::replay_job::OnGone;
use skein_shared::ids::{Chain, Hole, WorkerId, WriteId};
use skein_shared::offset::{Offset, Span};
use skein_shared::shard_map::ShardMap;
use skein_shared::units::{ByteCount, MIB};

use crate::error::{Error, Result};
use crate::record_source::kafka::record_of;
use crate::replay::fill_writer::{FillWriter, ReadyFill, write};
use crate::replay::hole_plan::{HolePart, hole_parts};
use crate::replay::passage::Gone;
use crate::replay::running::{Advance, Running};

/// Raw bytes of one flush; it is held in memory until it is written.
pub(super) const FLUSH_BYTES: u64 = 64 * MIB;

const POLL: Duration = Duration::from_millis(200);

/// Fills every hole of the replay's range.
pub(super) struct FromKafka<'a> {
    running: &'a mut Running,
    consumer: BaseConsumer<Login>,
    lookup: LookupClient,
    fills: Fills,
    map: ShardMap,
    payload_limit_bytes: u64,
    worker: WorkerId,
    flushes: u64,
}

/// What one stretch of reading gave.
struct Stretch {
    ready: ReadyFill,
    records: u64,
    record_bytes: u64,
}

/// Where Kafka's log of a partition begins and ends.
#[derive(Debug, Clone, Copy)]
struct Log {
    low: Offset,
    high: Offset,
}

impl<'a> FromKafka<'a> {
    /// Connects. Blocks.
    pub(super) fn open(
        running: &'a mut Running,
        map: ShardMap,
        payload_limit: ByteCount,
    ) -> Result<Self> {
        let kafka = &running.setup.kafka;
        let mut config = kafka.consumer_config(FetchShare::of_one_broker(ByteCount::mib(32)))?;
        config.set("enable.partition.eof", "true");
        let consumer: BaseConsumer<Login> = kafka.create(&config, kafka.login())?;
        let lookup = kafka.lookup_client()?;
        Ok(Self {
            fills: Fills::new(running.setup.bucket.clone()),
            running,
            consumer,
            lookup,
            map,
            payload_limit_bytes: payload_limit.0,
            worker: WorkerId::random(),
            flushes: 0,
        })
    }

    /// Does all of it. Blocks.
    pub(super) fn run(mut self) -> Result<()> {
        if self.running.step.number == 0 && self.running.commit(None)? == Advance::Ended {
            return Ok(());
        }
        for (chain, span) in self.running.job.spans.clone() {
            if self.fill_chain(&chain, span)? == Advance::Ended {
                return Ok(());
            }
        }
        Ok(())
    }

    fn fill_chain(&mut self, chain: &Chain, span: Span) -> Result<Advance> {
        let bucket = self.running.setup.bucket.clone();
        let parts = self.running.block_on(hole_parts(&bucket, chain, span))?;
        if !parts.is_empty() {
            self.prove_same_life(chain)?;
        }
        for part in parts {
            if self.fill(&part)? == Advance::Ended {
                return Ok(Advance::Ended);
            }
        }
        self.running.pass(chain, span.to);
        Ok(Advance::GoOn)
    }

    /// Fills one hole as far as it is asked for.
    fn fill(&mut self, part: &HolePart) -> Result<Advance> {
        loop {
            let entries = self.running.block_on(self.fills.entries(&part.hole))?;
            let from = end_of(&part.hole, &entries);
            if from >= part.to {
                return Ok(Advance::GoOn);
            }
            if self.running.is_stopped() {
                return Ok(Advance::Ended);
            }
            let left = Span::new(from, part.to);
            let log = self.log(&part.hole.chain)?;
            let gone = gone_part(left, log);
            let advance = match gone {
                Some(gone) => self.give_up(&part.hole, gone, log)?,
                None => self.fill_once(&part.hole, left, log)?,
            };
            if advance == Advance::Ended {
                return Ok(Advance::Ended);
            }
        }
    }

    /// What Kafka does not have is given up, if that is wanted: fills behind it can only stand on it.
    fn give_up(&mut self, hole: &Hole, span: Span, log: Log) -> Result<Advance> {
        let why = format!("kafka has the offsets from {} to {}", log.low, log.high);
        let gone = Gone {
            chain: hole.chain.clone(),
            span,
            why: why.clone(),
        };
        if self.running.job.on_gone == OnGone::Refuse {
            let parts = gone.to_string();
            return Err(Error::RangeGone { parts });
        }
        let fill = FillEntry {
            hole: hole.from,
            entry: LedgerEntry {
                chain: hole.chain.clone(),
                span,
                kind: EntryKind::LostSpan {
                    reason: format!("given up by replay {}: {why}", self.running.job.job),
                },
                frames: 0,
                times: None,
                last: None,
            },
        };
        let appended = self.fills.append(&fill, WriteId::random());
        self.running.block_on(appended)?;
        self.running.gone(gone);
        self.running.commit(None)
    }

    /// Reads one flush and makes it count.
    fn fill_once(&mut self, hole: &Hole, left: Span, log: Log) -> Result<Advance> {
        let Some(stretch) = self.read(hole, left, log)? else {
            // The log has moved on: look again.
            return Ok(Advance::GoOn);
        };
        let written = self.running.block_on(write(
            &self.running.setup.bucket,
            &self.fills,
            &stretch.ready,
        ))?;
        self.running
            .pass(&hole.chain, stretch.ready.fill.entry.span.to);
        match written {
            Filled::Ours => self.running.add(stretch.records, stretch.record_bytes),
            Filled::Taken(_) => crate::metrics::fill_taken(hole),
        }
        self.running.commit(None)
    }

    /// Reads from `left`'s beginning until a flush is full or `left` is read; `None` when Kafka dropped the beginning
    /// meanwhile.
    fn read(&mut self, hole: &Hole, left: Span, log: Log) -> Result<Option<Stretch>> {
        self.assign(&hole.chain, left.from)?;
        let mut writer = FillWriter::new(
            hole,
            (self.worker, self.flushes),
            (&self.map, self.payload_limit_bytes),
            crate::replay::running::wall_clock(),
        );
        self.flushes += 1;
        let mut headers = HeaderBuffer::default();
        let (mut records, mut record_bytes) = (0, 0);
        let mut heard = Instant::now();
        let mut reached = left.from;
        while reached < left.to && writer.raw_bytes() < FLUSH_BYTES && !self.running.is_stopped() {
            let message = match self.consumer.poll(POLL) {
                Some(Ok(message)) => message,
                // Behind the last record there is nothing but markers, up to the log's end.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    reached = left.to.min(log.high).max(reached);
                    break;
                }
                Some(Err(error)) if is_out_of_range(&error) => return Ok(None),
                Some(Err(error)) => {
                    self.running.still_patient(heard, &error)?;
                    continue;
                }
                None => {
                    self.running.still_patient(heard, &silence())?;
                    continue;
                }
            };
            heard = Instant::now();
            let record = record_of(&message, &mut headers);
            if record.offset >= left.to {
                reached = left.to;
                break;
            }
            writer.append(&record);
            let bytes = bytes_of(&record);
            (records, record_bytes) = (records + 1, record_bytes + bytes);
            reached = record.offset.next();
            self.running.throttle(bytes);
        }
        if reached == left.from {
            return Ok(None);
        }
        let ready = writer.finish(Span::new(left.from, reached));
        Ok(Some(Stretch {
            ready,
            records,
            record_bytes,
        }))
    }

    fn log(&self, chain: &Chain) -> Result<Log> {
        let (topic, partition) = (chain.topic.as_str(), chain.partition.0.cast_signed());
        let (low, high) = self.lookup.watermarks(topic, partition)?;
        Ok(Log {
            low: Offset(low),
            high: Offset(high),
        })
    }

    fn assign(&self, chain: &Chain, from: Offset) -> Result<()> {
        let refused = |error: KafkaError| {
            self.running
                .kafka_failed("assign", &error, ErrorKind::Transient)
        };
        let mut list = TopicPartitionList::new();
        let (topic, partition) = (chain.topic.as_str(), chain.partition.0.cast_signed());
        list.add_partition_offset(topic, partition, KafkaOffset::Offset(from.0))
            .map_err(refused)?;
        self.consumer.assign(&list).map_err(refused)
    }

    /// Kafka's records are those that the ledger speaks of: its last one is still the same, if Kafka has it.
    fn prove_same_life(&mut self, chain: &Chain) -> Result<()> {
        let ledger = skein_shared::ledger::Ledger::new(self.running.setup.bucket.clone());
        let end = self.running.block_on(ledger.end(chain, None))?;
        let last = end.and_then(|end| end.last?.last);
        let log = self.log(chain)?;
        let other = |reason: String| Error::OtherLife {
            chain: chain.clone(),
            reason: format!("{reason}: the topic was recreated or truncated, and is another life"),
        };
        match last {
            Some(last) if last.offset >= log.high => {
                let (has, ends) = (last.offset, log.high);
                Err(other(format!(
                    "the ledger has offset {has}, kafka ends at {ends}"
                )))
            }
            Some(last) if last.offset >= log.low => match self.record_at(chain, last.offset)? {
                Some(found) if found == last => Ok(()),
                Some(_) | None => Err(other(format!("offset {} is another record", last.offset))),
            },
            Some(_) | None => {
                tracing::warn!(%chain, "kafka has no record that could prove that it is the same topic");
                Ok(())
            }
        }
    }

    fn record_at(&self, chain: &Chain, offset: Offset) -> Result<Option<LastRecord>> {
        self.assign(chain, offset)?;
        let mut headers = HeaderBuffer::default();
        let asked = Instant::now();
        loop {
            let error = match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let record = record_of(&message, &mut headers);
                    let is_it = record.offset == offset;
                    return Ok(is_it.then(|| LastRecord {
                        offset,
                        timestamp: record.timestamp,
                        crc32c: record.crc32c(),
                    }));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) if is_out_of_range(&error) => return Ok(None),
                Some(Err(error)) => error,
                None => silence(),
            };
            self.running.still_patient(asked, &error)?;
        }
    }
}

/// What of `left`, from its beginning on, Kafka does not have.
fn gone_part(left: Span, log: Log) -> Option<Span> {
    let ends = Span::new(log.high.max(left.from), left.to.max(log.high));
    let before = Span::new(left.from, log.low.clamp(left.from, left.to));
    if before.from < before.to {
        return Some(before);
    }
    (log.high <= left.from).then_some(ends)
}

fn silence() -> KafkaError {
    KafkaError::MessageConsumption(RDKafkaErrorCode::RequestTimedOut)
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
        )
    )
}

fn bytes_of(record: &RecordRef<'_>) -> u64 {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter();
    let headers = headers.map(|header| header.name.len() + len(header.value));
    (len(record.key) + len(record.value) + headers.sum::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(left: [i64; 2], log: [i64; 2], expected: Option<[i64; 2]>) {
        let span = |[from, to]: [i64; 2]| Span::new(Offset(from), Offset(to));
        let log = Log {
            low: Offset(log[0]),
            high: Offset(log[1]),
        };
        assert_eq!(gone_part(span(left), log), expected.map(span));
    }

    #[test]
    fn what_kafka_lacks_is_told_from_what_it_has_to_the_offset() {
        check([10, 20], [0, 30], None);
        check([10, 20], [10, 20], None);
        check([10, 20], [15, 30], Some([10, 15]));
        check([10, 20], [25, 30], Some([10, 20]));
        check([10, 20], [0, 10], Some([10, 20]));
        check([10, 20], [0, 15], None);
        check([15, 20], [0, 15], Some([15, 20]));
        check([10, 20], [0, 0], Some([10, 20]));
    }
}
