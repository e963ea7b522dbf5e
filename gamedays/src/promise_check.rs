//! The promises, checked after every step against what Kafka held and what the bucket holds.
//!
//! Shares no decision with the connector's core: what has to be stored is computed from the model's own logs, byte for
//! byte; only the formats' decoders are the product's.

mod routing;
mod object_facts;
mod chain_state;
mod watermark_check;
mod entry_check;
mod process_check;

pub use chain_state::ChainState;
pub use process_check::{Held, Reads};
pub use routing::{Routings, Version};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use skein_config::connector::{ConnectorSettings, OnReplacedLog};
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::flush_manifest::{FlushBody, FlushContents, FlushManifest};
use skein_shared::format::ledger_entry::{Genesis, LedgerEntry};
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::{Chain, FlushId, Incarnation, WorkerId};
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;
use skein_shared::units::Millis;

use crate::model_kafka::log::Log;
use crate::model_kafka::{Commit, ModelKafka, Place};
use crate::model_s3::{Effect, ModelS3, Object};
use crate::promise_check::object_facts::ObjectFacts;

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// How.
    pub words: String,
}

/// What a check says.
pub type Verdict = Result<(), Violation>;

/// Everything that was promised so far.
#[derive(Debug)]
pub struct PromiseCheck {
    chains: BTreeMap<(Place, Incarnation), ChainState>,
    flushes: BTreeMap<FlushId, FlushContents>,
    objects: BTreeMap<String, Rc<ObjectFacts>>,
    /// Objects whose frames count.
    counting: BTreeSet<String>,
    decoder: BlockDecoder,
    /// Every version of the shard map.
    pub routings: Routings,
    statuses: BTreeMap<WorkerId, WorkerStatus>,
    settings: ConnectorSettings,
    delay: Millis,
    /// How often the watermark of a chain was compared with what Kafka had.
    pub watermarks: u64,
}

/// What the check may look at.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// What Kafka holds and held.
    pub kafka: &'a ModelKafka,
    /// What the bucket holds.
    pub s3: &'a ModelS3,
}

/// Says that a promise is broken.
pub(crate) fn broken(promise: Promise, words: impl Into<String>) -> Verdict {
    Err(violation(promise, words))
}

pub(crate) fn violation(promise: Promise, words: impl Into<String>) -> Violation {
    Violation {
        promise,
        words: words.into(),
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promise, words } = self;
        write!(f, "SK-{} {promise:?}: {words}", promise.number())
    }
}

impl PromiseCheck {
    /// Nothing is promised yet. `delay` is what readers grant to late records and to clocks that run ahead.
    pub fn new(settings: ConnectorSettings, delay: Millis) -> Self {
        Self {
            chains: BTreeMap::new(),
            flushes: BTreeMap::new(),
            objects: BTreeMap::new(),
            counting: BTreeSet::new(),
            decoder: BlockDecoder::default(),
            routings: Routings::default(),
            statuses: BTreeMap::new(),
            settings,
            delay,
            watermarks: 0,
        }
    }

    /// Checks what a request has changed in the bucket.
    ///
    /// # Errors
    /// The promise that the change breaks.
    pub fn changed(&mut self, truth: Truth<'_>, effect: &Effect) -> Verdict {
        match effect {
            Effect::None => Ok(()),
            Effect::Written(key, before) => self.written(truth, key, before.as_ref()),
            Effect::Deleted(key, _) => self.deleted(key),
        }
    }

    fn written(&mut self, truth: Truth<'_>, key: &str, before: Option<&Object>) -> Verdict {
        let bytes = &truth.s3.object(key).expect("it was just written").bytes;
        if let Some(before) = before {
            if before.bytes == *bytes {
                return Ok(());
            }
            let is_metadata = key.starts_with("ledger/") || key.starts_with("flushes/");
            if is_metadata || self.counting.contains(key) {
                let words = format!("`{key}` was overwritten with other bytes");
                return broken(Promise::Fenced, words);
            }
        }
        if key.starts_with("ledger/") {
            self.ledger_written(truth, key, bytes)
        } else if key.starts_with("flushes/") {
            self.flush_written(key, bytes)
        } else if key.starts_with("status/") {
            self.status_written(truth.kafka, key, bytes)
        } else {
            let facts = ObjectFacts::read((&mut self.decoder, &self.routings), truth.kafka, bytes)
                .map_err(|mut broken| {
                    broken.words = format!("object `{key}`: {}", broken.words);
                    broken
                })?;
            self.objects.insert(key.to_owned(), Rc::new(facts));
            Ok(())
        }
    }

    fn deleted(&mut self, key: &str) -> Verdict {
        self.objects.remove(key);
        if self.counting.contains(key) {
            let words = format!("`{key}` was deleted, and the ledger names its flush");
            return broken(Promise::Fenced, words);
        }
        if key.starts_with("ledger/") {
            return broken(Promise::LedgerContiguous, format!("`{key}` was deleted"));
        }
        Ok(())
    }

