//! What is in quarantine: records whose payload was refused, and places of state objects that did not read back.

use std::collections::BTreeSet;

use futures::future::LocalBoxFuture;
use serde::Serialize;
use skein_shared::bucket::Bucket;
use skein_shared::format::damage::{DamageRef, DamageState};
use skein_shared::format::quarantine::{QuarantineList, QuarantinedRecord};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::ShardId;
use skein_shared::{Result, manifest_log};

/// What to look at.
#[derive(Debug, Clone)]
pub struct QuarantineOptions {
    /// Which shards; `None` for all.
    pub shards: Option<BTreeSet<ShardId>>,
    /// Most rows of each kind.
    pub limit: usize,
}

/// Everything that `skein quarantine ls` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QuarantineReport {
    /// Damages, those first that wait for a person.
    pub damages: Vec<DamageRow>,
    /// Damages beyond the limit.
    pub more_damages: u64,
    /// Records, the newest lists first.
    pub records: Vec<RecordRow>,
    /// Records beyond the limit.
    pub more_records: u64,
}

/// A place of a state object that did not read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamageRow {
    /// Its name, for `skein quarantine release`.
    pub id: String,
    /// Whose.
    pub shard: String,
    /// `undecided`, `accepted` or `released`.
    pub state: &'static str,
    /// The state object.
    pub object: String,
    /// First damaged byte.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Records in it, at most.
    pub frames: u64,
    /// First event time that may be missing; `None` when that is not known.
    pub from: Option<String>,
    /// First event time beyond; `None` when that is not known.
    pub to: Option<String>,
    /// Who decided, when and why.
    pub decided: Option<String>,
    /// Key of the list that has the offsets and the error: `skein cat` shows it.
    pub list: String,
    /// What a person should do; empty when nothing.
    pub what_to_do: String,
}

/// A record whose payload was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordRow {
    /// Whose.
    pub shard: String,
    /// `<source>/<topic>/<incarnation>/<partition>`.
    pub partition: String,
    /// Its offset there.
    pub offset: i64,
    /// Why it was refused.
    pub reason: String,
    /// The state object that holds it as it came.
    pub object: String,
}

/// Reads the newest manifests, and as many of their quarantine lists as the limit takes.
///
/// # Errors
/// The bucket's; corrupt when a manifest or a list does not read back.
pub fn quarantine<'a>(
    bucket: &'a Bucket,
    options: &'a QuarantineOptions,
) -> LocalBoxFuture<'a, Result<QuarantineReport>> {
    Box::pin(async move {
        let mut report = QuarantineReport::default();
        let mut damages: Vec<(ShardId, DamageRef)> = Vec::new();
        for shard in manifest_log::shards(bucket).await? {
            if options
                .shards
                .as_ref()
                .is_some_and(|only| !only.contains(&shard))
            {
                continue;
            }
            let manifest = manifest_log::newest(bucket, shard).await?;
            add_records(bucket, &manifest, options.limit, &mut report).await?;
            damages.extend(manifest.damages.into_iter().map(|damage| (shard, damage)));
        }
        damages.sort_by_key(|(_, damage)| !damage.is_undecided());
        report.more_damages = damages.len().saturating_sub(options.limit) as u64;
        damages.truncate(options.limit);
        let rows = damages
            .iter()
            .map(|(shard, damage)| DamageRow::of(*shard, damage));
        report.damages = rows.collect();
        Ok(report)
    })
}

async fn add_records(
    bucket: &Bucket,
    manifest: &ShardManifest,
    limit: usize,
    report: &mut QuarantineReport,
) -> Result<()> {
    for list in manifest
        .quarantine
        .iter()
        .rev()
        .filter(|list| list.records > 0)
    {
        let room = limit.saturating_sub(report.records.len());
        if room == 0 {
            report.more_records += list.records;
            continue;
        }
        let bytes = bucket.get(&list.key).await?;
        let decoded = QuarantineList::decode(&bytes);
        let (_, read) = decoded.map_err(|error| error.in_object(&list.key))?;
        let taken = read.records.iter().take(room);
        report.more_records += read.records.len().saturating_sub(room) as u64;
        report
            .records
            .extend(taken.map(|record| RecordRow::of(manifest.shard, record)));
    }
    Ok(())
}

impl RecordRow {
    fn of(shard: ShardId, record: &QuarantinedRecord) -> Self {
        Self {
            shard: shard.to_string(),
            partition: record.position.chain.to_string(),
            offset: record.position.offset.0,
            reason: record.reason.clone(),
            object: record.object_key.clone(),
        }
    }
}

impl DamageRow {
    fn of(shard: ShardId, damage: &DamageRef) -> Self {
        let id = damage.id;
        let decided = damage.state.decision().map(|decision| {
            format!(
                "by {} at {}: {}",
                decision.actor, decision.time, decision.reason
            )
        });
        Self {
            id: id.to_string(),
            shard: shard.to_string(),
            state: damage.state.name(),
            object: damage.object.clone(),
            at: damage.at,
            bytes: damage.bytes,
            frames: damage.frames,
            from: (damage.times.from.0 > i64::MIN).then(|| damage.times.from.to_string()),
            to: (damage.times.to.0 < i64::MAX).then(|| damage.times.to.to_string()),
            decided,
            list: damage.list.clone(),
            what_to_do: what_to_do(damage),
        }
    }
}

/// What a person should do about a damage; empty when nothing.
pub fn what_to_do(damage: &DamageRef) -> String {
    let id = damage.id;
    match damage.state {
        DamageState::Undecided => format!(
            "restore the object from a copy or a version, then `skein quarantine release {id} --retry --reason …`; \
             if there is none, `--accept-loss`"
        ),
        DamageState::Accepted(_) => format!(
            "nothing; should the object turn up after all, `skein quarantine release {id} --retry --reason …`"
        ),
        DamageState::Released(_) => String::new(),
    }
}
