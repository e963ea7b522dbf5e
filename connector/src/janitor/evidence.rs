//! What the bucket proves about flushes, looked up as it is needed.

use std::collections::{BTreeMap, HashMap};

use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::fills::{Fills, end_of};
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest, FlushedSpan};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::{Chain, FlushId, Hole, WorkerId};
use skein_shared::ledger::Ledger;
use skein_shared::offset::Offset;
use skein_shared::status_log;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use skein_shared::{Error, Result};

use crate::janitor::damage::Damage;
use crate::janitor::verdict::{Evidence, Fate, Manifest, Thing, Worker, fate};

/// Knows what was looked up in this run. Old knowledge only ever errs towards keeping: what counts, what is
/// void and what is lost stay so for ever.
pub(super) struct Witness<'a> {
    bucket: &'a Bucket,
    ledger: Ledger,
    now: TimestampMs,
    patience: Millis,
    statuses: Vec<WorkerStatus>,
    told: BTreeMap<WorkerId, TimestampMs>,
    manifests: HashMap<FlushId, Manifest>,
    ends: BTreeMap<Chain, End>,
    damage: Damage,
}

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There; nowhere while it has no genesis.
    At(Option<Offset>),
    /// What would tell does not read back.
    Unknown,
}

impl<'a> Witness<'a> {
    /// Reads who tells. The clock is read first: a worker cannot seem older than it is.
    pub(super) async fn summon(bucket: &'a Bucket, patience: Millis) -> Result<Self> {
        let now = bucket.now().await?;
        let statuses = status_log::statuses(bucket).await?;
        Ok(Self {
            bucket,
            ledger: Ledger::new(bucket.clone()),
            now,
            patience,
            told: statuses.iter().map(|s| (s.worker, s.as_of)).collect(),
            statuses,
            manifests: HashMap::new(),
            ends: BTreeMap::new(),
            damage: Damage::default(),
        })
    }

    /// What is known of a flush, as far as it matters for a thing that was written at `written`.
    pub(super) async fn evidence(
        &mut self,
        thing: Thing,
        flush: FlushId,
        written: Option<TimestampMs>,
    ) -> Result<Evidence> {
        if !self.manifests.contains_key(&flush) {
            let looked_up = self.look_up(flush).await;
            let manifest = self.damage.or(looked_up, Manifest::Damaged)?;
            self.manifests.insert(flush, manifest);
        }
        let worker = match self.told.get(&flush.worker) {
            Some(as_of) if self.age(*as_of) < self.patience => Worker::Tells,
            Some(_) | None => Worker::Silent,
        };
        Ok(Evidence {
            thing,
            manifest: self.manifests[&flush].clone(),
            worker,
            // What the store does not tell the age of is taken for new.
            age: written.map_or(Millis(0), |written| self.age(written)),
        })
    }

    /// What did not read back.
    pub(super) fn into_damage(self) -> Damage {
        self.damage
    }

    /// The flush is void from now on.
    pub(super) fn forget_as_void(&mut self, flush: FlushId) {
        self.manifests.insert(flush, Manifest::Void);
    }

    /// The flush has to be looked up again.
    pub(super) fn forget(&mut self, flush: FlushId) {
        self.manifests.remove(&flush);
    }

    /// Workers whose statuses say nothing that another one does not say better, and are old.
    pub(super) async fn spent_statuses(&mut self) -> Result<Vec<WorkerId>> {
        let statuses = std::mem::take(&mut self.statuses);
        for claim in statuses.iter().flat_map(|status| &status.claims) {
            self.end_of(&claim.chain).await?;
        }
        let old = statuses
            .iter()
            .filter(|s| self.age(s.as_of) >= self.patience);
        let spent = old.filter(|status| is_spent(status, &statuses, &self.ends));
        let spent = spent.map(|status| status.worker).collect();
        self.statuses = statuses;
        Ok(spent)
    }

    fn age(&self, time: TimestampMs) -> Millis {
        let age = self.now.0.saturating_sub(time.0);
        Millis(u64::try_from(age).unwrap_or(0))
    }

    async fn look_up(&mut self, flush: FlushId) -> Result<Manifest> {
        let key = ObjectKey::Flush(flush).to_string();
        let Some(bytes) = self.bucket.find(&key).await? else {
            return Ok(Manifest::Absent);
        };
        let (_, manifest) = FlushManifest::decode(&bytes).map_err(|error| error.in_object(&key))?;
        let FlushBody::Written(contents) = manifest.body else {
            return Ok(Manifest::Void);
        };
        let mut fates = Vec::with_capacity(contents.spans.len());
        for span in &contents.spans {
            let fate = self.fate_of(flush, span).await;
            let fate = self.damage.or(fate, Fate::Unknown)?;
            fates.push(fate);
            // One span that counts, or may, keeps everything.
            if fate != Fate::Lost {
                break;
            }
        }
        Ok(Manifest::Written(fates))
    }

    async fn fate_of(&mut self, flush: FlushId, span: &FlushedSpan) -> Result<Fate> {
        let (chain, from) = (&span.stream.chain, span.span.from);
        if let Some(hole) = span.hole {
            let hole = Hole {
                chain: chain.clone(),
                from: hole,
            };
            return self.fate_in(&hole, flush, from).await;
        }
        let End::At(end) = self.end_of(chain).await? else {
            return Ok(Fate::Unknown);
        };
        let at_from = match self.ledger.entry_at(chain, from).await {
            Ok(entry) => Some(entry),
            Err(Error::Bucket {
                cause: BucketCause::NotFound,
                ..
            }) => None,
            Err(error) => return Err(error),
        };
        Ok(fate(flush, from, end, at_from.as_ref()))
    }

    /// The same of a span that is meant for a hole: its fills decide, as the ledger does elsewhere.
    async fn fate_in(&self, hole: &Hole, flush: FlushId, from: Offset) -> Result<Fate> {
        let fills = Fills::new(self.bucket.clone()).entries(hole).await?;
        let at_from = fills.iter().find(|fill| fill.entry.span.from == from);
        let end = Some(end_of(hole, &fills));
        Ok(fate(flush, from, end, at_from.map(|fill| &fill.entry)))
    }

    /// The end of a chain at some moment of this run.
    async fn end_of(&mut self, chain: &Chain) -> Result<End> {
        if let Some(end) = self.ends.get(chain) {
            return Ok(*end);
        }
        let found = self.ledger.end(chain, None).await;
        let end = found.map(|end| End::At(end.map(|end| end.offset)));
        let end = self.damage.or(end, End::Unknown)?;
        self.ends.insert(chain.clone(), end);
        Ok(end)
    }
}

/// Whether every claim of `status` is about another place than its chain's end, or is made by a younger
/// status, too.
fn is_spent(status: &WorkerStatus, all: &[WorkerStatus], ends: &BTreeMap<Chain, End>) -> bool {
    status.claims.iter().all(|claim| {
        let end = ends.get(&claim.chain);
        let is_elsewhere = matches!(end, Some(End::At(end)) if *end != Some(claim.position));
        let younger = all.iter().filter(|other| other.as_of > status.as_of);
        let mut theirs = younger.flat_map(|other| &other.claims);
        is_elsewhere
            || theirs.any(|other| other.chain == claim.chain && other.position == claim.position)
    })
}

#[cfg(test)]
mod tests;