    fn ledger_written(&mut self, truth: Truth<'_>, key: &str, bytes: &[u8]) -> Verdict {
        let unreadable = |error: skein_shared::Error| {
            violation(Promise::CompleteOrInvisible, format!("`{key}`: {error}"))
        };
        if key.ends_with("/genesis") {
            let (_, genesis) = Genesis::decode(bytes).map_err(unreadable)?;
            let place = truth.kafka.place_of_chain(&genesis.chain);
            let log = truth.kafka.log(place);
            let chain = ChainState::begin(&genesis, log)?;
            self.life_began(log, (place, genesis.chain.incarnation))?;
            self.chains
                .insert((place, genesis.chain.incarnation), chain);
            return Ok(());
        }
        let (_, entry) = LedgerEntry::decode(bytes).map_err(unreadable)?;
        if !key.ends_with(&format!("/{:020}", entry.span.from.0)) {
            let words = format!("`{key}` holds the span {}", entry.span);
            return broken(Promise::LedgerContiguous, words);
        }
        self.entry_written(truth, &entry)
    }

    /// SK-3: a topic has another life only where its log was replaced, and an operator said so.
    fn life_began(&self, log: &Log, (place, life): (Place, Incarnation)) -> Verdict {
        let Some(before) = life.0.checked_sub(1) else {
            return Ok(());
        };
        let before = self.chains.get(&(place, Incarnation(before)));
        let is_over = before.is_some_and(|chain| !chain.histories.holds(log.history()));
        if is_over && self.settings.on_replaced_log == OnReplacedLog::NewIncarnation {
            return Ok(());
        }
        let words = format!("partition {place} began its life {life:?} after {before:?}");
        broken(Promise::NothingLost, words)
    }

    fn flush_written(&mut self, key: &str, bytes: &[u8]) -> Verdict {
        let (_, manifest) = FlushManifest::decode(bytes).map_err(|error| {
            violation(Promise::CompleteOrInvisible, format!("`{key}`: {error}"))
        })?;
        let FlushBody::Written(contents) = manifest.body else {
            return Ok(());
        };
        for object in &contents.objects {
            let known = self.objects.get(&object.key);
            let is_it = known.is_some_and(|facts| {
                facts.object_bytes == object.object_bytes
                    && facts.crc32c == object.crc32c
                    && facts.flush == manifest.flush
                    && facts.frames.len() as u64 == object.frames
            });
            if !is_it {
                let words = format!(
                    "`{key}` names `{}`, which is not there as it says",
                    object.key
                );
                return broken(Promise::CompleteOrInvisible, words);
            }
        }
        self.flushes.insert(manifest.flush, contents);
        Ok(())
    }

    /// Checks an offset that a worker is about to commit. It reads a chain, and cannot know of a later life that
    /// another worker may begin while the commit is on its way.
    ///
    /// # Errors
    /// SK-1.
    pub fn commit_sent(&self, chain: &Chain, place: Place, offset: Offset) -> Verdict {
        let known = self.chains.get(&(place, chain.incarnation));
        let Some(end) = known.map(|chain| chain.end) else {
            let words = format!("{chain}: {offset} is committed, there is no chain");
            return broken(Promise::CommitBehindLedger, words);
        };
        if end < offset {
            let words = format!("{chain}: {offset} is committed, the ledger ends at {end}");
            return broken(Promise::CommitBehindLedger, words);
        }
        Ok(())
    }

    /// Checks a commit that Kafka has taken.
    ///
    /// # Errors
    /// SK-4.
    pub fn committed(&self, kafka: &ModelKafka, commit: &Commit) -> Verdict {
        for (place, _) in &commit.offsets {
            if kafka.group.is_another_s(commit.member, *place) {
                let name = kafka.name(*place);
                let name = format!("{}/{}", name.topic, name.partition);
                let words = format!("{name}: member {} committed what it lost", commit.member.0);
                return broken(Promise::Fenced, words);
            }
        }
        Ok(())
    }

    /// The chain of a partition's newest life.
    pub fn newest_chain(&self, place: Place) -> Option<&ChainState> {
        let lives = (place, Incarnation(0))..=(place, Incarnation(u32::MAX));
        self.chains.range(lives).next_back().map(|(_, chain)| chain)
    }

    /// A log was truncated or made anew: chains that cover what it has no more can never be those of the new one.
    pub fn history_began(&mut self, kafka: &ModelKafka, place: Place) {
        let lives = (place, Incarnation(0))..=(place, Incarnation(u32::MAX));
        for (_, chain) in self.chains.range_mut(lives) {
            chain.history_began(kafka.log(place));
        }
    }
}
