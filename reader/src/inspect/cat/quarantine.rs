//! What a commit could not read.

use serde_json::{Value, json};
use skein_shared::Result;
use skein_shared::format::damage::{Damage, DamageRef};
use skein_shared::format::quarantine::QuarantineList;
use skein_shared::window::TimeSpan;

use crate::inspect::cat::text;

pub(super) fn list(bytes: &[u8]) -> Result<Value> {
    let (id, list) = QuarantineList::decode(bytes)?;
    let records = list.records.iter().map(|record| {
        json!({
            "chain": text(&record.position.chain),
            "offset": record.position.offset.0,
            "flush": text(&record.flush),
            "object": record.object_key,
            "reason_code": record.reason_code,
            "reason": record.reason,
        })
    });
    let damages = list.damages.iter().map(|damage| {
        let mut shown = self::damage(damage);
        shown["id"] = text(&damage.id(list.shard)).into();
        shown
    });
    Ok(json!({
        "kind": "quarantine list",
        "write_id": text(&id),
        "shard": text(&list.shard),
        "expected_generation": list.expected_generation.0,
        "records": records.collect::<Vec<_>>(),
        "damages": damages.collect::<Vec<_>>(),
    }))
}

fn damage(damage: &Damage) -> Value {
    let lost = damage.lost.iter().map(|lost| {
        json!({
            "chain": text(&lost.stream.chain),
            "tenure": lost.stream.tenure.0,
            "from": lost.span.from.0,
            "to": lost.span.to.0,
        })
    });
    json!({
        "flush": text(&damage.flush),
        "object": damage.object_key,
        "at": damage.at,
        "bytes": damage.bytes,
        "frames": damage.frames,
        "times": times(damage.times),
        "lost": lost.collect::<Vec<_>>(),
        "error": damage.error,
    })
}

/// A damage as a manifest or a result names it.
pub(super) fn damage_ref(damage: &DamageRef) -> Value {
    let decided = damage.state.decision().map(|decision| {
        json!({
            "actor": decision.actor,
            "reason": decision.reason,
            "time": text(&decision.time),
        })
    });
    json!({
        "id": text(&damage.id),
        "state": damage.state.name(),
        "decided": decided,
        "list": damage.list,
        "object": damage.object,
        "at": damage.at,
        "bytes": damage.bytes,
        "frames": damage.frames,
        "times": times(damage.times),
    })
}

fn times(times: TimeSpan) -> Value {
    json!({ "from": text(&times.from), "to": text(&times.to) })
}
