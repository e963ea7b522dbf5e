//! `skein quarantine release`: what becomes of a damage, decided by a person and made true by one commit.
//!
//! Either the damaged place is read again, by the same machinery as ever and limited to the offsets that were lost, and
//! its records become overlays as late points do; or its records are given up for good. Of two that decide about one
//! damage the first counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::format::account::OrgAccounts;
use skein_shared::format::compact_plan::{AllowedFrames, Part, PlanRules, PlannedObject, Step};
use skein_shared::format::compact_result::{Delta, DeltaDeletes};
use skein_shared::format::damage::{Damage, DamageId, DamageRef, DamageState, Decision};
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest, FlushedObject};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::shard_manifest::{ConservationCounts, LimitsEpoch, ShardManifest};
use skein_shared::ids::{Generation, ShardId};
use skein_shared::payload::Limits;
use skein_shared::{ErrorKind, delete_log, manifest_log, shard_map_log};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::manifest_commit::{apply, commit_next};
use crate::metrics;
use crate::org_accounts::OrgChange;
use crate::quarantine_list;
use crate::report::{OnProgress, ProgressCounter};
use crate::seal_history::SealHistory;
use crate::task;
use crate::task_context::{TaskContext, TaskMemory};

/// How often a place is read when what lies beside it is merged by others all the while.
const MOST_TRIES: u32 = 8;

/// What is to become of a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its place has been restored: it is read again.
    Retry,
    /// Its records are lost for good.
    AcceptLoss,
}

/// Whether anything is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Commit,
    /// It is only tried.
    DryRun,
}

/// What to decide, and what it is called in the manifest.
#[derive(Debug, Clone)]
pub struct ReleaseOptions {
    /// What is to become of it.
    pub verdict: Verdict,
    /// Whether anything is committed.
    pub mode: Mode,
    /// Who decides.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Who writes which point.
    pub timelines: Timelines,
}

/// What became of a damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// Its records are in the shard now, or would be.
    Restored {
        /// How many, with those whose payload was refused.
        records: u64,
        /// Their points.
        points: u64,
    },
    /// It still does not read back; nothing was changed.
    StillDamaged {
        /// What is wrong with it now.
        error: String,
    },
    /// Its records are given up, or would be.
    Accepted,
    /// The same had been decided before; nothing was changed.
    Before(Decision),
}

/// The damages that `is_meant` picks, each with the newest manifest of its shard.
///
/// # Errors
/// The bucket's; corrupt when a manifest does not read back.
pub async fn find(
    bucket: &Bucket,
    is_meant: impl Fn(ShardId, &DamageRef) -> bool,
) -> Result<Vec<(ShardId, DamageRef)>> {
    let mut found = Vec::new();
    for shard in manifest_log::shards(bucket).await? {
        let manifest = manifest_log::newest(bucket, shard).await?;
        let damages = manifest.damages.into_iter();
        let meant = damages.filter(|damage| is_meant(shard, damage));
        found.extend(meant.map(|damage| (shard, damage)));
    }
    Ok(found)
}

/// Decides about one damage of `shard`, with one commit.
///
/// # Errors
/// [`Error::NoSuchDamage`]; [`Error::Decided`] when it has been decided otherwise, or by another meanwhile; what reading
/// and writing give. Nothing is changed then.
pub fn release<'a>(
    settings: &'a CompactorSettings,
    bucket: &'a Bucket,
    options: &'a ReleaseOptions,
    (shard, id): (ShardId, DamageId),
    controls: (CancellationToken, OnProgress),
) -> LocalBoxFuture<'a, Result<Released>> {
    Box::pin(async move {
        let base = manifest_log::newest(bucket, shard).await?;
        let damage = named(&base, id)?.clone();
        match (options.verdict, &damage.state) {
            (Verdict::Retry, DamageState::Released(decision))
            | (Verdict::AcceptLoss, DamageState::Accepted(decision)) => {
                Ok(Released::Before(decision.clone()))
            }
            (Verdict::AcceptLoss, DamageState::Released(_)) => Err(decided(shard, &damage)),
            (Verdict::AcceptLoss, DamageState::Undecided) => {
                if options.mode == Mode::Commit {
                    let state = DamageState::Accepted(options.decide(bucket).await?);
                    let nothing = nothing(&base);
                    commit(bucket, base, (&damage, &state), &nothing).await?;
                }
                Ok(Released::Accepted)
            }
            // What was given up may have turned up after all.
            (Verdict::Retry, DamageState::Undecided | DamageState::Accepted(_)) => {
                retry(settings, bucket, options, (base, damage), controls).await
            }
        }
    })
}

