//! Sums of a report: counts by org, shard, window, type and edge, and the classes over all windows.

use std::collections::BTreeMap;

use serde::Serialize;
use skein_shared::format::diff_verdict::DiffCounts;
use skein_shared::window::{TimestampMs, Window};

use super::ReportInput;
use crate::diff::class_history::ClassState;
use crate::diff::discrepancy::Class;
use crate::diff::journal::{ClassCount, WindowDone};
use crate::diff::verdict::count_of;

/// A part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// The part.
    pub compared: u64,
    /// The whole.
    pub total: u64,
    /// The part, in a hundred of the whole; 0 of nothing.
    pub percent: f64,
}

/// [`DiffCounts`], as a document has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Both sides have the same.
    #[serde(rename = "match")]
    pub equal: u64,
    /// The same within the tolerance.
    pub match_within_tolerance: u64,
    /// Other values.
    pub different_value: u64,
    /// Other metadata, by series and window.
    pub different_metadata: u64,
    /// The right side alone has it.
    pub missing_left: u64,
    /// The left side alone has it.
    pub missing_right: u64,
    /// A side has it more than once.
    pub duplicates: u64,
    /// A side has it that does not write its time.
    pub wrong_owner: u64,
    /// Outside of the times of its file.
    pub out_of_window: u64,
    /// It does not read back.
    pub undecodable: u64,
    /// It does not count, by a rule.
    pub ignored: u64,
    /// It differed once.
    pub resolved_on_recheck: u64,
    /// Set aside: one side alone has read a record that touches it.
    pub set_aside: u64,
}

/// One class.
#[derive(Debug, Clone, Serialize)]
pub struct ClassReport {
    /// Its fingerprint: what rules name.
    pub fingerprint: String,
    /// What its differences have in common; absent of one that is fixed.
    #[serde(flatten)]
    pub class: Option<Class>,
    /// How many there are.
    pub count: u64,
    /// When it was seen first.
    pub first_seen_ms: i64,
    /// Compared with earlier reports.
    pub state: ClassState,
    /// The ticket of the rule by which it does not count.
    pub ignored_by: Option<String>,
    /// What to look at first.
    pub advice: &'static str,
}

/// Differences by what they have in common.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tallies {
    /// By org.
    pub org: BTreeMap<u64, Counts>,
    /// By shard.
    pub shard: BTreeMap<String, Counts>,
    /// By window: its first day.
    pub window: BTreeMap<String, Counts>,
    /// By the type of the metric.
    #[serde(rename = "type")]
    pub metric_type: BTreeMap<String, Counts>,
    /// By what they lie near to.
    pub edge: BTreeMap<&'static str, Counts>,
}

impl Share {
    /// So much of so much.
    #[expect(clippy::cast_precision_loss, reason = "a percentage is for people")]
    pub fn new(compared: u64, total: u64) -> Self {
        let percent = if total == 0 {
            0.0
        } else {
            (compared as f64 * 10_000.0 / total as f64).round() / 100.0
        };
        Self {
            compared,
            total,
            percent,
        }
    }
}

impl From<DiffCounts> for Counts {
    fn from(counts: DiffCounts) -> Self {
        Self {
            equal: counts.equal,
            match_within_tolerance: counts.within_tolerance,
            different_value: counts.different_value,
            different_metadata: counts.different_metadata,
            missing_left: counts.missing_left,
            missing_right: counts.missing_right,
            duplicates: counts.duplicates,
            wrong_owner: counts.wrong_owner,
            out_of_window: counts.out_of_window,
            undecodable: counts.undecodable,
            ignored: counts.ignored,
            resolved_on_recheck: counts.resolved,
            set_aside: counts.set_aside,
        }
    }
}

impl Counts {
    /// All together.
    pub fn sum(all: impl Iterator<Item = DiffCounts>) -> Self {
        let mut sum = Self::default();
        all.for_each(|counts| sum.add(counts.into()));
        sum
    }

