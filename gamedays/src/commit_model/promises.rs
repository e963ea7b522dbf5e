//! What has to hold in every state and over every step.

use crate::commit_model::state::{Manifest, State};

/// The promise that a step from `before` to `after` breaks.
pub fn broken(before: &State, after: &State, units: [u8; 2]) -> Option<&'static str> {
    let newest = after.newest();
    if newest.live & !after.bucket != 0 {
        return Some("a live segment of the newest manifest is not there");
    }
    if let Some(pin) = after.pin {
        if pin.live & !after.bucket != 0 {
            return Some("a segment that a reader holds is not there");
        }
        if after.manifest(pin.number).is_none() {
            return Some("a manifest that a reader holds is not there");
        }
    }
    broken_chain(&before.newest(), &newest).or_else(|| broken_count(after, &newest, units))
}

fn broken_chain(before: &Manifest, after: &Manifest) -> Option<&'static str> {
    if before.number == after.number {
        return (before.live != after.live).then_some("the newest manifest was replaced");
    }
    if after.number != before.number + 1 {
        return Some("the newest manifest does not follow the one before");
    }
    let mut positions = before.positions.iter().zip(&after.positions);
    let forward = positions.all(|(before, after)| before <= after)
        && before.kept_from <= after.kept_from
        && before.void_before <= after.void_before;
    (!forward).then_some("a position or a fence moved back")
}

/// SK-9 and SK-11: what positions say is in exactly one live segment.
fn broken_count(state: &State, newest: &Manifest, units: [u8; 2]) -> Option<&'static str> {
    let mut seen = 0u8;
    for (_, segment) in state.segments(newest.live) {
        if seen & segment.units != 0 {
            return Some("a unit of input is in two live segments");
        }
        seen |= segment.units;
    }
    let mut expected = 0u8;
    let mut first = 0;
    for (position, count) in newest.positions.iter().zip(units) {
        expected |= ((1 << position) - 1) << first;
        first += count;
    }
    (seen != expected).then_some("positions and live segments disagree")
}
