//! The janitor at work: the product's own judgement, asked about flushes at any moment, and one request after another.
//!
//! What may be done is decided by [`skein_connector::janitor::verdict`]; the model only looks things up for it and carries
//! out what it says. In life its patience is hours. Here it may be none at all, so that it takes the living for dead.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use fastrand::Rng;
use skein_connector::janitor::verdict::{
    self, Evidence, Fate, Manifest, Thing, Verdict, Worker, verdict,
};
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest, FlushedSpan};
use skein_shared::format::ledger_entry::LedgerEntry;
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::{FlushId, WorkerId, WriteId};
use skein_shared::offset::Offset;
use skein_shared::units::Millis;
use uuid::Uuid;

use crate::model_s3::{Ask, Intact, ModelS3, Reply, time_at};
use crate::mutants::Mutation;

/// How old what the buggy janitor deletes is.
const OLD_MS: u64 = 2_500;

/// A janitor's pass over what one flush has left.
#[derive(Debug)]
pub struct Janitor {
    flush: FlushId,
    patience: Millis,
    now: u64,
    stage: Stage,
    things: VecDeque<Left>,
    worker: Worker,
    manifest: Option<Manifest>,
    spans: VecDeque<FlushedSpan>,
    mutation: Option<Mutation>,
    /// How many flushes it has declared void.
    pub voided: u64,
}

/// Something that a flush has left.
#[derive(Debug)]
struct Left {
    thing: Thing,
    since: u64,
    /// What takes it away.
    removal: Ask,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Does its worker tell?
    Status,
    /// What became of the flush?
    Flush,
    /// Where does the chain of its next span end?
    LastKey,
    LastEntry,
    /// Who holds that span's first offset?
    AtFrom(Option<Offset>),
    /// The void manifest is under way.
    Voiding,
    /// A thing is being taken away.
    Removing,
}

/// How a janitor is.
#[derive(Debug, Clone, Copy)]
pub struct Temper {
    /// How long a worker is silent, and a thing old, before its flush is fenced.
    pub patience: Millis,
    /// The bug in this world.
    pub mutation: Option<Mutation>,
}

/// Whose flushes a janitor may take up.
#[derive(Debug, Clone, Copy)]
pub enum Reach<'a> {
    /// Any: also those of slow live workers.
    Everybody,
    /// Those of workers that are not among these.
    AllBut(&'a BTreeSet<WorkerId>),
}

impl Reach<'_> {
    fn includes(self, worker: WorkerId) -> bool {
        match self {
            Self::Everybody => true,
            Self::AllBut(spared) => !spared.contains(&worker),
        }
    }
}

impl Janitor {
    /// Takes up a flush of which the bucket holds something, if there is one; gives its first request.
    pub fn begin(
        s3: &ModelS3,
        reach: Reach<'_>,
        (now, temper): (u64, Temper),
        rng: &mut Rng,
    ) -> Option<(Self, Ask)> {
        let objects = s3.objects().filter_map(|(key, _)| flush_of(key));
        let uploads = s3.uploads().filter_map(|(_, key, _)| flush_of(key));
        let mut flushes: Vec<FlushId> = objects.chain(uploads).collect();
        flushes.retain(|flush| reach.includes(flush.worker));
        flushes.sort_unstable();
        flushes.dedup();
        let flush = rng.choice(flushes)?;
        let mut janitor = Self {
            flush,
            patience: temper.patience,
            now,
            stage: Stage::Status,
            things: left_by(s3, flush),
            worker: Worker::Silent,
            manifest: None,
            spans: VecDeque::new(),
            mutation: temper.mutation,
            voided: 0,
        };
        if temper.mutation == Some(Mutation::DeletesByAge) {
            janitor.stage = Stage::Removing;
            let old = now.saturating_sub(OLD_MS);
            janitor.things.retain(|left| left.since <= old);
            let first = janitor.things.pop_front()?.removal;
            return Some((janitor, first));
        }
        let first = Ask::Get(ObjectKey::Status(flush.worker).to_string());
        Some((janitor, first))
    }

    /// The bucket answered; gives the next request, or nothing when the pass is over. Anything unexpected leaves the
    /// flush to a later pass: nothing was won.
    pub fn replied(&mut self, reply: Reply, now: u64, rng: &mut Rng) -> Option<Ask> {
        self.now = now;
        match (self.stage, reply) {
            (_, Reply::Body(_, Intact::FlippedBit(_))) => None,
            (Stage::Status, Reply::Body(status, _)) => {
                self.worker = self.voice_of(status.as_ref());
                Some(self.look_up())
            }
            (Stage::Flush, Reply::Body(manifest, _)) => self.found(manifest.as_ref(), rng),
            (Stage::LastKey, Reply::Key(None)) => self.ask_at_from(None),
            (Stage::LastKey, Reply::Key(Some(key))) => {
                self.stage = Stage::LastEntry;
                Some(Ask::Get(key))
            }
            (Stage::LastEntry, Reply::Body(Some(entry), _)) => {
                let (_, entry) = LedgerEntry::decode(&entry).ok()?;
                self.ask_at_from(Some(entry.span.to))
            }
            (Stage::AtFrom(end), Reply::Body(entry, _)) => self.judge_span(end, entry, rng),
            (Stage::Voiding, Reply::Done) => {
                self.voided += 1;
                self.manifest = Some(Manifest::Void);
                self.judge(rng)
            }
            (Stage::Voiding, Reply::Precondition) => Some(self.look_up()),
            (Stage::Removing, Reply::Done | Reply::NoSuchUpload) => {
                if self.mutation == Some(Mutation::DeletesByAge) {
                    return self.things.pop_front().map(|left| left.removal);
                }
                self.judge(rng)
            }
            _ => None,
        }
    }

