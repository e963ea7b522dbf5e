//! One process of the model: a core, and what is under way.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use skein_shared::format::block::EncodedBlock;
use skein_shared::format::frame::{HeadersRef, RecordRef, RecordTimestamp};
use skein_shared::offset::Offset;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use crate::core::action::{
    Action, CommitNumber, ExitReason, Notice, ObjectNumber, Request, RequestId,
};
use crate::core::event::{CommitOutcome, Event, Failure, Remedy, TopicPartition};
use crate::core::model::{World, is_record, name, value_of};
use crate::core::{Core, CoreOptions};

/// One process.
pub(in crate::core) struct Worker {
    pub(in crate::core) core: Core,
    pub(in crate::core) now: u64,
    pub(in crate::core) requests: BTreeMap<RequestId, Request>,
    pub(in crate::core) blocks: Vec<(ObjectNumber, EncodedBlock)>,
    pub(in crate::core) hedged: Vec<RequestId>,
    pub(in crate::core) commit: Option<(CommitNumber, Vec<(TopicPartition, Offset)>)>,
    /// What it fetches, and from where.
    pub(in crate::core) reads: BTreeMap<TopicPartition, i64>,
    pub(in crate::core) answered: u32,
    pub(in crate::core) paused: bool,
    pub(in crate::core) alerts: Vec<String>,
    pub(in crate::core) notices: Vec<Notice>,
    pub(in crate::core) exit: Option<ExitReason>,
    pub(in crate::core) uploads: BTreeMap<ObjectNumber, (String, BTreeMap<u32, Bytes>)>,
}

impl Worker {
    pub(in crate::core) fn new(options: CoreOptions) -> Self {
        Self {
            core: Core::new(options, Millis(0)),
            now: 0,
            requests: BTreeMap::new(),
            blocks: Vec::new(),
            hedged: Vec::new(),
            commit: None,
            reads: BTreeMap::new(),
            answered: 0,
            paused: false,
            alerts: Vec::new(),
            notices: Vec::new(),
            exit: None,
            uploads: BTreeMap::new(),
        }
    }

    /// The wall clock when it started.
    pub(in crate::core) fn core_epoch(&self) -> TimestampMs {
        self.core.options.epoch
    }

    pub(in crate::core) fn tell(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        self.core.step(Millis(self.now), event, &mut actions);
        for action in actions {
            self.obey(action);
        }
    }

    /// What is kept up to date of all partitions together is what a look at each of them tells.
    pub(in crate::core) fn check_census(&mut self) {
        let of_all = self.core.partitions.census_of_all();
        assert_eq!(*self.core.partitions.census(), of_all);
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Assign { added, all } => {
                self.answered += 1;
                self.reads
                    .retain(|name, _| all.iter().any(|(kept, _)| kept == name));
                self.reads
                    .extend(added.into_iter().map(|(name, from)| (name, from.0)));
                assert_eq!(self.reads.len(), all.len());
            }
            Action::Unassign { removed, .. } => {
                self.answered += 1;
                self.reads.retain(|name, _| !removed.contains(name));
            }
            Action::Pause => self.paused = true,
            Action::Resume => self.paused = false,
            Action::Encode {
                object,
                block,
                marker,
            } => self.blocks.push((object, block.encode(&marker))),
            Action::Send(id, request) => {
                self.requests.insert(id, request);
            }
            Action::Hedge(id, _) => self.hedged.push(id),
            // One that is still under way was given up: only a rule's test tells its outcome.
            Action::Commit(number, offsets) => self.commit = Some((number, offsets)),
            Action::Alert { reason, .. } => self.alerts.push(reason.to_string()),
            Action::Notify(notice) => self.notices.push(notice),
            Action::Exit(reason) => self.exit = Some(reason),
        }
    }

    /// Delivers the next record of a partition, if there is one.
    pub(in crate::core) fn deliver(&mut self, world: &World, partition: usize) -> bool {
        let end = world.ends[partition];
        let Some(next) = self
            .reads
            .get_mut(&name(partition))
            .filter(|_| !self.paused)
        else {
            return false;
        };
        while *next < end && !is_record(*next, end) {
            *next += 1;
        }
        if *next >= end {
            return false;
        }
        let offset = *next;
        *next += 1;
        let partition = u32::try_from(partition).unwrap();
        self.give(partition, offset, &value_of(partition, offset));
        true
    }

    pub(in crate::core) fn give(&mut self, partition: u32, offset: i64, value: &[u8]) {
        self.give_with(partition, offset, value, HeadersRef::EMPTY);
    }

    pub(in crate::core) fn give_with(
        &mut self,
        partition: u32,
        offset: i64,
        value: &[u8],
        headers: HeadersRef<'_>,
    ) {
        let record = RecordRef {
            offset: Offset(offset),
            timestamp: RecordTimestamp::Created(TimestampMs(1_700_000_000_000 + offset)),
            key: None,
            value: Some(value),
            headers,
        };
        let topic = "t";
        self.tell(Event::Record {
            topic,
            partition,
            record: &record,
        });
    }

    pub(in crate::core) fn tell_positions(&mut self) {
        let positions = self
            .reads
            .iter()
            .map(|(name, next)| (name.clone(), Offset(*next)));
        self.tell(Event::Positions(positions.collect()));
    }

    /// Brings the blocks back, in a random order.
    pub(in crate::core) fn encode(&mut self, rng: &mut Rng) {
        rng.shuffle(&mut self.blocks);
        for (object, block) in std::mem::take(&mut self.blocks) {
            self.tell(Event::BlockEncoded { object, block });
        }
    }

    /// Carries one request out and brings the answer back.
    pub(in crate::core) fn answer(&mut self, world: &mut World, id: RequestId) {
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let answer = world.carry_out(self, request);
        self.tell(Event::Answered(id, answer));
    }

    /// The request is carried out, but its answer is lost.
    pub(in crate::core) fn lose_answer(&mut self, world: &mut World, id: RequestId) {
        if let Some(request) = self.requests.remove(&id) {
            world.carry_out(self, request);
            self.fail(id, Remedy::Again);
        }
    }

    pub(in crate::core) fn fail(&mut self, id: RequestId, remedy: Remedy) {
        self.requests.remove(&id);
        let reason = "modelled".to_owned();
        self.tell(Event::Failed(id, Failure { remedy, reason }));
    }

    /// Carries the commit out. SK-1: it never passes the ledger's end.
    pub(in crate::core) fn finish_commit(&mut self, world: &mut World) {
        let Some((number, offsets)) = self.commit.take() else {
            return;
        };
        for (partition, offset) in offsets {
            let chain = world
                .genesis
                .keys()
                .find(|c| c.partition == partition.partition);
            let end = world.end_of(chain.expect("a genesis comes first")).unwrap();
            assert!(
                offset <= end,
                "SK-1: {offset} was committed, the ledger ends at {end}"
            );
            world.committed.insert(partition, offset);
        }
        self.tell(Event::Committed(number, CommitOutcome::Done));
    }

    pub(in crate::core) fn advance(&mut self, millis: u64) {
        self.now += millis;
        self.tell(Event::Tick);
    }

    /// Lets everything that is under way come to its end.
    pub(in crate::core) fn settle(&mut self, world: &mut World, rng: &mut Rng) {
        for _ in 0..1000 {
            self.encode(rng);
            let ids: Vec<RequestId> = self.requests.keys().copied().collect();
            for id in ids {
                self.answer(world, id);
            }
            self.finish_commit(world);
            if self.blocks.is_empty() && self.requests.is_empty() && self.commit.is_none() {
                return;
            }
        }
        panic!("SK-15: it never settles");
    }
}
