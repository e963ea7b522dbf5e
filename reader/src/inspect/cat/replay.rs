//! What a replay is to do and how far it has come.

use serde_json::{Map, Value, json};
use skein_shared::Result;
use skein_shared::format::replay_job::{OnGone, ReplayCancel, ReplayInto, ReplayJob};
use skein_shared::format::replay_step::ReplayStep;

use crate::inspect::cat::text;

pub(super) fn job(bytes: &[u8]) -> Result<Value> {
    let (id, job) = ReplayJob::decode(bytes)?;
    let into = match &job.into {
        ReplayInto::State => "state".to_owned(),
        ReplayInto::Topic(topic) => format!("topic {topic}"),
    };
    let spans = job.spans.iter();
    let spans = spans.map(|(chain, span)| (text(chain), json!([span.from.0, span.to.0])));
    let fills = job.fills.iter();
    let fills = fills.map(|(hole, end)| (text(hole), Value::from(end.0)));
    let times = job.only.times;
    Ok(json!({
        "kind": "replay job",
        "write_id": text(&id),
        "job": text(&job.job),
        "created": text(&job.created),
        "into": into,
        "spans": spans.collect::<Map<_, _>>(),
        "fills": fills.collect::<Map<_, _>>(),
        "org": job.only.org.map(|org| org.0),
        "shard": job.only.shard.map(|shard| text(&shard)),
        "times": times.map(|times| json!([text(&times.from), text(&times.to)])),
        "skips_what_is_gone": job.on_gone == OnGone::Skip,
        "leaves_out_deletes_up_to": job.left_out,
    }))
}

pub(super) fn step(bytes: &[u8]) -> Result<Value> {
    let (id, step) = ReplayStep::decode(bytes)?;
    let positions = step.positions.iter();
    let positions = positions.map(|(chain, offset)| (text(chain), Value::from(offset.0)));
    let ends = step.target_ends.iter();
    let ends = ends.map(|(partition, end)| (text(partition), Value::from(end.0)));
    Ok(json!({
        "kind": "replay step",
        "write_id": text(&id),
        "job": text(&step.job),
        "number": step.number,
        "at": text(&step.at),
        "state": step.state.name(),
        "records": step.records,
        "record_bytes": step.record_bytes,
        "positions": positions.collect::<Map<_, _>>(),
        "target_ends": ends.collect::<Map<_, _>>(),
    }))
}

pub(super) fn cancel(bytes: &[u8]) -> Result<Value> {
    let (id, cancel) = ReplayCancel::decode(bytes)?;
    Ok(json!({
        "kind": "replay cancellation",
        "write_id": text(&id),
        "job": text(&cancel.job),
        "asked": text(&cancel.asked),
    }))
}
