//! A model of Kafka, the group and the bucket that drives cores in tests, and checks the promises.

mod worker;

pub(super) use worker::Worker;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry, StartPolicy};
use skein_shared::format::state_object::{Head, TailRead, read_tail};
use skein_shared::ids::{Chain, FlushId, PartitionId, SourceName, Tenure, TopicName, WorkerId};
use skein_shared::offset::Offset;
use skein_shared::retry::RetryPolicy;
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::TimestampMs;
use uuid::Uuid;

use crate::core::action::{Request, Standing};
use crate::core::event::{Answer, ChainView, LedgerEnd, TopicPartition};
use crate::core::{CoreOptions, Floors, Until, test_settings};

/// Every thirteenth offset is a transaction marker, and so is every partition's last.
fn is_record(offset: i64, end: i64) -> bool {
    offset % 13 != 5 && offset != end - 1
}

fn place_of(chain: &Chain) -> usize {
    chain.partition.0 as usize
}

pub(super) fn value_of(partition: u32, offset: i64) -> Vec<u8> {
    let org = u8::try_from((offset * 7 + i64::from(partition)) % 5).unwrap();
    let mut value = vec![8, org];
    value.extend_from_slice(&offset.to_le_bytes());
    value.extend(std::iter::repeat_n(
        u8::try_from(partition % 251).unwrap(),
        40,
    ));
    value
}

/// What is durable, and what Kafka has.
pub(super) struct World {
    pub(super) ends: Vec<i64>,
    pub(super) lows: Vec<i64>,
    pub(super) genesis: BTreeMap<Chain, Offset>,
    pub(super) ledger: BTreeMap<Chain, Vec<LedgerEntry>>,
    pub(super) manifests: BTreeMap<FlushId, FlushManifest>,
    pub(super) objects: BTreeMap<String, Bytes>,
    pub(super) committed: BTreeMap<TopicPartition, Offset>,
    /// Keys of the uploads that a janitor dropped.
    pub(super) dropped: BTreeSet<String>,
    /// What each worker told last.
    pub(super) statuses: BTreeMap<WorkerId, Vec<Standing>>,
    writes: BTreeMap<String, Uuid>,
}

pub(super) fn name(partition: usize) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new("t").unwrap(),
        partition: PartitionId(u32::try_from(partition).unwrap()),
    }
}

pub(super) fn options(seed: u64) -> CoreOptions {
    let mut settings = test_settings();
    settings.roll_records = 20;
    settings.flush_interval = Millis(1000);
    settings.drain_timeout = Millis(2000);
    settings.memory_budget = ByteCount::mib(200);
    let routing = Routing {
        modulus: 3,
        dedicated: BTreeSet::new(),
    };
    CoreOptions {
        settings,
        retry: RetryPolicy::default(),
        source: SourceName::new("s").unwrap(),
        worker: WorkerId(Uuid::from_u128(u128::from(seed) * 77_777 + 1)),
        seed,
        epoch: TimestampMs(1_700_000_000_000),
        shard_map: ShardMap::new(routing),
        payload_limit_bytes: 1000,
        start: StartPolicy::Earliest,
        until: Until::Asked,
        floors: Floors::S3,
        compressors: 0,
        mutant: None,
    }
}

impl World {
    pub(super) fn new(ends: &[i64]) -> Self {
        Self {
            ends: ends.to_vec(),
            lows: vec![0; ends.len()],
            genesis: BTreeMap::new(),
            ledger: BTreeMap::new(),
            manifests: BTreeMap::new(),
            objects: BTreeMap::new(),
            committed: BTreeMap::new(),
            dropped: BTreeSet::new(),
            statuses: BTreeMap::new(),
            writes: BTreeMap::new(),
        }
    }

    pub(super) fn end_of(&self, chain: &Chain) -> Option<Offset> {
        let start = *self.genesis.get(chain)?;
        let last = self.last_entry(chain);
        Some(last.map_or(start, |entry| entry.span.to))
    }

