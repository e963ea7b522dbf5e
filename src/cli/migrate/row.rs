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
    pub(crate) org: u64,
    /// The newest version, or the one that would be; `None` where nothing was changed.
    pub(crate) version: Option<VersionRow>,
    /// The fleet that has it.
    pub(crate) fleet: Option<u64>,
    /// Why nothing was changed, or what is waited for.
    pub(crate) refused: Option<String>,
    /// Event times of which answers that were given before are other ones now.
    pub(crate) restated: Option<SpanRow>,
    pub(crate) dry_run: bool,
    #[serde(skip)]
    pub(crate) code: ExitCode,
}

/// A version.
#[derive(Debug, Serialize)]
pub(crate) struct VersionRow {
    pub(crate) version: u64,
    pub(crate) at: String,
    pub(crate) verb: String,
    pub(crate) from: &'static str,
    pub(crate) state: &'static str,
    pub(crate) standing: &'static str,
    pub(crate) why: Option<String>,
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) ticket: Option<String>,
    pub(crate) timeline: Vec<PhaseRow>,
    pub(crate) new_writes_from: Option<String>,
    pub(crate) switch_at: Option<String>,
    pub(crate) old_ends_at: Option<String>,
    pub(crate) reverse_at: Option<String>,
    pub(crate) mirror_percent: u8,
    pub(crate) seal: Option<u64>,
    pub(crate) old_place: Option<String>,
    pub(crate) undo: &'static str,
    pub(crate) evidence: Vec<EvidenceRow>,
}

/// A phase of a timeline.
#[derive(Debug, Serialize)]
pub(crate) struct PhaseRow {
    /// `None` is the beginning of time.
    pub(crate) from: Option<String>,
    pub(crate) write: String,
    pub(crate) visible: &'static str,
}

/// What a version rests on.
#[derive(Debug, Serialize)]
pub(crate) struct EvidenceRow {
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) key: String,
    pub(crate) digest: String,
    pub(crate) at: String,
}

/// A span of event times.
#[derive(Debug, Serialize)]
pub(crate) struct SpanRow {
    pub(crate) from: String,
    pub(crate) to: String,
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
