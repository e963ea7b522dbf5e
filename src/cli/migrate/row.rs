//! What is told of an org: one row a version, and why there is none.

use serde::Serialize;
use skein_config::cutover::request::{Refusal, RefusalKind};
use skein_shared::cutover::Standing;
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::ids::OrgId;
use skein_shared::timeline::{Phase, Timeline};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::exit_code::ExitCode;

/// What became of one org.
#[derive(Debug, Serialize)]
pub(crate) struct OrgRow {
    pub org: u64,
    /// The newest version, or the one that would be; `None` where nothing was changed.
    pub version: Option<VersionRow>,
    /// The fleet that has it.
    pub fleet: Option<u64>,
    /// Why nothing was changed, or what is waited for.
    pub refused: Option<String>,
    /// Event times of which answers that were given before are other ones now.
    pub restated: Option<SpanRow>,
    pub dry_run: bool,
    #[serde(skip)]
    pub code: ExitCode,
}

/// A version.
#[derive(Debug, Serialize)]
pub(crate) struct VersionRow {
    pub version: u64,
    pub at: String,
    pub verb: String,
    pub from: &'static str,
    pub state: &'static str,
    pub standing: &'static str,
    pub why: Option<String>,
    pub actor: String,
    pub reason: String,
    pub ticket: Option<String>,
    pub timeline: Vec<PhaseRow>,
    pub new_writes_from: Option<String>,
    pub switch_at: Option<String>,
    pub old_ends_at: Option<String>,
    pub reverse_at: Option<String>,
    pub mirror_percent: u8,
    pub seal: Option<u64>,
    pub old_place: Option<String>,
    pub undo: &'static str,
    pub evidence: Vec<EvidenceRow>,
}

/// A phase of a timeline.
#[derive(Debug, Serialize)]
pub(crate) struct PhaseRow {
    /// `None` is the beginning of time.
    pub from: Option<String>,
    pub write: String,
    pub visible: &'static str,
}

/// What a version rests on.
#[derive(Debug, Serialize)]
pub(crate) struct EvidenceRow {
    pub kind: String,
    pub text: String,
    pub key: String,
    pub digest: String,
    pub at: String,
}

/// A span of event times.
#[derive(Debug, Serialize)]
pub(crate) struct SpanRow {
    pub from: String,
    pub to: String,
}

impl SpanRow {
    pub(crate) fn of(span: TimeSpan) -> Self {
        Self {
            from: span.from.to_string(),
            to: span.to.to_string(),
        }
    }
}

impl PhaseRow {
    pub(crate) fn of(phase: Phase) -> Self {
        let is_first = phase.from == TimeSpan::ALL.from;
        Self {
            from: (!is_first).then(|| phase.from.to_string()),
            write: phase.writers.to_string(),
            visible: phase.visible.name(),
        }
    }

    pub(crate) fn all(timeline: &Timeline) -> Vec<Self> {
        timeline.phases().iter().copied().map(Self::of).collect()
    }

    pub(crate) fn shown(&self) -> String {
        let from = self.from.as_deref().unwrap_or("the beginning");
        format!(
            "from {from}: {} write, {} is visible",
            self.write, self.visible
        )
    }
}

/// The name of a standing, and its reason.
pub(crate) fn standing(standing: &Standing) -> (&'static str, Option<String>) {
    match standing {
        Standing::Going => ("going", None),
        Standing::Paused => ("paused", None),
        Standing::Blocked(why) => ("blocked", Some(why.clone())),
        Standing::Inconclusive(why) => ("inconclusive", Some(why.clone())),
        Standing::Faulted(why) => ("faulted", Some(why.clone())),
    }
}

/// The code that says how an org stands.
pub(crate) fn code_of_standing(standing: &Standing) -> ExitCode {
    match standing {
        Standing::Going | Standing::Paused => ExitCode::Ok,
        Standing::Blocked(_) | Standing::Faulted(_) => ExitCode::Difference,
        Standing::Inconclusive(_) => ExitCode::Inconclusive,
    }
}

