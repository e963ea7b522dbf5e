//! Deletes and their receipts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use skein_shared::Result;
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector};
use skein_shared::format::delete_positions::DeletePositions;
use skein_shared::format::delete_receipt::DeleteReceipt;
use skein_shared::ids::Chain;
use skein_shared::offset::Offset;

use crate::inspect::cat::text;

pub(super) fn delete(bytes: &[u8]) -> Result<Value> {
    let (id, delete) = DeleteEntry::decode(bytes)?;
    let DeleteSelector { org, metric, span } = delete.selector;
    Ok(json!({
        "kind": "delete",
        "write_id": text(&id),
        "number": delete.number,
        "org": org.0,
        "metric": metric.map(|metric| metric.0),
        "from_ms": span.from.0,
        "to_ms": span.to.0,
        "positions": delete.positions.as_ref().map_or(Value::from("apart"), offsets),
        "actor": delete.stated.actor,
        "reason": delete.stated.reason,
        "ticket": delete.stated.ticket,
        "at": text(&delete.at),
        "deadline": text(&delete.deadline),
        "previous": format!("{:032x}", delete.previous.0),
    }))
}

pub(super) fn positions(bytes: &[u8]) -> Result<Value> {
    let (id, positions) = DeletePositions::decode(bytes)?;
    Ok(json!({
        "kind": "positions of a delete",
        "write_id": text(&id),
        "number": positions.number,
        "positions": offsets(&positions.positions),
    }))
}

fn offsets(positions: &BTreeMap<Chain, Offset>) -> Value {
    let positions = positions.iter();
    let offsets = positions.map(|(chain, offset)| (text(chain), Value::from(offset.0)));
    Value::Object(offsets.collect::<Map<_, _>>())
}

pub(super) fn receipt(bytes: &[u8]) -> Result<Value> {
    let (id, receipt) = DeleteReceipt::decode(bytes)?;
    let shards = receipt.shards.iter().map(|shard| {
        json!({
            "shard": text(&shard.shard),
            "generation": shard.generation.0,
            "points": shard.points,
        })
    });
    Ok(json!({
        "kind": "delete receipt",
        "write_id": text(&id),
        "number": receipt.number,
        "at": text(&receipt.at),
        "shards": shards.collect::<Vec<_>>(),
    }))
}