    fn newest(&self, from: &Chain) -> Chain {
        let same_topic = |chain: &&Chain| chain.partition == from.partition;
        let newest = self.genesis.keys().filter(same_topic).max();
        newest.unwrap_or(from).clone()
    }

    fn last_entry(&self, chain: &Chain) -> Option<&LedgerEntry> {
        self.ledger.get(chain)?.last()
    }

    fn created(&mut self, key: String, write: Uuid) -> bool {
        *self.writes.entry(key).or_insert(write) == write
    }

    /// Carries a request out, for good.
    fn carry_out(&mut self, worker: &mut Worker, request: Request) -> Answer {
        match request {
            Request::LookUpChain(asked) => {
                let chain = self.newest(&asked);
                Answer::Chain(ChainView {
                    incarnation: chain.incarnation,
                    ledger: self.end_of(&chain).map(|offset| LedgerEnd {
                        offset,
                        last: self.last_entry(&chain).and_then(|entry| entry.last),
                    }),
                    kafka_low: Offset(self.lows[place_of(&chain)]),
                    kafka_high: Offset(self.ends[place_of(&chain)]),
                })
            }
            Request::CreateGenesis { chain, start, .. } => {
                if *self.genesis.entry(chain).or_insert(start) == start {
                    Answer::Ours
                } else {
                    Answer::Taken
                }
            }
            Request::PutObject { key, body, .. } => {
                self.objects.insert(key, body);
                Answer::Stored
            }
            Request::UploadPart { key, .. } if self.dropped.contains(&key) => Answer::UploadGone,
            Request::UploadPart {
                object,
                key,
                part,
                body,
                ..
            } => {
                let upload = worker
                    .uploads
                    .entry(object)
                    .or_insert((key, BTreeMap::new()));
                upload.1.insert(part, body);
                Answer::Stored
            }
            Request::CompleteUpload(object) => {
                let upload = worker.uploads.get(&object);
                if upload.is_some_and(|(key, _)| self.dropped.contains(key)) {
                    return Answer::UploadGone;
                }
                if let Some((key, parts)) = worker.uploads.remove(&object) {
                    let all: Vec<u8> = parts.values().flatten().copied().collect();
                    self.objects.insert(key, all.into());
                }
                Answer::Stored
            }
            Request::CreateFlushManifest { manifest, write } => {
                if !self.writes.contains_key(&manifest.flush.to_string()) {
                    self.check_objects(&manifest);
                }
                if self.create_manifest(*manifest, write.0) {
                    Answer::Ours
                } else {
                    Answer::Taken
                }
            }
            Request::AppendLedger { entry, write } => self.append(*entry, write.0),
            Request::WriteStatus {
                worker, standings, ..
            } => {
                self.statuses.insert(worker, standings);
                Answer::Stored
            }
        }
    }

    /// Creates a flush's manifest if it is absent; whether the one that stands is of this write.
    pub(super) fn create_manifest(&mut self, manifest: FlushManifest, write: Uuid) -> bool {
        let is_ours = self.created(manifest.flush.to_string(), write);
        if is_ours {
            self.manifests.insert(manifest.flush, manifest);
        }
        is_ours
    }

    /// SK-1, SK-2: an entry follows the one before, and everything it names is durable.
    fn append(&mut self, entry: LedgerEntry, write: Uuid) -> Answer {
        let key = format!("{}/{}", entry.chain, entry.span.from);
        let is_new = !self.writes.contains_key(&key);
        if !self.created(key, write) {
            let entries = &self.ledger[&entry.chain];
            let other = entries
                .iter()
                .find(|other| other.span.from == entry.span.from);
            return Answer::AppendTaken(Box::new(other.unwrap().clone()));
        }
        if is_new {
            let end = self
                .end_of(&entry.chain)
                .expect("a chain begins with its genesis");
            assert_eq!(entry.span.from, end, "SK-2: contiguous, no overlap");
            match &entry.kind {
                EntryKind::Flushed { flush, .. } => {
                    let manifest = self.manifests.get(flush).map(|manifest| &manifest.body);
                    let is_written = matches!(manifest, Some(FlushBody::Written(_)));
                    assert!(is_written, "the manifest comes first");
                }
                EntryKind::LostSpan { .. } => {
                    let low = self.lows[place_of(&entry.chain)];
                    assert!(entry.span.to.0 <= low, "SK-3: only what Kafka lost is lost");
                }
            }
            self.ledger
                .entry(entry.chain.clone())
                .or_default()
                .push(entry);
        }
        Answer::Appended
    }