    fn voice_of(&self, status: Option<&Bytes>) -> Worker {
        let told = status.and_then(|bytes| WorkerStatus::decode(bytes).ok());
        let is_young = told.is_some_and(|(_, status)| {
            let age = time_at(self.now).0 - status.as_of.0;
            age < self.patience.0.cast_signed()
        });
        if is_young {
            Worker::Tells
        } else {
            Worker::Silent
        }
    }

    fn look_up(&mut self) -> Ask {
        self.stage = Stage::Flush;
        Ask::Get(ObjectKey::Flush(self.flush).to_string())
    }

    fn found(&mut self, manifest: Option<&Bytes>, rng: &mut Rng) -> Option<Ask> {
        let Some(bytes) = manifest else {
            self.manifest = Some(Manifest::Absent);
            return self.judge(rng);
        };
        let (_, manifest) = FlushManifest::decode(bytes).ok()?;
        match manifest.body {
            FlushBody::Void { .. } => {
                self.manifest = Some(Manifest::Void);
                self.judge(rng)
            }
            FlushBody::Written(contents) => {
                self.manifest = Some(Manifest::Written(Vec::new()));
                self.spans = contents.spans.into();
                self.next_span(rng)
            }
        }
    }

    fn next_span(&mut self, rng: &mut Rng) -> Option<Ask> {
        let Some(span) = self.spans.front() else {
            return self.judge(rng);
        };
        self.stage = Stage::LastKey;
        Some(Ask::LastKey(Prefix::chain(&span.stream.chain)))
    }

    /// The end was looked up first.
    fn ask_at_from(&mut self, end: Option<Offset>) -> Option<Ask> {
        let span = self.spans.front()?;
        self.stage = Stage::AtFrom(end);
        let key = ObjectKey::LedgerEntry {
            chain: span.stream.chain.clone(),
            from: span.span.from,
        };
        Some(Ask::Get(key.to_string()))
    }

    fn judge_span(
        &mut self,
        end: Option<Offset>,
        entry: Option<Bytes>,
        rng: &mut Rng,
    ) -> Option<Ask> {
        let span = self.spans.pop_front()?;
        let entry = entry.map(|bytes| LedgerEntry::decode(&bytes)).transpose();
        let entry = entry.ok()?.map(|(_, entry)| entry);
        let fate = verdict::fate(self.flush, span.span.from, end, entry.as_ref());
        if let Some(Manifest::Written(fates)) = &mut self.manifest {
            fates.push(fate);
        }
        if fate != Fate::Lost {
            // One span that counts, or may, keeps everything.
            self.spans.clear();
        }
        self.next_span(rng)
    }

    /// Does with the next thing what may be done.
    fn judge(&mut self, rng: &mut Rng) -> Option<Ask> {
        let manifest = self.manifest.clone()?;
        while let Some(left) = self.things.front() {
            let evidence = Evidence {
                thing: left.thing,
                manifest: manifest.clone(),
                worker: self.worker,
                age: Millis(self.now.saturating_sub(left.since)),
            };
            match verdict(&evidence, self.patience) {
                Verdict::Keep(_) => drop(self.things.pop_front()),
                Verdict::DeclareVoid => return Some(self.declare_void(rng)),
                Verdict::Remove => {
                    self.stage = Stage::Removing;
                    return self.things.pop_front().map(|left| left.removal);
                }
            }
        }
        let collects = self.mutation == Some(Mutation::CollectsVoidFlushes);
        if collects && self.manifest.take() == Some(Manifest::Void) {
            let key = ObjectKey::Flush(self.flush).to_string();
            return Some(Ask::Delete(key));
        }
        None
    }

    fn declare_void(&mut self, rng: &mut Rng) -> Ask {
        self.stage = Stage::Voiding;
        let write = WriteId(Uuid::from_u128(rng.u128(..)));
        let void = FlushManifest {
            flush: self.flush,
            body: FlushBody::Void {
                reason: "left behind".to_owned(),
            },
        };
        let key = ObjectKey::Flush(self.flush).to_string();
        Ask::Create(key, void.encode(write), write)
    }
}

/// What the bucket holds of a flush, as a list shows it.
fn left_by(s3: &ModelS3, flush: FlushId) -> VecDeque<Left> {
    let is_its = |key: &str| flush_of(key) == Some(flush);
    let uploads = s3.uploads().filter(|(_, key, _)| is_its(key));
    let uploads = uploads.map(|(id, _, since)| Left {
        thing: Thing::Upload,
        since,
        removal: Ask::Abort(id),
    });
    let objects = s3.objects().filter(|(key, _)| is_its(key));
    let objects = objects.map(|(key, object)| Left {
        thing: Thing::Object,
        since: object.written_at,
        removal: Ask::Delete(key.clone()),
    });
    uploads.chain(objects).collect()
}

fn flush_of(key: &str) -> Option<FlushId> {
    if !key.contains("/state/") {
        return None;
    }
    let (_, name) = key.rsplit_once('/')?;
    let (flush, _) = name.rsplit_once('-')?;
    flush.parse().ok()
}