impl ReleaseOptions {
    async fn decide(&self, bucket: &Bucket) -> Result<Decision> {
        Ok(Decision {
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            time: bucket.now().await?,
            // Known once it is committed.
            generation: Generation(0),
        })
    }
}

/// Reads the damaged place again, and takes in what it holds.
async fn retry(
    settings: &CompactorSettings,
    bucket: &Bucket,
    options: &ReleaseOptions,
    (base, damage): (ShardManifest, DamageRef),
    (cancel, progress): (CancellationToken, OnProgress),
) -> Result<Released> {
    let mut listed = quarantine_list::damages(bucket, &base, |other| other.id == damage.id).await?;
    let id = damage.id;
    let listed = listed.remove(&id).ok_or(Error::NoSuchDamage { id })?;
    let step = step_of(bucket, &listed).await?;
    let Some(shard_map) = shard_map_log::load(bucket).await? else {
        return Err(Error::NoSuchDamage { id });
    };
    let deletes = delete_log::load_complete(bucket).await?.entries;
    let rules = PlanRules {
        shard_map_versions: shard_map.version_count() as u64,
        timeline: options.timelines.version(),
        watermark: None,
        profile: settings.profile,
        max_overlays: settings.max_overlays,
        rollups: settings.rollups.clone(),
        limits: limits_of(&base, &listed),
        deletes: deletes.len() as u64,
    };
    let progress = ProgressCounter::new(progress, 1, damage.bytes);
    let context = TaskContext::new(
        (settings, TaskMemory::of_one(settings)),
        bucket,
        (&rules, options.timelines.clone(), deletes.into()),
        shard_map,
        (cancel, progress),
    )?;
    take_in(&Arc::new(context), options, (base, &damage), &step).await
}

/// Commits what `step` gives, unless its place is damaged still. When something was merged beside it meanwhile it is done
/// again.
async fn take_in(
    context: &Arc<TaskContext>,
    options: &ReleaseOptions,
    (mut base, damage): (ShardManifest, &DamageRef),
    step: &Step,
) -> Result<Released> {
    let (bucket, shard) = (&context.bucket, base.shard);
    let mut tries = 0;
    loop {
        let (delta, _) = task::make(
            context,
            &base,
            (Part::WHOLE, step.clone()),
            SealHistory::passed(),
        )
        .await?;
        let restored = Released::Restored {
            records: delta.counts.records,
            points: delta.counts.points_in,
        };
        let outcome = match (delta.damages.first(), options.mode) {
            (Some(found), _) => Ok(Released::StillDamaged {
                error: why(bucket, found).await?,
            }),
            (None, Mode::DryRun) => Ok(restored),
            (None, Mode::Commit) => {
                let state = DamageState::Released(options.decide(bucket).await?);
                match commit(bucket, base, (damage, &state), &delta).await {
                    Ok(()) => return Ok(restored),
                    Err(error) => Err(error),
                }
            }
        };
        match outcome {
            // It may stand all the same.
            Err(error) if error.kind() == ErrorKind::Transient => return Err(error),
            outcome => {
                task::discard(bucket, &delta).await?;
                tries += 1;
                if !matches!(outcome, Err(Error::Superseded { .. })) || tries == MOST_TRIES {
                    return outcome;
                }
                base = manifest_log::newest(bucket, shard).await?;
            }
        }
    }
}

/// The damaged object, and of its frames those that were lost.
async fn step_of(bucket: &Bucket, damage: &Damage) -> Result<Step> {
    let flush = damage.flush;
    let key = ObjectKey::Flush(flush).to_string();
    let bytes = bucket.get(&key).await?;
    let (_, manifest) = FlushManifest::decode(&bytes).map_err(|error| error.in_object(&key))?;
    let objects = match manifest.body {
        FlushBody::Written(contents) => contents.objects,
        FlushBody::Void { .. } => Vec::new(),
    };
    let named = |object: &FlushedObject| object.key == damage.object_key;
    let Some(object) = objects.into_iter().find(named) else {
        return Err(Error::ObjectDiffers {
            object: key,
            reason: format!("it does not name `{}`", damage.object_key),
        });
    };
    let mut allowed = AllowedFrames::default();
    for lost in &damage.lost {
        allowed.allow(flush, lost.stream.clone(), lost.span);
    }
    Ok(Step {
        objects: vec![PlannedObject { flush, object }],
        allowed,
        ..Step::default()
    })
}

