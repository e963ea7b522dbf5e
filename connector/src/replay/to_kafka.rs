//! State into a topic: every record of the range as it came, in the order of its partition, once.
//!
//! Records go out in transactions. A step in the bucket follows each, and says how far the replay is and where the
//! target then ends. Who carries on after a crash reads what the target holds behind that: a transaction that was
//! committed without its step is found by the headers of its records.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skein_shared::format::replay_job::OnGone;
use skein_shared::ids::{Chain, PartitionId, TopicName};
use skein_shared::offset::{Offset, Span};
use skein_shared::shard_map::ShardMap;
use skein_shared::units::MIB;

use crate::error::{Error, Result};
use crate::hold_point::{HoldPoint, Holding};
use crate::replay::block_index::{ShardFilter, index};
use crate::replay::deleted_points::{DeletedPoints, Left};
use crate::replay::ordered_records::{OrderedRecords, StateRecord};
use crate::replay::passage::{FlushStep, Gone, Passage, passages};
use crate::replay::running::{Advance, Running};
use crate::replay::target_topic::TargetTopic;

/// A transaction ends with so many bytes of records, or after so long, also while something is waited for: the broker
/// aborts one that stays open, and then the replay looks like one that another process carries on.
const TRANSACTION_BYTES: u64 = 32 * MIB;
const TRANSACTION_TIME: Duration = Duration::from_secs(5);

/// The replay, and the transaction that is open.
pub(super) struct ToKafka<'a> {
    running: &'a mut Running,
    target: TargetTopic,
    shards: Arc<ShardFilter>,
    deleted: DeletedPoints,
    holding: Holding,
    open_bytes: u64,
    opened: Instant,
}

impl<'a> ToKafka<'a> {
    /// Connects, and finds out how far the replay has come. Blocks.
    pub(super) fn open(
        running: &'a mut Running,
        topic: &TopicName,
        (map, deleted): (Option<&ShardMap>, DeletedPoints),
    ) -> Result<Self> {
        let target = TargetTopic::open(&running.setup.kafka, topic, running.job.job)?;
        let mut replay = Self {
            shards: Arc::new(ShardFilter::new(&running.job.only, map)),
            running,
            target,
            deleted,
            holding: Holding::from_env(),
            open_bytes: 0,
            opened: Instant::now(),
        };
        replay.find_place()?;
        Ok(replay)
    }

    /// Before the first step, notes where the target ends; later, looks at what came behind the last one.
    fn find_place(&mut self) -> Result<()> {
        let partitions: Vec<PartitionId> =
            self.running.job.spans.keys().map(|c| c.partition).collect();
        if self.running.step.number == 0 {
            let ends = self.target.ends(partitions.into_iter())?;
            self.running.commit(Some(ends))?;
            return Ok(());
        }
        let found = self.target.found_behind(&self.running.step.target_ends)?;
        self.running.add(found.records, found.record_bytes);
        let chains: Vec<Chain> = self.running.job.spans.keys().cloned().collect();
        for chain in chains {
            if let Some(next) = found.positions.get(&chain.to_string()) {
                self.running.pass(&chain, *next);
            }
        }
        Ok(())
    }

    /// Does all of it. Blocks.
    pub(super) fn run(mut self) -> Result<()> {
        if self.running.has_ended() {
            return Ok(());
        }
        let found = passages(&self.running.setup.bucket, &self.running.job);
        let (steps, gone) = self.running.block_on(found)?;
        self.leave_out(gone)?;
        for step in steps {
            let Some(step) = self.ahead(&step) else {
                continue;
            };
            if self.replay(&step)? == Advance::Ended {
                return Ok(());
            }
        }
        let spans: Vec<(Chain, Offset)> = self
            .running
            .job
            .spans
            .iter()
            .map(|(chain, span)| (chain.clone(), span.to))
            .collect();
        for (chain, to) in spans {
            self.running.pass(&chain, to);
        }
        self.commit()?;
        Ok(())
    }

    /// What of a step was not replayed yet.
    fn ahead(&self, step: &FlushStep) -> Option<FlushStep> {
        let ahead = step.passages.iter().filter_map(|passage| {
            let position = self.running.position(&passage.stream.chain);
            let all = Span::new(position, Offset(i64::MAX));
            let span = passage.span.overlap(all)?;
            let stream = passage.stream.clone();
            Some(Passage {
                stream,
                span,
                ..*passage
            })
        });
        let passages: Vec<Passage> = ahead.collect();
        (!passages.is_empty()).then_some(FlushStep {
            flush: step.flush,
            passages,
        })
    }