    /// What differs and counts.
    pub fn differences(&self) -> u64 {
        self.different_value
            + self.different_metadata
            + self.missing_left
            + self.missing_right
            + self.duplicates
            + self.wrong_owner
            + self.out_of_window
            + self.undecodable
    }

    fn add(&mut self, other: Self) {
        self.equal += other.equal;
        self.match_within_tolerance += other.match_within_tolerance;
        self.different_value += other.different_value;
        self.different_metadata += other.different_metadata;
        self.missing_left += other.missing_left;
        self.missing_right += other.missing_right;
        self.duplicates += other.duplicates;
        self.wrong_owner += other.wrong_owner;
        self.out_of_window += other.out_of_window;
        self.undecodable += other.undecodable;
        self.ignored += other.ignored;
        self.resolved_on_recheck += other.resolved_on_recheck;
        self.set_aside += other.set_aside;
    }
}

impl Tallies {
    pub(super) fn of(windows: &[&WindowDone], input: &ReportInput<'_>) -> Self {
        let mut all = Self::default();
        for done in windows {
            let whole = Counts::from(DiffCounts {
                equal: done.equal,
                within_tolerance: done.within_tolerance,
                resolved: done.resolved,
                set_aside: done.set_aside,
                ..DiffCounts::default()
            });
            let day = day_of(done.window);
            all.org.entry(done.org).or_default().add(whole);
            all.shard.entry(done.shard.clone()).or_default().add(whole);
            all.window.entry(day.clone()).or_default().add(whole);
            for class in &done.classes {
                let counts = counts_of(class, input);
                let of = &class.class;
                all.org.entry(done.org).or_default().add(counts);
                all.shard.entry(of.shard.clone()).or_default().add(counts);
                all.window.entry(day.clone()).or_default().add(counts);
                all.metric_type
                    .entry(of.metric_type.clone())
                    .or_default()
                    .add(counts);
                all.edge.entry(of.near.name()).or_default().add(counts);
            }
        }
        all
    }
}

fn counts_of(class: &ClassCount, input: &ReportInput<'_>) -> Counts {
    let mut counts = DiffCounts::default();
    if input
        .history
        .ignored_by(&class.fingerprint, input.now)
        .is_some()
    {
        counts.ignored = class.count;
    } else {
        *count_of(&mut counts, class.class.kind) = class.count;
    }
    counts.into()
}

/// The first day of a window, for people.
fn day_of(window: i64) -> String {
    let at = Window::from_number(window).start().to_string();
    at.split('T').next().unwrap_or_default().to_owned()
}

/// The classes over all windows, the most frequent first; behind them those that earlier reports have and this one has not.
pub(super) fn classes(windows: &[&WindowDone], input: &ReportInput<'_>) -> Vec<ClassReport> {
    let mut sums: BTreeMap<&str, (&ClassCount, u64)> = BTreeMap::new();
    for class in windows.iter().flat_map(|done| &done.classes) {
        let sum = sums.entry(&class.fingerprint).or_insert((class, 0));
        sum.1 += class.count;
    }
    let mut classes: Vec<ClassReport> = Vec::new();
    for (class, count) in sums.values() {
        let first_seen = input.history.first_seen(&class.fingerprint);
        let rule = input.history.ignored_by(&class.fingerprint, input.now);
        classes.push(ClassReport {
            fingerprint: class.fingerprint.clone(),
            class: Some(class.class.clone()),
            count: *count,
            first_seen_ms: first_seen.unwrap_or(input.now).0,
            state: first_seen.map_or(ClassState::New, |_| ClassState::Known),
            ignored_by: rule.map(|rule| rule.ticket.clone()),
            advice: class.class.kind.advice(),
        });
    }
    classes.sort_by_key(|class| std::cmp::Reverse(class.count));
    let gone = input
        .history
        .seen()
        .filter(|(class, _)| !sums.contains_key(class));
    classes.extend(gone.map(|(class, TimestampMs(first_seen_ms))| ClassReport {
        fingerprint: class.to_owned(),
        class: None,
        count: 0,
        first_seen_ms,
        state: ClassState::Fixed,
        ignored_by: None,
        advice: "",
    }));
    classes
}
