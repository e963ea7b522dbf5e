//! One object of ours as JSON that a person can read.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use skein_shared::bucket::Bucket;
use skein_shared::format::fill_entry::FillEntry;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::frame::RecordTimes;
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::retirement::Retirement;
use skein_shared::format::shard_manifest::{
    ConservationCounts, Layer, LeafScope, ManifestLeaf, ManifestRoot, QuarantineRef, SegmentEntry,
};
use skein_shared::format::shard_map_version::ShardMapVersion;
use skein_shared::format::source_identity::SourceIdentity;
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::WriteId;
use skein_shared::{Error, Result};

mod quarantine;
mod compaction;
mod cutover;
mod deletes;
mod old_pipeline;
mod replay;
mod run_record;
mod segment;
mod state;

/// Shows the object at `key`. Of a state object also its first `frames` records.
///
/// # Errors
/// `Invalid` when `key` is none of ours, `Corrupt` when the object does not read back.
pub fn cat<'a>(bucket: &'a Bucket, key: &'a str, frames: usize) -> BoxFuture<'a, Result<Value>> {
    Box::pin(async move {
        let parsed: ObjectKey = key.parse()?;
        let shown = match parsed {
            ObjectKey::State { .. } => state::show(bucket, key, frames).await?,
            ObjectKey::Segment { .. } => segment::show(bucket, key).await?,
            ObjectKey::Quarantine { .. } => whole(bucket, key, quarantine::list).await?,
            ObjectKey::Seal { .. } => whole(bucket, key, compaction::seal).await?,
            ObjectKey::Leaf { .. } => whole(bucket, key, leaf).await?,
            ObjectKey::Account { .. } => whole(bucket, key, compaction::account).await?,
            ObjectKey::Flush(_) => whole(bucket, key, flush).await?,
            ObjectKey::Genesis(_) => whole(bucket, key, genesis).await?,
            ObjectKey::LedgerEntry { .. } => whole(bucket, key, ledger_entry).await?,
            ObjectKey::Fill { .. } => whole(bucket, key, fill).await?,
            ObjectKey::ReplayJob(_) => whole(bucket, key, replay::job).await?,
            ObjectKey::ReplayStep { .. } => whole(bucket, key, replay::step).await?,
            ObjectKey::ReplayCancel(_) => whole(bucket, key, replay::cancel).await?,
            ObjectKey::Plan(_) => whole(bucket, key, compaction::plan).await?,
            ObjectKey::Result { .. } => whole(bucket, key, compaction::result).await?,
            ObjectKey::Source(_) => whole(bucket, key, source).await?,
            ObjectKey::ShardMap(_) => whole(bucket, key, shard_map).await?,
            ObjectKey::Manifest { .. } => whole(bucket, key, manifest).await?,
            ObjectKey::Status(_) => whole(bucket, key, status).await?,
            ObjectKey::Retirement { .. } => whole(bucket, key, retirement).await?,
            ObjectKey::Delete(_) => whole(bucket, key, deletes::delete).await?,
            ObjectKey::DeletePositions(_) => whole(bucket, key, deletes::positions).await?,
            ObjectKey::DeleteReceipt(_) => whole(bucket, key, deletes::receipt).await?,
            ObjectKey::StateBound(_) => whole(bucket, key, state::bound).await?,
            ObjectKey::RunRecord { .. } => whole(bucket, key, run_record::show).await?,
            ObjectKey::Cutover(of) => whole(bucket, key, cutover::shower(&of)).await?,
            ObjectKey::Old(of) => whole(bucket, key, old_pipeline::shower(&of)).await?,
        };
        Ok(shown)
    })
}

async fn whole(bucket: &Bucket, key: &str, show: fn(&[u8]) -> Result<Value>) -> Result<Value> {
    let bytes: Bytes = bucket.get(key).await?;
    let mut shown = show(&bytes).map_err(|error: Error| error.in_object(key))?;
    shown["key"] = key.into();
    shown["object_bytes"] = bytes.len().into();
    Ok(shown)
}

fn genesis(bytes: &[u8]) -> Result<Value> {
    let (id, genesis) = Genesis::decode(bytes)?;
    Ok(json!({
        "kind": "genesis",
        "write_id": text(&id),
        "chain": text(&genesis.chain),
        "start": genesis.start.0,
        "policy": genesis.policy.name(),
    }))
}

fn ledger_entry(bytes: &[u8]) -> Result<Value> {
    let (id, entry) = LedgerEntry::decode(bytes)?;
    Ok(show_entry("ledger entry", id, &entry))
}

