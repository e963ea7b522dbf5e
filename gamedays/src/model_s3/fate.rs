//! What becomes of one request on its way: how long it takes, and what goes wrong.

use fastrand::Rng;

use crate::fault::{Family, FaultPlan};
use crate::model_s3::{Ask, Refusal};

/// How long a client waits for an answer.
pub const PATIENCE_MS: u64 = 2_000;

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// How long it takes to the bucket; `None` when it never arrives.
    pub arrives_after_ms: Option<u64>,
    /// How long the answer takes back.
    pub returns_after_ms: u64,
    /// What the bucket makes of it.
    pub verdict: Verdict,
}

/// What the bucket makes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What is asked.
    Does,
    /// Nothing, and says so.
    Refuses(Refusal),
    /// What is asked, but it says otherwise, or its answer is lost.
    DoesBut(Refusal),
    /// What is asked, but a bit of what is read is flipped.
    Flips(u8),
}

/// Draws the fate of a request that is sent now.
pub fn draw(plan: &mut FaultPlan, ask: &Ask, now: u64, rng: &mut Rng) -> Fate {
    let mut fate = Fate {
        arrives_after_ms: Some(rng.u64(1..30)),
        returns_after_ms: rng.u64(1..30),
        verdict: Verdict::Does,
    };
    if plan.strikes(Family::Slow, now, rng) {
        // Some arrive only after the client has given them up and sent them again.
        fate.arrives_after_ms = Some(rng.u64(30..3 * PATIENCE_MS));
        fate.returns_after_ms = rng.u64(1..PATIENCE_MS);
    }
    if plan.strikes(Family::Lost, now, rng) {
        if rng.bool() {
            fate.arrives_after_ms = None;
        } else {
            fate.verdict = Verdict::DoesBut(Refusal::TimedOut);
        }
    }
    let hash = xxhash_rust::xxh3::xxh3_64(ask.key().as_bytes());
    if let Some(verdict) = verdict(plan, (ask, hash), now, rng) {
        fate.verdict = verdict;
    }
    fate
}

fn verdict(
    plan: &mut FaultPlan,
    (ask, hash): (&Ask, u64),
    now: u64,
    rng: &mut Rng,
) -> Option<Verdict> {
    if plan.is_out(hash, now, rng) || plan.strikes(Family::Throttle, now, rng) {
        return Some(Verdict::Refuses(Refusal::Throttled));
    }
    if plan.strikes(Family::Error, now, rng) {
        return Some(if rng.bool() {
            Verdict::DoesBut(Refusal::Unavailable)
        } else {
            Verdict::Refuses(Refusal::Unavailable)
        });
    }
    if plan.strikes(Family::Denied, now, rng) {
        return Some(Verdict::Refuses(Refusal::Denied));
    }
    match ask {
        Ask::Create(..) if plan.strikes(Family::Conflict, now, rng) => {
            Some(Verdict::Refuses(Refusal::Unavailable))
        }
        Ask::Complete(..) if plan.strikes(Family::FalseCompletion, now, rng) => {
            Some(if rng.bool() {
                Verdict::DoesBut(Refusal::Unavailable)
            } else {
                Verdict::Refuses(Refusal::Throttled)
            })
        }
        Ask::Get(_) if plan.strikes(Family::Damage, now, rng) => Some(Verdict::Flips(rng.u8(..4))),
        Ask::Put(..) | Ask::Create(..) | Ask::UploadPart(..) => {
            // A body whose checksum does not fit is refused, and sent again.
            if plan.strikes(Family::Damage, now, rng) {
                return Some(Verdict::Refuses(Refusal::Unavailable));
            }
            plan.strikes(Family::Refused, now, rng)
                .then_some(Verdict::Refuses(Refusal::Invalid))
        }
        Ask::Complete(..)
        | Ask::Get(_)
        | Ask::Head(_)
        | Ask::LastKey(_)
        | Ask::Delete(_)
        | Ask::StartUpload(..)
        | Ask::Abort(_)
        | Ask::Clock => None,
    }
}
