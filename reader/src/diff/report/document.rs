//! The document `skein.diff/v1`.

use serde::Serialize;
use skein_shared::format::diff_verdict::Verdict;
use skein_shared::ids::OrgId;
use skein_shared::window::TimestampMs;

use super::tally::{ClassReport, Counts, Share, Tallies, classes};
use super::{ReportInput, windows_of};
use crate::diff::class_history::IgnoreRule;
use crate::diff::definition::{Declared, SCHEMA};
use crate::diff::discrepancy::Difference;
use crate::diff::journal::{InputKind, Journal, OrgInput, WindowDone};
use crate::diff::merge_join::TOLERANCE;
use crate::diff::side::Side;
use crate::diff::verdict::{Ended, OrgVerdict, worst};

/// Samples of one class.
const SAMPLES: usize = 100;

/// A comparison, from what was asked to what it came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What it is called.
    pub comparison: String,
    /// When it was made, by the bucket's clock.
    pub at_ms: i64,
    /// The worst verdict of all orgs.
    pub verdict: String,
    /// Why it is not a plain pass, with the org where there are several.
    pub reasons: Vec<String>,
    /// The first side.
    pub left: SideReport,
    /// The second.
    pub right: SideReport,
    /// What is known of the input of each org.
    pub input: Vec<InputReport>,
    /// What was asked for.
    pub scope: Scope,
    /// What was compared of it.
    pub coverage: Coverage,
    /// How it was compared.
    pub options: Options,
    /// All points.
    pub counts: Counts,
    /// The counts of a comparison of the old side with itself.
    pub noise_floor: Option<serde_json::Value>,
    /// Verdict and counts of each org.
    pub orgs: Vec<OrgReport>,
    /// Differences by what they have in common.
    pub by: Tallies,
    /// Every class that differs, and those that no longer do.
    pub classes: Vec<ClassReport>,
    /// The first difference of each class, with where each side's point lies.
    pub samples: Vec<Sample>,
    /// How far it came.
    pub progress: ProgressReport,
    /// What it took.
    pub cost: Cost,
    /// What could not be read.
    pub errors: Vec<String>,
}

/// One side.
#[derive(Debug, Clone, Serialize)]
pub struct SideReport {
    /// `old` or `new`.
    pub pipeline: &'static str,
    /// URL or path.
    pub place: String,
    /// The build that compared.
    pub build: &'static str,
    /// Number of the fleet by whose timelines it was read.
    pub timeline_version: u64,
    /// What its points are kept in.
    pub format: &'static str,
}

/// The input of one org.
#[derive(Debug, Clone, Serialize)]
pub struct InputReport {
    /// Whose, how it is known, and the vectors.
    #[serde(flatten)]
    pub known: OrgInput,
    /// Whether the sides are comparable by it.
    pub is_comparable: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Scope {
    /// Whose points.
    pub orgs: Vec<u64>,
    /// First event time.
    pub from_ms: i64,
    /// First event time beyond.
    pub to_ms: i64,
    /// Points or buckets.
    pub resolution: &'static str,
    /// Share of the series, in a hundred.
    pub sample_percent: f64,
    /// Which of them.
    pub seed: u64,
}

/// What was compared.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Coverage {
    /// Windows.
    pub windows: Share,
    /// Points of them.
    pub points: Share,
    /// Series, counted in each window.
    pub series: u64,
    /// Points that were read of the left side.
    pub left_points: u64,
    /// Points that were read of the right side.
    pub right_points: u64,
    /// Bytes that were received of both.
    pub bytes: u64,
    /// The share that is wanted, in a hundred.
    pub wanted_percent: u8,
}

/// How it was compared.
#[derive(Debug, Clone, Serialize)]
pub struct Options {
    /// `bit-exact`, or the relative tolerance.
    pub values: String,
    /// How often it was looked at again.
    pub rechecks: u32,
    /// Rules, each with whether it still holds.
    pub ignores: Vec<IgnoreReport>,
    /// Spans whose input was declared equal.
    pub declared: Vec<Declared>,
}

/// A rule.
#[derive(Debug, Clone, Serialize)]
pub struct IgnoreReport {
    /// The rule.
    #[serde(flatten)]
    pub rule: IgnoreRule,
    /// Whether it held.
    pub holds: bool,
}

/// One org.
#[derive(Debug, Clone, Serialize)]
pub struct OrgReport {
    /// Whose.
    pub org: u64,
    /// The outcome.
    pub verdict: String,
    /// Why.
    pub reasons: Vec<String>,
    /// Number of its cutover version.
    pub cutover_version: u64,
    /// Its windows.
    pub windows: Share,
    /// Its points.
    pub counts: Counts,
}

/// One difference, and where it lies.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The difference.
    #[serde(flatten)]
    pub difference: Difference,
    /// When, for people.
    pub at: Option<String>,
    /// Objects of the left side that hold the window.
    pub left_objects: Vec<String>,
    /// Objects of the right side.
    pub right_objects: Vec<String>,
}

/// How far it came.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ProgressReport {
    /// Whether it came to its end.
    pub is_complete: bool,
    /// Windows that were looked at.
    pub windows_done: u64,
    /// Those that there are.
    pub windows: u64,
    /// The last round.
    pub rounds: u32,
}

/// What it took: the last run alone, where it was interrupted.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cost {
    /// Requests that read.
    pub requests: u64,
    /// Bytes that were received.
    pub received_bytes: u64,
    /// Time.
    pub wall_ms: u64,
}

