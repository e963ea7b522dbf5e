//! Takes cutovers on when their time has come: every org by itself, so that one that fails stops nobody else.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use skein_shared::cutover::{CutoverState, Standing};
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::format::delete_entry::Statement;
use skein_shared::ids::OrgId;
use skein_shared::{Result, cutover_log, fleet_log};

use crate::cutover::fact_finding::Plane;
use crate::cutover::request::{Refusal, RefusalKind, Request};
use crate::cutover::saga::{Ended, Mode, Verb, carry_out};

const CONCURRENT_ORGS: usize = 8;

/// More steps than any cutover takes on at once.
const MOST_STEPS: usize = 6;

/// How far one org was taken.
#[derive(Debug)]
pub struct Taken {
    /// Whose.
    pub org: OrgId,
    /// The versions that were made.
    pub steps: Vec<CutoverVersion>,
    /// Why there was no more to do; or that it failed.
    pub rest: Result<Refusal>,
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// It stands there.
    Reached(CutoverState),
    /// It does not go there any more: where it stands, and why.
    Elsewhere(CutoverState, Standing),
    /// The time was over; what it waits for.
    TimedOut(Refusal),
}

/// Takes every org on that has something due, after publishing what nobody has published.
///
/// # Errors
/// What the bucket says of all orgs; what it says of one stands in that one's answer.
pub fn round<'a>(
    plane: &'a Plane,
    stated: &'a Statement,
    mode: Mode,
) -> BoxFuture<'a, Result<Vec<Taken>>> {
    Box::pin(async move {
        if mode == Mode::Real {
            fleet_log::catch_up(&plane.bucket, plane.settings.unenrolled.pipeline()).await?;
        }
        let orgs = cutover_log::orgs(&plane.bucket).await?;
        let taken = stream::iter(orgs)
            .map(|org| take_on(plane, (org, stated), mode))
            .buffered(CONCURRENT_ORGS)
            .collect()
            .await;
        Ok(taken)
    })
}

/// Takes one org on as far as it goes now.
pub fn take_on<'a>(
    plane: &'a Plane,
    (org, stated): (OrgId, &'a Statement),
    mode: Mode,
) -> BoxFuture<'a, Taken> {
    Box::pin(async move {
        let verb = Verb {
            org,
            request: Request::Advance,
            stated: stated.clone(),
            evidence: vec![],
            expected: None,
        };
        let mut steps = Vec::new();
        let rest = loop {
            match carry_out(plane, &verb, mode).await {
                Ok(Ended::Done(done)) => steps.push(done.version),
                Ok(Ended::Refused(refusal)) => break Ok(refusal),
                Err(error) => break Err(error),
            }
            if mode == Mode::DryRun || steps.len() >= MOST_STEPS {
                let unknown = "there may be more to do";
                break Ok(Refusal::new(RefusalKind::NotYet, unknown));
            }
        };
        Taken { org, steps, rest }
    })
}

/// Takes one org on until it stands in `wanted`, or no longer goes there, or `patience` is over.
///
/// # Errors
/// As [`carry_out`].
pub fn wait<'a>(
    plane: &'a Plane,
    (org, stated): (OrgId, &'a Statement),
    (wanted, patience): (CutoverState, Duration),
) -> BoxFuture<'a, Result<Waited>> {
    Box::pin(async move {
        let begun = tokio::time::Instant::now();
        loop {
            let taken = take_on(plane, (org, stated), Mode::Real).await;
            let refusal = taken.rest?;
            let newest = cutover_log::newest(&plane.bucket, org).await?;
            let Some((newest, _)) = newest else {
                return Ok(Waited::TimedOut(refusal));
            };
            if newest.state == wanted {
                return Ok(Waited::Reached(wanted));
            }
            if !leads(newest.state, wanted) {
                return Ok(Waited::Elsewhere(newest.state, newest.standing));
            }
            if begun.elapsed() >= patience {
                return Ok(Waited::TimedOut(refusal));
            }
            tokio::time::sleep(Duration::from_millis(plane.settings.poll.0)).await;
        }
    })
}

/// Whether time alone can lead from a state to another.
fn leads(from: CutoverState, to: CutoverState) -> bool {
    use CutoverState as S;
    match from {
        S::Starting => to == S::Shadow,
        S::Scheduled | S::Armed => to == S::Switched,
        S::Contracting => to == S::Sealed,
        S::Reversing => to == S::Reversed,
        S::Off | S::Shadow | S::Canary | S::Switched | S::Sealed | S::Done | S::Reversed => false,
    }
}
