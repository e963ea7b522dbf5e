//! What stands in a cutover: versions, fleets, seals and acknowledgements.

use serde_json::{Map, Value, json};
use skein_shared::Result;
use skein_shared::cutover::{Edges, Standing};
use skein_shared::format::cutover_ack::CutoverAck;
use skein_shared::format::cutover_fleet::CutoverFleet;
use skein_shared::format::cutover_seal::CutoverSeal;
use skein_shared::format::cutover_version::{CutoverVersion, Evidence};
use skein_shared::format::diff_verdict::DiffVerdict;
use skein_shared::format::object_key::CutoverKey;
use skein_shared::timeline::Timeline;
use skein_shared::window::{TimeSpan, TimestampMs};

use super::text;

/// What shows the object at a key.
pub(super) fn shower(key: &CutoverKey) -> fn(&[u8]) -> Result<Value> {
    match key {
        CutoverKey::Version { .. } => version,
        CutoverKey::Seal { .. } => seal,
        CutoverKey::Fleet(_) => fleet,
        CutoverKey::Ack { .. } => ack,
        CutoverKey::DiffVerdict { .. } => verdict,
    }
}

/// A version of an org's cutover.
fn version(bytes: &[u8]) -> Result<Value> {
    let (id, version) = CutoverVersion::decode(bytes)?;
    let change = &version.change;
    Ok(json!({
        "kind": "cutover version",
        "write_id": text(&id),
        "org": version.org.0,
        "version": version.version,
        "previous": hash(version.previous.0),
        "verb": change.verb,
        "from": change.from.name(),
        "actor": change.stated.actor,
        "reason": change.stated.reason,
        "ticket": change.stated.ticket,
        "at": text(&change.at),
        "state": version.state.name(),
        "standing": standing(&version.standing),
        "timeline": timeline(&version.timeline),
        "edges": edges(version.edges),
        "seal": version.seal,
        "mirror_percent": version.mirror_percent,
        "evidence": version.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "undo": version.undo.text(),
        "old_place": version.old_place,
    }))
}

/// The newest versions of all orgs.
fn fleet(bytes: &[u8]) -> Result<Value> {
    let (id, fleet) = CutoverFleet::decode(bytes)?;
    let heads = fleet.heads.iter().map(|(org, head)| {
        let shown = json!({
            "version": head.version,
            "hash": hash(head.hash.0),
            "state": head.state.name(),
            "timeline": timeline(&head.timeline),
            "seal": head.seal,
            "mirror_percent": head.mirror_percent,
            "old_place": head.old_place,
        });
        (org.0.to_string(), shown)
    });
    Ok(json!({
        "kind": "cutover fleet",
        "write_id": text(&id),
        "number": fleet.number,
        "unenrolled": fleet.unenrolled.name(),
        "at": text(&fleet.at),
        "orgs": heads.collect::<Map<_, _>>(),
    }))
}

/// Up to where the old pipeline has written an org.
fn seal(bytes: &[u8]) -> Result<Value> {
    let (id, seal) = CutoverSeal::decode(bytes)?;
    let positions = seal.vector.0.iter();
    Ok(json!({
        "kind": "cutover seal",
        "write_id": text(&id),
        "org": seal.org.0,
        "version": seal.version,
        "positions": positions.map(|(chain, at)| (text(chain), json!(at.0))).collect::<Map<_, _>>(),
        "at": text(&seal.at),
    }))
}

/// By which fleet a node goes.
fn ack(bytes: &[u8]) -> Result<Value> {
    let (id, ack) = CutoverAck::decode(bytes)?;
    Ok(json!({
        "kind": "cutover acknowledgement",
        "write_id": text(&id),
        "role": ack.role.name(),
        "node": text(&ack.node),
        "fleet": ack.fleet,
        "at": text(&ack.at),
        "build": ack.build,
        "fenced": ack.fenced.iter().map(|org| org.0).collect::<Vec<_>>(),
    }))
}

/// What a comparison found.
fn verdict(bytes: &[u8]) -> Result<Value> {
    let (id, verdict) = DiffVerdict::decode(bytes)?;
    let (counts, span) = (&verdict.counts, verdict.span);
    Ok(json!({
        "kind": "comparison verdict",
        "write_id": text(&id),
        "org": verdict.org.0,
        "comparison": text(&verdict.comparison),
        "sides": verdict.sides.name(),
        "from": (span.from != TimeSpan::ALL.from).then(|| text(&span.from)),
        "to": (span.to != TimeSpan::ALL.to).then(|| text(&span.to)),
        "verdict": verdict.verdict.name(),
        "reasons": verdict.reasons,
        "cutover_version": verdict.cutover_version,
        "fleet": verdict.fleet,
        "build": verdict.build,
        "windows_compared": verdict.windows.0,
        "windows": verdict.windows.1,
        "counts": {
            "equal": counts.equal,
            "within_tolerance": counts.within_tolerance,
            "different_value": counts.different_value,
            "different_metadata": counts.different_metadata,
            "missing_left": counts.missing_left,
            "missing_right": counts.missing_right,
            "duplicates": counts.duplicates,
            "wrong_owner": counts.wrong_owner,
            "out_of_window": counts.out_of_window,
            "undecodable": counts.undecodable,
            "ignored": counts.ignored,
            "resolved": counts.resolved,
            "set_aside": counts.set_aside,
        },
        "new_classes": verdict.new_classes,
        "report_digest": hash(verdict.report_digest),
        "at": text(&verdict.at),
    }))
}

fn timeline(timeline: &Timeline) -> Value {
    let phases = timeline.phases().iter().map(|phase| {
        let from = (phase.from != TimeSpan::ALL.from).then(|| text(&phase.from));
        json!({
            "from": from,
            "write": text(&phase.writers),
            "visible": phase.visible.name(),
        })
    });
    phases.collect()
}

fn standing(standing: &Standing) -> Value {
    match standing {
        Standing::Going => json!("going"),
        Standing::Paused => json!("paused"),
        Standing::Blocked(why) => json!({ "blocked": why }),
        Standing::Inconclusive(why) => json!({ "inconclusive": why }),
        Standing::Faulted(why) => json!({ "faulted": why }),
    }
}

fn edges(edges: Edges) -> Value {
    let time = |at: Option<TimestampMs>| at.map(|at| text(&at));
    json!({
        "new_writes_from": time(edges.new_writes_from),
        "switch_at": time(edges.switch_at),
        "old_ends_at": time(edges.old_ends_at),
        "reverse_at": time(edges.reverse_at),
    })
}

fn evidence(evidence: &Evidence) -> Value {
    json!({
        "kind": evidence.kind,
        "key": evidence.key,
        "digest": hash(evidence.digest),
        "text": evidence.text,
        "at": text(&evidence.at),
    })
}

fn hash(hash: u128) -> String {
    format!("{hash:032x}")
}
