//! What the old pipeline keeps.

use serde_json::{Map, Value, json};
use skein_shared::Result;
use skein_shared::format::object_key::OldKey;
use skein_shared::format::old_file::OldFile;
use skein_shared::format::old_progress::OldProgress;

use super::text;

/// What shows the object at a key.
pub(super) fn shower(key: &OldKey) -> fn(&[u8]) -> Result<Value> {
    match key {
        OldKey::File(_) => file,
        OldKey::Progress { .. } => progress,
    }
}

/// Points of one metric.
fn file(bytes: &[u8]) -> Result<Value> {
    let (id, file) = OldFile::decode(bytes)?;
    let name = &file.name;
    let metadata = file.metadata.as_ref().map(|metadata| &metadata.entries);
    let records = file.points.orders.iter().map(|run| {
        json!({
            "offset": run.order.offset.0,
            "timestamp": run.order.record_timestamp.map(|time| text(&time)),
            "points": run.points,
        })
    });
    Ok(json!({
        "kind": "old file",
        "write_id": text(&id),
        "org": name.series.org.0,
        "metric": name.series.metric.0,
        "chain": text(&name.chain),
        "from": name.span.from.0,
        "to": name.span.to.0,
        "first_timestamp": text(&name.first),
        "last_timestamp": text(&name.last),
        "attempt": text(&name.attempt),
        "fleet": file.fleet,
        "points": file.points.values.len(),
        "stretches": records.collect::<Vec<_>>(),
        "metadata": metadata,
    }))
}

/// How far it has come in a partition.
fn progress(bytes: &[u8]) -> Result<Value> {
    let (id, progress) = OldProgress::decode(bytes)?;
    let counts = &progress.counts;
    let not_written = progress.not_written_to.iter();
    let not_written = not_written.map(|(org, to)| (org.0.to_string(), text(to).into()));
    Ok(json!({
        "kind": "old progress",
        "write_id": text(&id),
        "chain": text(&progress.chain),
        "number": progress.number,
        "from": progress.from.0,
        "to": progress.to.0,
        "attempt": text(&progress.attempt),
        "writer": text(&progress.writer),
        "fleet": progress.fleet,
        "at": text(&progress.at),
        "counts": {
            "records": counts.records,
            "refused_records": counts.refused_records,
            "points_in": counts.points_in,
            "duplicates": counts.duplicates,
            "not_owned": counts.not_owned,
            "points": counts.points,
            "files": counts.files,
            "file_bytes": counts.file_bytes,
        },
        "not_written_to": not_written.collect::<Map<String, Value>>(),
    }))
}
