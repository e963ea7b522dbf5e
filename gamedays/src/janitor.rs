//! A model of the janitor: fence before delete.
//!
//! It touches what a flush has left only after it has won the flush's manifest with a void body, or when the first key of
//! every span is held by another flush.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use fastrand::Rng;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{FlushId, WorkerId, WriteId};
use uuid::Uuid;

use crate::model_s3::{Ask, Intact, ModelS3, Reply};
use crate::mutants::Mutation;

/// How old what the buggy janitor deletes is.
const OLD_MS: u64 = 2_500;

/// A janitor's pass over one flush.
#[derive(Debug)]
pub struct Janitor {
    flush: FlushId,
    stage: Stage,
    left: VecDeque<Ask>,
    mutation: Option<Mutation>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// What became of the flush?
    Looking,
    /// The void manifest is under way.
    Voiding,
    /// Are the spans' first keys held by others?
    Comparing,
    /// What is left is being removed.
    Removing,
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
        (now, mutation): (u64, Option<Mutation>),
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
            stage: Stage::Looking,
            left: VecDeque::new(),
            mutation,
        };
        if mutation == Some(Mutation::DeletesByAge) {
            let first = janitor.remove_all(s3, now.saturating_sub(OLD_MS))?;
            return Some((janitor, first));
        }
        let key = ObjectKey::Flush(flush).to_string();
        Some((janitor, Ask::Get(key)))
    }

    /// The bucket answered; gives the next request, or nothing when the pass is over.
    pub fn replied(&mut self, s3: &ModelS3, reply: Reply, now: u64, rng: &mut Rng) -> Option<Ask> {
        match (self.stage, reply) {
            (Stage::Looking, Reply::Body(None, _)) => {
                self.stage = Stage::Voiding;
                let write = WriteId(Uuid::from_u128(rng.u128(..)));
                let void = FlushManifest {
                    flush: self.flush,
                    body: FlushBody::Void {
                        reason: "left behind".to_owned(),
                    },
                };
                let key = ObjectKey::Flush(self.flush).to_string();
                Some(Ask::Create(key, void.encode(write), write))
            }
            (Stage::Looking, Reply::Body(Some(bytes), Intact::Yes)) => self.found(s3, &bytes, now),
            (Stage::Voiding, Reply::Done) => self.remove_all(s3, now),
            (Stage::Comparing, Reply::Body(Some(bytes), Intact::Yes)) => {
                let (_, entry) = LedgerEntry::decode(&bytes).ok()?;
                match entry.kind {
                    EntryKind::Flushed { flush, .. } if flush == self.flush => None,
                    EntryKind::Flushed { .. } | EntryKind::LostSpan { .. } => {
                        let next = self.left.pop_front();
                        next.or_else(|| self.remove_all(s3, now))
                    }
                }
            }
            (Stage::Removing, Reply::Done | Reply::NoSuchUpload) => self.left.pop_front(),
            // Anything else leaves the flush to a later pass: nothing was won.
            _ => None,
        }
    }

    fn found(&mut self, s3: &ModelS3, bytes: &Bytes, now: u64) -> Option<Ask> {
        let (_, manifest) = FlushManifest::decode(bytes).ok()?;
        match manifest.body {
            FlushBody::Void { .. } => self.remove_all(s3, now),
            FlushBody::Written(contents) => {
                self.stage = Stage::Comparing;
                let keys = contents.spans.iter().map(|span| {
                    let key = ObjectKey::LedgerEntry {
                        chain: span.stream.chain.clone(),
                        from: span.span.from,
                    };
                    Ask::Get(key.to_string())
                });
                self.left = keys.collect();
                self.left.pop_front()
            }
        }
    }

    fn remove_all(&mut self, s3: &ModelS3, before: u64) -> Option<Ask> {
        self.stage = Stage::Removing;
        let is_ours = |key: &str| flush_of(key) == Some(self.flush);
        let objects = s3
            .objects()
            .filter(|(key, object)| is_ours(key) && object.written_at <= before);
        let objects = objects.map(|(key, _)| Ask::Delete(key.clone()));
        let uploads = s3
            .uploads()
            .filter(|(_, key, started)| is_ours(key) && *started <= before);
        let uploads = uploads.map(|(id, ..)| Ask::Abort(id));
        self.left = uploads.chain(objects).collect();
        if self.mutation == Some(Mutation::CollectsVoidFlushes) {
            let key = ObjectKey::Flush(self.flush).to_string();
            self.left.push_back(Ask::Delete(key));
        }
        self.left.pop_front()
    }
}

fn flush_of(key: &str) -> Option<FlushId> {
    if !key.contains("/state/") {
        return None;
    }
    let (_, name) = key.rsplit_once('/')?;
    let (flush, _) = name.rsplit_once('-')?;
    flush.parse().ok()
}