fn fill(bytes: &[u8]) -> Result<Value> {
    let (id, fill) = FillEntry::decode(bytes)?;
    let mut shown = show_entry("fill entry", id, &fill.entry);
    shown["hole"] = fill.hole.0.into();
    Ok(shown)
}

fn show_entry(kind: &str, id: WriteId, entry: &LedgerEntry) -> Value {
    let became = match &entry.kind {
        EntryKind::Flushed { flush, tenure } => json!({
            "flush": ObjectKey::Flush(*flush).to_string(),
            "tenure": tenure.0,
        }),
        EntryKind::LostSpan { reason } => json!({ "lost": reason }),
    };
    let last = entry.last.map(|last| {
        json!({
            "offset": last.offset.0,
            "timestamp": last.timestamp.time().map(|time| text(&time)),
            "crc32c": hex(last.crc32c),
        })
    });
    json!({
        "kind": kind,
        "write_id": text(&id),
        "chain": text(&entry.chain),
        "from": entry.span.from.0,
        "to": entry.span.to.0,
        "became": became,
        "frames": entry.frames,
        "timestamps": entry.times.map(times),
        "last_record": last,
    })
}

fn flush(bytes: &[u8]) -> Result<Value> {
    let (id, manifest) = FlushManifest::decode(bytes)?;
    let (flush, write_id) = (text(&manifest.flush), text(&id));
    let contents = match manifest.body {
        FlushBody::Void { reason } => {
            return Ok(json!({
                "kind": "flush manifest",
                "write_id": write_id,
                "flush": flush,
                "void": reason,
            }));
        }
        FlushBody::Written(contents) => contents,
    };
    let objects = contents.objects.iter().map(|object| {
        json!({
            "key": object.key,
            "shard": text(&object.shard),
            "object_bytes": object.object_bytes,
            "crc32c": hex(object.crc32c),
            "frames": object.frames,
            "raw_bytes": object.raw_bytes,
            "digest": text(&object.digest),
        })
    });
    let spans = contents.spans.iter().map(|span| {
        json!({
            "chain": text(&span.stream.chain),
            "tenure": span.stream.tenure.0,
            "from": span.span.from.0,
            "to": span.span.to.0,
            "hole": span.hole.map(|hole| hole.0),
            "frames": span.frames,
            "digest": text(&span.digest),
        })
    });
    Ok(json!({
        "kind": "flush manifest",
        "write_id": write_id,
        "flush": flush,
        "objects": objects.collect::<Vec<_>>(),
        "spans": spans.collect::<Vec<_>>(),
        "shard_map_version": contents.made_with.shard_map_version,
        "software": contents.made_with.software,
    }))
}

fn source(bytes: &[u8]) -> Result<Value> {
    let (id, identity) = SourceIdentity::decode(bytes)?;
    Ok(json!({
        "kind": "source",
        "write_id": text(&id),
        "source": text(&identity.source),
        "cluster_id": identity.cluster_id,
    }))
}

fn status(bytes: &[u8]) -> Result<Value> {
    let (id, status) = WorkerStatus::decode(bytes)?;
    let claims = status.claims.iter().map(|claim| {
        json!({
            "chain": text(&claim.chain),
            "position": claim.position.0,
            "log_end": claim.log_end.map(|end| end.0),
            "at_end": claim.at_end(),
            "stopped": claim.stopped,
        })
    });
    Ok(json!({
        "kind": "worker status",
        "write_id": text(&id),
        "worker": text(&status.worker),
        "as_of": text(&status.as_of),
        "partitions": claims.collect::<Vec<_>>(),
    }))
}

fn retirement(bytes: &[u8]) -> Result<Value> {
    let (id, retirement) = Retirement::decode(bytes)?;
    Ok(json!({
        "kind": "retirement",
        "write_id": text(&id),
        "chain": text(&retirement.chain),
        "end": retirement.end.0,
        "reason": retirement.reason,
    }))
}

fn shard_map(bytes: &[u8]) -> Result<Value> {
    let (id, version) = ShardMapVersion::decode(bytes)?;
    let dedicated: Vec<u64> = version.routing.dedicated.iter().map(|org| org.0).collect();
    Ok(json!({
        "kind": "shard map version",
        "write_id": text(&id),
        "version": version.version,
        "from": version.from.map(|time| text(&time)),
        "modulus": version.routing.modulus,
        "dedicated_orgs": dedicated,
    }))
}

