//! Carries a verb out: a seal where it needs one, then one version, then the fleet that nodes read.
//!
//! The version is the intent and the deed in one: before it nothing has happened that counts, after it the rest can be
//! done by anybody, any number of times. So the log of versions is the journal, and [`repair`] reads what is left to do from
//! it: a seal that no version names is void, and a version that no fleet has is published.

use futures::future::BoxFuture;
use skein_shared::cutover::Standing;
use skein_shared::cutover_log::{self, Appended, Hashed};
use skein_shared::format::cutover_seal::CutoverSeal;
use skein_shared::format::cutover_version::{CutoverVersion, Evidence};
use skein_shared::format::delete_entry::Statement;
use skein_shared::ids::OrgId;
use skein_shared::timeline::Pipeline;
use skein_shared::window::TimeSpan;
use skein_shared::{Result, fleet_log};

use crate::cutover::fact_finding::{Plane, Seen, look};
use crate::cutover::request::{NextSeal, NextVersion, Refusal, RefusalKind, Request};
use crate::cutover::rules::Rules;
use crate::cutover::transition::decide;

/// What is asked, of which org, by whom.
#[derive(Debug, Clone)]
pub struct Verb {
    /// Whose cutover.
    pub org: OrgId,
    /// What is asked.
    pub request: Request,
    /// By whom and why.
    pub stated: Statement,
    /// Evidence beside what gates find.
    pub evidence: Vec<Evidence>,
    /// The version that the org must be at; `None` where any will do.
    pub expected: Option<u64>,
}

/// Whether something is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All of it.
    Real,
    /// Nothing: what would be is answered.
    DryRun,
}

/// How a verb ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It is done, or would be.
    Done(Box<Done>),
    /// It is not.
    Refused(Refusal),
}

/// What a verb made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The org's newest version.
    pub version: CutoverVersion,
    /// The fleet that has it; `None` of a dry run.
    pub fleet: Option<u64>,
    /// Event times of which answers that were given before are other ones now.
    pub restated: Option<TimeSpan>,
}

/// What a repair found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// Log, seals and fleet agree.
    Sound,
    /// The newest version was in no fleet, and is in this one.
    Published(u64),
    /// What it needed repair for is over; the version that says so.
    Cleared(u64),
    /// Log and fleet disagree in a way that only a person can settle.
    Faulty(String),
}

/// Carries `verb` out.
///
/// # Errors
/// `Corrupt` when something stored is damaged, and what the bucket says. After an error it may be done or not; asking again
/// is safe, and refused as a conflict when it was done.
pub fn carry_out<'a>(plane: &'a Plane, verb: &'a Verb, mode: Mode) -> BoxFuture<'a, Result<Ended>> {
    Box::pin(async move {
        let seen = look(plane, verb.org).await?;
        carry_out_on(plane, (verb, &seen), mode).await
    })
}

/// Carries `verb` out on what was seen: if the org has another version since, it is refused as a conflict.
///
/// # Errors
/// As [`carry_out`].
pub fn carry_out_on<'a>(
    plane: &'a Plane,
    (verb, seen): (&'a Verb, &'a Seen),
    mode: Mode,
) -> BoxFuture<'a, Result<Ended>> {
    Box::pin(async move {
        let before = seen.history.last();
        let at = before.map_or(0, |(before, _)| before.version);
        if verb.expected.is_some_and(|expected| expected != at) {
            let reason = format!("the org is at version {at}: look again");
            return Ok(Ended::Refused(Refusal::new(RefusalKind::Conflict, reason)));
        }
        let rules = Rules::of(&plane.settings);
        let newest = before.map(|(before, _)| before);
        let mut next = match decide(newest, &verb.request, &seen.facts, &rules) {
            Ok(next) => next,
            Err(refusal) => return Ok(Ended::Refused(refusal)),
        };
        next.evidence.extend(verb.evidence.iter().cloned());
        let numbered = (verb.stated.clone(), seen.facts.now);
        let before = before.map(|(version, hash)| (version, *hash));
        let version = next.numbered(verb.org, before, numbered);
        let restated = next.restated;
        if mode == Mode::DryRun {
            let fleet = None;
            return Ok(Ended::Done(Box::new(Done {
                version,
                fleet,
                restated,
            })));
        }
        keep_seal(plane, &next, &version).await?;
        let hash = match cutover_log::append(&plane.bucket, &version).await? {
            Appended::Ours(hash) => hash,
            Appended::Lost => return Ok(Ended::Refused(lost(&version))),
        };
        let unenrolled = plane.settings.unenrolled.pipeline();
        let hashed = [(version, hash)];
        let fleet = fleet_log::publish(&plane.bucket, unenrolled, &hashed).await?;
        let [(version, _)] = hashed;
        Ok(Ended::Done(Box::new(Done {
            version,
            fleet: Some(fleet.number),
            restated,
        })))
    })
}