impl VersionRow {
    pub(crate) fn of(version: &CutoverVersion) -> Self {
        let time = |at: Option<TimestampMs>| at.map(|at| at.to_string());
        let (edges, change) = (version.edges, &version.change);
        let (name, why) = standing(&version.standing);
        let evidence = version.evidence.iter().map(|it| EvidenceRow {
            kind: it.kind.clone(),
            text: it.text.clone(),
            key: it.key.clone(),
            digest: format!("{:032x}", it.digest),
            at: it.at.to_string(),
        });
        Self {
            version: version.version,
            at: change.at.to_string(),
            verb: change.verb.clone(),
            from: change.from.name(),
            state: version.state.name(),
            standing: name,
            why,
            actor: change.stated.actor.clone(),
            reason: change.stated.reason.clone(),
            ticket: change.stated.ticket.clone(),
            timeline: PhaseRow::all(&version.timeline),
            new_writes_from: time(edges.new_writes_from),
            switch_at: time(edges.switch_at),
            old_ends_at: time(edges.old_ends_at),
            reverse_at: time(edges.reverse_at),
            mirror_percent: version.mirror_percent,
            seal: version.seal,
            old_place: version.old_place.clone(),
            undo: version.undo.text(),
            evidence: evidence.collect(),
        }
    }

    /// The edges that there are, in words.
    pub(crate) fn edges(&self) -> Vec<String> {
        let named = [
            ("new writes from", &self.new_writes_from),
            ("readers switch at", &self.switch_at),
            ("old ends at", &self.old_ends_at),
            ("readers go back at", &self.reverse_at),
        ];
        let there = named.into_iter().filter_map(|(name, at)| {
            let at = at.as_ref()?;
            Some(format!("{name} {at}"))
        });
        there.collect()
    }
}

impl OrgRow {
    /// An org of which nothing was changed.
    pub(crate) fn refused(org: OrgId, refusal: &Refusal) -> Self {
        Self {
            org: org.0,
            version: None,
            fleet: None,
            refused: Some(refusal.reason.clone()),
            restated: None,
            dry_run: false,
            code: code_of(refusal.kind),
        }
    }

    /// An org of which something failed.
    pub(crate) fn changed_nothing(org: OrgId, why: String) -> Self {
        Self {
            refused: Some(why),
            ..Self::refused(org, &Refusal::new(RefusalKind::Invalid, ""))
        }
    }

    /// An org with a new version.
    pub(crate) fn changed(org: OrgId, version: &CutoverVersion) -> Self {
        Self {
            org: org.0,
            version: Some(VersionRow::of(version)),
            fleet: None,
            refused: None,
            restated: None,
            dry_run: false,
            code: ExitCode::Ok,
        }
    }

    pub(crate) fn shown(&self) -> Vec<String> {
        let org = self.org;
        let mut lines = Vec::new();
        if let Some(version) = &self.version {
            let would = if self.dry_run { "would be " } else { "" };
            let fleet = self
                .fleet
                .map_or_else(String::new, |fleet| format!(", fleet {fleet}"));
            lines.push(format!(
                "org {org}: {} -> {would}{} (version {}{fleet}; {})",
                version.from, version.state, version.version, version.verb
            ));
            if let Some(why) = &version.why {
                lines.push(format!("  {}: {why}", version.standing));
            }
            lines.extend(version.edges().into_iter().map(|edge| format!("  {edge}")));
            lines.push(format!("  undo: {}", version.undo));
        }
        if let Some(span) = &self.restated {
            let SpanRow { from, to } = span;
            lines.push(format!(
                "  answers for {from} to {to} may be other ones now: run what used them again"
            ));
        }
        lines.extend(self.refused.iter().map(|why| format!("org {org}: {why}")));
        lines
    }
}

/// The code of a refusal.
pub(crate) fn code_of(kind: RefusalKind) -> ExitCode {
    match kind {
        RefusalKind::NotYet => ExitCode::Ok,
        RefusalKind::Invalid => ExitCode::Usage,
        RefusalKind::Gate => ExitCode::Difference,
        RefusalKind::Inconclusive => ExitCode::Inconclusive,
        RefusalKind::Conflict => ExitCode::Conflict,
        RefusalKind::Irreversible => ExitCode::Irreversible,
    }
}

/// Of several codes the one that asks for a person first.
pub(crate) fn worst(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
    let order = [
        ExitCode::Difference,
        ExitCode::Inconclusive,
        ExitCode::Irreversible,
        ExitCode::Conflict,
        ExitCode::TimedOut,
        ExitCode::Usage,
    ];
    let codes: Vec<ExitCode> = codes
        .into_iter()
        .filter(|code| *code != ExitCode::Ok)
        .collect();
    let listed = order.into_iter().find(|code| codes.contains(code));
    listed.or(codes.first().copied()).unwrap_or(ExitCode::Ok)
}