    fn check_objects(&self, manifest: &FlushManifest) {
        let FlushBody::Written(contents) = &manifest.body else {
            panic!("cores write no void flushes");
        };
        for object in &contents.objects {
            let bytes = self
                .objects
                .get(&object.key)
                .expect("objects come before the manifest");
            assert_eq!(bytes.len() as u64, object.object_bytes);
            assert_eq!(crc_of(bytes), object.crc32c);
        }
    }

    /// SK-3: every record below the ledger's end is exactly one frame that counts.
    pub(super) fn check_frames(&self) {
        let mut counting: BTreeMap<(Chain, FlushId, Tenure), Vec<&LedgerEntry>> = BTreeMap::new();
        for entry in self.ledger.values().flatten() {
            if let EntryKind::Flushed { flush, tenure } = entry.kind {
                let key = (entry.chain.clone(), flush, tenure);
                counting.entry(key).or_default().push(entry);
            }
        }
        let mut seen: BTreeSet<(Chain, Offset)> = BTreeSet::new();
        for bytes in self.objects.values() {
            let counting = frames_of(bytes).into_iter().filter(|frame| {
                let (chain, tenure, flush, offset, _) = frame;
                let entries = counting.get(&(chain.clone(), *flush, *tenure));
                let mut entries = entries.into_iter().flatten();
                entries.any(|entry| entry.span.contains(*offset))
            });
            for (chain, _, _, offset, value) in counting {
                assert_eq!(value, value_of(chain.partition.0, offset.0), "as it came");
                assert!(seen.insert((chain, offset)), "SK-3: exactly once");
            }
        }
        let lost: Vec<&LedgerEntry> = self
            .ledger
            .values()
            .flatten()
            .filter(|entry| matches!(entry.kind, EntryKind::LostSpan { .. }))
            .collect();
        let is_lost = |chain: &Chain, offset: Offset| {
            let mut of_chain = lost.iter().filter(|entry| entry.chain == *chain);
            of_chain.any(|entry| entry.span.contains(offset))
        };
        for (chain, start) in &self.genesis {
            let place = place_of(chain);
            let end = self.end_of(chain).unwrap();
            for offset in start.0..end.0 {
                let is_there = seen.contains(&(chain.clone(), Offset(offset)));
                let expected =
                    is_record(offset, self.ends[place]) && !is_lost(chain, Offset(offset));
                assert_eq!(is_there, expected, "SK-3: {chain} offset {offset}");
            }
        }
    }
}

fn crc_of(bytes: &[u8]) -> u32 {
    skein_shared::format::checksum::crc32c(bytes)
}

type FrameParts = (Chain, Tenure, FlushId, Offset, Vec<u8>);

fn frames_of(bytes: &Bytes) -> Vec<FrameParts> {
    let head = Head::decode(bytes).unwrap();
    let TailRead::Footer(footer) = read_tail(bytes, bytes.len() as u64).unwrap() else {
        panic!("the whole object was given");
    };
    let mut decoder = BlockDecoder::new();
    let mut frames = Vec::new();
    for entry in &footer.blocks {
        let at = usize::try_from(entry.at).unwrap();
        let length = usize::try_from(entry.bytes).unwrap();
        let block = decoder
            .decode(&head.marker, &bytes[at..at + length])
            .unwrap();
        for frame in block.frames() {
            let frame = frame.unwrap();
            let stream = &block.streams()[frame.stream];
            let value = frame.record.value.unwrap().to_vec();
            let offset = frame.record.offset;
            frames.push((
                stream.chain.clone(),
                stream.tenure,
                head.flush,
                offset,
                value,
            ));
        }
    }
    frames
}