fn lost(version: &CutoverVersion) -> Refusal {
    let reason = format!(
        "another process made version {} of org {} first: look at it, then ask again",
        version.version, version.org
    );
    Refusal::new(RefusalKind::Conflict, reason)
}

/// A seal is there before the version that names it. One that a process kept that ended before its version stands: its
/// positions are lower, and what is beyond them is written again at worst.
async fn keep_seal(plane: &Plane, next: &NextVersion, version: &CutoverVersion) -> Result<()> {
    let NextSeal::Taken(vector) = &next.seal else {
        return Ok(());
    };
    let seal = CutoverSeal {
        org: version.org,
        version: version.version,
        vector: vector.clone(),
        at: version.change.at,
    };
    cutover_log::keep_seal(&plane.bucket, &seal).await?;
    Ok(())
}

/// Makes log, seals and fleet of `org` agree again, where that needs no person.
///
/// # Errors
/// As [`carry_out`].
pub fn repair<'a>(
    plane: &'a Plane,
    (org, stated): (OrgId, &'a Statement),
    mode: Mode,
) -> BoxFuture<'a, Result<Repaired>> {
    Box::pin(async move {
        let seen = look(plane, org).await?;
        let Some(newest) = seen.history.last() else {
            return Ok(Repaired::Sound);
        };
        let fleet = fleet_log::newest(&plane.bucket).await?;
        let head = fleet.as_ref().and_then(|fleet| fleet.heads.get(&org));
        let is_behind = head.is_none_or(|head| head.version < newest.0.version);
        if let Some(head) = head.filter(|_| !is_behind)
            && (head.version, head.hash) != (newest.0.version, newest.1)
        {
            let why = format!(
                "the fleet says version {}, which the log does not have so",
                head.version
            );
            return fault(plane, (org, stated, newest), (mode, why)).await;
        }
        if is_behind {
            return publish(plane, newest, mode).await;
        }
        if let Standing::Faulted(_) = newest.0.standing {
            let verb = verb_of(org, Request::Repair, stated);
            return Ok(match carry_out_on(plane, (&verb, &seen), mode).await? {
                Ended::Done(done) => Repaired::Cleared(done.version.version),
                Ended::Refused(refusal) => Repaired::Faulty(refusal.reason),
            });
        }
        Ok(Repaired::Sound)
    })
}

async fn publish(plane: &Plane, newest: &Hashed, mode: Mode) -> Result<Repaired> {
    if mode == Mode::DryRun {
        return Ok(Repaired::Published(0));
    }
    let unenrolled: Pipeline = plane.settings.unenrolled.pipeline();
    let newest = std::slice::from_ref(newest);
    let fleet = fleet_log::publish(&plane.bucket, unenrolled, newest).await?;
    Ok(Repaired::Published(fleet.number))
}

async fn fault(
    plane: &Plane,
    (org, stated, newest): (OrgId, &Statement, &Hashed),
    (mode, why): (Mode, String),
) -> Result<Repaired> {
    let is_known = matches!(newest.0.standing, Standing::Faulted(_));
    if !is_known {
        let verb = verb_of(org, Request::Fault(why.clone()), stated);
        carry_out(plane, &verb, mode).await?;
    }
    Ok(Repaired::Faulty(why))
}

fn verb_of(org: OrgId, request: Request, stated: &Statement) -> Verb {
    Verb {
        org,
        request,
        stated: stated.clone(),
        evidence: vec![],
        expected: None,
    }
}