impl Report {
    pub(super) fn new(journal: &Journal, input: &ReportInput<'_>, verdicts: &[OrgVerdict]) -> Self {
        let definition = &journal.begun.definition;
        let windows: Vec<&WindowDone> = journal.windows.values().collect();
        let classes = classes(&windows, input);
        let verdict = worst(verdicts.iter().map(|it| it.verdict));
        let errors = windows.iter().filter_map(|done| {
            let error = done.error.as_ref()?;
            Some(format!("org {} window {}: {error}", done.org, done.window))
        });
        Self {
            schema: SCHEMA,
            comparison: definition.comparison.clone(),
            at_ms: input.now.0,
            verdict: verdict.to_string(),
            reasons: reasons(verdicts, verdict),
            left: side(&input.sides.left, input),
            right: side(&input.sides.right, input),
            input: inputs(journal),
            scope: scope(journal),
            coverage: coverage(journal, input, verdicts),
            options: options(journal, input),
            counts: Counts::sum(verdicts.iter().map(|it| it.counts)),
            noise_floor: input.noise_floor.clone(),
            orgs: verdicts.iter().map(|it| org(journal, it)).collect(),
            by: Tallies::of(&windows, input),
            samples: samples(&windows),
            classes,
            progress: progress(journal, input.ended),
            cost: input.cost,
            errors: errors.collect(),
        }
    }
}

/// The reasons of the orgs that decide.
fn reasons(verdicts: &[OrgVerdict], verdict: Verdict) -> Vec<String> {
    let deciding = verdicts.iter().filter(|it| it.verdict == verdict);
    let told = deciding.flat_map(|it| {
        let of = it.reasons.iter();
        of.map(|reason| format!("org {}: {reason}", it.org))
    });
    told.take(20).collect()
}

fn side(side: &Side, input: &ReportInput<'_>) -> SideReport {
    SideReport {
        pipeline: side.pipeline().name(),
        place: side.place().to_owned(),
        build: env!("CARGO_PKG_VERSION"),
        timeline_version: input.sides.timelines.version(),
        format: side.format(),
    }
}

fn inputs(journal: &Journal) -> Vec<InputReport> {
    let inputs = journal.inputs.values().map(|known| InputReport {
        is_comparable: known.short.is_empty() && known.how != InputKind::Unknown,
        known: known.clone(),
    });
    inputs.collect()
}

fn scope(journal: &Journal) -> Scope {
    let definition = &journal.begun.definition;
    Scope {
        orgs: definition.orgs.clone(),
        from_ms: definition.from_ms,
        to_ms: definition.to_ms,
        resolution: definition.resolution.name(),
        sample_percent: definition.sample.percent(),
        seed: definition.sample.seed,
    }
}

fn coverage(journal: &Journal, input: &ReportInput<'_>, verdicts: &[OrgVerdict]) -> Coverage {
    let windows = journal.windows.values();
    let covered: u64 = verdicts.iter().map(|it| it.windows.0).sum();
    let all: u64 = verdicts.iter().map(|it| it.windows.1).sum();
    let compared: u64 = windows.clone().map(WindowDone::compared).sum();
    let aside: u64 = verdicts.iter().map(|it| it.counts.set_aside).sum();
    Coverage {
        windows: Share::new(covered, all),
        points: Share::new(compared, compared + aside),
        series: windows.clone().map(|done| done.series).sum(),
        left_points: windows.clone().map(|done| done.rows[0]).sum(),
        right_points: windows.map(|done| done.rows[1]).sum(),
        bytes: input.cost.received_bytes,
        wanted_percent: journal.begun.definition.wanted_percent,
    }
}

fn options(journal: &Journal, input: &ReportInput<'_>) -> Options {
    let definition = &journal.begun.definition;
    let values = if definition.resolution.is_raw() {
        "bit-exact".to_owned()
    } else {
        format!("within {TOLERANCE:e} of the greater")
    };
    let rules = input.history.rules(input.now);
    let ignores = rules.map(|(rule, holds)| IgnoreReport {
        rule: rule.clone(),
        holds,
    });
    Options {
        values,
        rechecks: definition.rechecks,
        ignores: ignores.collect(),
        declared: definition.declared.clone(),
    }
}

fn org(journal: &Journal, judged: &OrgVerdict) -> OrgReport {
    let said = journal.inputs.get(&judged.org);
    OrgReport {
        org: judged.org,
        verdict: judged.verdict.to_string(),
        reasons: judged.reasons.clone(),
        cutover_version: said.map_or(0, |said| said.cutover_version),
        windows: Share::new(judged.windows.0, judged.windows.1),
        counts: Counts::from(judged.counts),
    }
}

fn samples(windows: &[&WindowDone]) -> Vec<Sample> {
    let mut samples = std::collections::BTreeMap::new();
    for done in windows {
        for class in &done.classes {
            let sample = || Sample {
                difference: class.example.clone(),
                at: class.example.at_ms.map(|at| TimestampMs(at).to_string()),
                left_objects: done.left_objects.clone(),
                right_objects: done.right_objects.clone(),
            };
            samples.entry(&class.fingerprint).or_insert_with(sample);
        }
    }
    samples.into_values().take(SAMPLES).collect()
}

fn progress(journal: &Journal, ended: Ended) -> ProgressReport {
    let definition = &journal.begun.definition;
    let planned = journal.inputs.values().map(|it| it.windows.len() as u64);
    let all = definition.orgs();
    let done: Vec<&WindowDone> = all
        .flat_map(|org: OrgId| windows_of(journal, org))
        .collect();
    ProgressReport {
        is_complete: ended == Ended::Whole,
        windows_done: done.len() as u64,
        windows: planned.sum(),
        rounds: done.iter().map(|it| it.round).max().unwrap_or(0),
    }
}