fn manifest(bytes: &[u8]) -> Result<Value> {
    let (id, root) = ManifestRoot::decode(bytes)?;
    let manifest = root.without_leaves();
    let leaves = root.leaves().iter();
    let leaves = leaves.map(|leaf| json!({ "key": leaf.key, "holds": scope(leaf.scope) }));
    let segments = manifest.segments.iter().map(segment_entry);
    let quarantine = manifest.quarantine.iter().map(quarantine_ref);
    let positions = manifest.positions.iter();
    let positions = positions.map(|(chain, offset)| (text(&chain), Value::from(offset.0)));
    let fills = manifest.fills.iter();
    let fills = fills.map(|(hole, offset)| (text(&hole), Value::from(offset.0)));
    Ok(json!({
        "kind": "shard manifest",
        "write_id": text(&id),
        "shard": text(&manifest.shard),
        "generation": manifest.generation.0,
        "positions": positions.collect::<serde_json::Map<_, _>>(),
        "fills": fills.collect::<serde_json::Map<_, _>>(),
        "leaves": leaves.collect::<Vec<_>>(),
        "segments": segments.collect::<Vec<_>>(),
        "quarantine": quarantine.collect::<Vec<_>>(),
        "seals": compaction::seals(&manifest.seals),
        "damages": manifest.damages.iter().map(quarantine::damage_ref).collect::<Vec<_>>(),
        "counts": conservation(&manifest.counts),
        "account": manifest.account.as_ref().map(|account| &account.key),
        "deletes_applied": manifest.deletes_applied,
        "deleted": manifest.deleted,
        "complete_to": manifest.complete_to.map(|time| text(&time)),
        "expiry": compaction::expiry(&manifest.expiry),
        "versions": {
            "shard_map": manifest.versions.shard_map,
            "timeline": manifest.versions.timeline,
            "encoder": manifest.versions.encoder,
        },
    }))
}

fn leaf(bytes: &[u8]) -> Result<Value> {
    let (id, leaf) = ManifestLeaf::decode(bytes)?;
    let segments = leaf.segments.iter().map(segment_entry);
    let quarantine = leaf.quarantine.iter().map(quarantine_ref);
    Ok(json!({
        "kind": "manifest leaf",
        "write_id": text(&id),
        "shard": text(&leaf.shard),
        "holds": scope(leaf.scope),
        "segments": segments.collect::<Vec<_>>(),
        "quarantine": quarantine.collect::<Vec<_>>(),
        "seals": compaction::seals(&leaf.seals),
    }))
}

fn scope(scope: LeafScope) -> Value {
    match scope {
        LeafScope::Windows(number) => json!({ "windows": number }),
        LeafScope::Quarantine(number) => json!({ "quarantine": number }),
    }
}

fn quarantine_ref(list: &QuarantineRef) -> Value {
    json!({ "key": list.key, "records": list.records })
}

fn segment_entry(entry: &SegmentEntry) -> Value {
    let steps = match entry.layer {
        Layer::Base => Value::from("base"),
        Layer::Overlay { steps } => json!({ "overlay_steps": steps }),
    };
    json!({
        "key": entry.key,
        "window": text(&entry.window),
        "resolution": text(&entry.resolution),
        "layer": steps,
        "generation": entry.generation.0,
        "segment_bytes": entry.summary.size_bytes,
        "crc32c": hex(entry.summary.crc32c),
        "points": entry.summary.points,
        "raw_points": entry.summary.raw_points,
        "rollup_of": entry.rollup_of,
        "series": entry.summary.series,
        "digest": text(&entry.summary.digest),
        "first_timestamp": text(&entry.summary.first_timestamp),
        "last_timestamp": text(&entry.summary.last_timestamp),
        "deletes_applied": entry.deletes_applied,
        "unfiltered": entry.is_unfiltered(),
    })
}

fn conservation(counts: &ConservationCounts) -> Value {
    json!({
        "records": counts.records,
        "quarantined_records": counts.quarantined_records,
        "points_in": counts.points_in,
        "duplicates": counts.duplicates,
        "not_owned": counts.not_owned,
        "damaged_frames": counts.damaged_frames,
        "deleted": counts.deleted,
        "expired": counts.expired,
    })
}

fn times(times: RecordTimes) -> Value {
    json!({
        "oldest": text(&times.oldest),
        "newest": text(&times.newest),
        "is_partial": times.is_partial,
    })
}

fn text(value: &impl ToString) -> String {
    value.to_string()
}

fn hex(crc: u32) -> String {
    format!("{crc:08x}")
}