    fn replay(&mut self, step: &FlushStep) -> Result<Advance> {
        let (bucket, only) = (self.running.setup.bucket.clone(), self.running.job.only);
        let shards = Arc::clone(&self.shards);
        let Some(indexed) = self.wait_for(index(&bucket, step, &only, &shards))? else {
            return Ok(Advance::Ended);
        };
        self.leave_out(indexed.gone)?;
        let passages: Arc<[Passage]> = step.passages.clone().into();
        let mut records = OrderedRecords::new(&bucket, passages, only, indexed.blocks);
        loop {
            let Some(next) = self.wait_for(records.next_batch())? else {
                return Ok(Advance::Ended);
            };
            let Some(batch) = next else {
                break;
            };
            if self.send_all(step, batch)? == Advance::Ended {
                return Ok(Advance::Ended);
            }
        }
        for passage in &step.passages {
            self.running.pass(&passage.stream.chain, passage.span.to);
        }
        Ok(Advance::GoOn)
    }

    /// Waits for the bucket. A transaction that grows old meanwhile is committed first; `None` when the replay ends
    /// with it.
    fn wait_for<T>(&mut self, asked: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        let mut asked = pin!(asked);
        if self.open_bytes > 0 {
            let left = TRANSACTION_TIME.saturating_sub(self.opened.elapsed());
            let timed = async { tokio::time::timeout(left, &mut asked).await };
            if let Ok(answer) = self.running.block_on(timed) {
                return answer.map(Some);
            }
            if self.commit()? == Advance::Ended {
                return Ok(None);
            }
        }
        self.running.block_on(asked).map(Some)
    }

    fn send_all(&mut self, step: &FlushStep, batch: Vec<StateRecord>) -> Result<Advance> {
        for mut record in batch {
            let chain = &step.passages[record.passage].stream.chain;
            let left = self.deleted.left_of(chain, &record);
            self.running.deleted.add(&left);
            let advance = match left {
                Left::All => self.send(chain, &record)?,
                Left::Some { value, .. } => {
                    record.value = Some(value);
                    self.send(chain, &record)?
                }
                Left::Nothing { .. } => self.leave(chain, &record)?,
            };
            if advance == Advance::Ended {
                return Ok(Advance::Ended);
            }
        }
        Ok(Advance::GoOn)
    }

    /// Goes past a record of which nothing is left.
    fn leave(&mut self, chain: &Chain, record: &StateRecord) -> Result<Advance> {
        self.running.pass(chain, record.offset.next());
        if self.running.is_stopped() {
            return self.commit();
        }
        Ok(Advance::GoOn)
    }

    fn send(&mut self, chain: &Chain, record: &StateRecord) -> Result<Advance> {
        if self.open_bytes == 0 {
            self.opened = Instant::now();
        }
        self.target.send(chain, record)?;
        let bytes = record.bytes();
        // A record of no bytes opens a transaction as well.
        self.open_bytes += bytes + 1;
        self.running.add(1, bytes);
        self.running.pass(chain, record.offset.next());
        let wait = self.running.wait_after(bytes);
        let is_due = self.open_bytes >= TRANSACTION_BYTES
            || self.opened.elapsed() + wait >= TRANSACTION_TIME
            || self.running.is_stopped();
        if is_due && self.commit()? == Advance::Ended {
            return Ok(Advance::Ended);
        }
        self.running.wait(wait);
        if self.running.is_stopped() {
            return self.commit();
        }
        Ok(Advance::GoOn)
    }

    fn commit(&mut self) -> Result<Advance> {
        let ends: BTreeMap<PartitionId, Offset> = self.target.commit()?;
        let held = self.holding.pass(HoldPoint::ReplayCommitted);
        self.running.block_on(held);
        self.open_bytes = 0;
        self.running.commit(Some(ends))
    }

    fn leave_out(&mut self, gone: Vec<Gone>) -> Result<()> {
        if self.running.job.on_gone == OnGone::Refuse && !gone.is_empty() {
            let parts: Vec<String> = gone.iter().map(Gone::to_string).collect();
            let parts = parts.join("; ");
            return Err(Error::RangeGone { parts });
        }
        for gone in gone {
            self.running.gone(gone);
        }
        Ok(())
    }
}