/// What payloads were held to in the generation that met the damage: the oldest that went past its first offset.
fn limits_of(manifest: &ShardManifest, damage: &Damage) -> Limits {
    let now = manifest.versions.limits;
    let Some(first) = damage.lost.first() else {
        return now;
    };
    let (chain, from) = (&first.stream.chain, first.span.from);
    let mut fills = manifest.fills.iter();
    let hole = fills.find(|(hole, to)| hole.chain == *chain && hole.from <= from && from < **to);
    let has_passed = |epoch: &&LimitsEpoch| {
        let position = match hole {
            Some((hole, _)) => epoch.fills.get(hole),
            None => epoch.positions.get(chain),
        };
        position.is_some_and(|position| from < *position)
    };
    let earlier = manifest.earlier_limits.iter().rev().find(has_passed);
    earlier.map_or(now, |epoch| epoch.limits)
}

/// Why a place does not read back, as the list says that was just written.
async fn why(bucket: &Bucket, damage: &DamageRef) -> Result<String> {
    let list = quarantine_list::read(bucket, &damage.list).await?;
    let errors = list.damages.into_iter().map(|damage| damage.error);
    Ok(errors.take(1).collect())
}

fn nothing(base: &ShardManifest) -> Delta {
    Delta {
        advances: BTreeMap::new(),
        fill_advances: BTreeMap::new(),
        replaced: BTreeMap::new(),
        added: Vec::new(),
        quarantine: Vec::new(),
        seal: None,
        counts: ConservationCounts::default(),
        orgs: Some(OrgAccounts::default()),
        versions: base.versions,
        damages: Vec::new(),
        deletes: DeltaDeletes {
            // There is nothing in it that a delete could take.
            in_force: u64::MAX,
            ..DeltaDeletes::default()
        },
        complete_to: None,
    }
}

async fn commit(
    bucket: &Bucket,
    base: ShardManifest,
    (damage, state): (&DamageRef, &DamageState),
    delta: &Delta,
) -> Result<()> {
    let next = |base: &ShardManifest| {
        let orgs = OrgChange::counted(delta.orgs.clone());
        Ok((decide(base, (damage, state), delta)?, orgs))
    };
    let committed = commit_next(bucket, base, next).await?;
    metrics::damage_decided(committed.shard, damage.id, committed.generation);
    metrics::quarantined(committed.shard, delta);
    Ok(())
}

/// The manifest that follows `base` with the damage decided, unless another has decided it.
fn decide(
    base: &ShardManifest,
    (damage, state): (&DamageRef, &DamageState),
    delta: &Delta,
) -> Result<ShardManifest> {
    let now = named(base, damage.id)?;
    if now.state != damage.state {
        return Err(decided(base.shard, now));
    }
    let mut delta = delta.clone();
    // What records were held to when they were lost is no news of today.
    delta.versions.limits = base.versions.limits;
    let mut next = apply(base, &delta)?;
    if let Some(place) = next.damages.iter_mut().find(|now| now.id == damage.id) {
        place.state = state.at(next.generation);
    }
    let missing = next.damages.iter().filter(|damage| damage.is_missing());
    next.counts.damaged_frames = missing.map(|damage| damage.frames).sum();
    Ok(next)
}

fn named(manifest: &ShardManifest, id: DamageId) -> Result<&DamageRef> {
    let mut damages = manifest.damages.iter();
    damages
        .find(|damage| damage.id == id)
        .ok_or(Error::NoSuchDamage { id })
}

fn decided(shard: ShardId, damage: &DamageRef) -> Error {
    let by = damage.state.decision().map(|decision| {
        let Decision {
            actor,
            reason,
            time,
            ..
        } = decision;
        format!(" by {actor} at {time}, because: {reason}")
    });
    Error::Decided {
        id: damage.id,
        shard,
        how: format!("{}{}", damage.state.name(), by.unwrap_or_default()),
    }
}
