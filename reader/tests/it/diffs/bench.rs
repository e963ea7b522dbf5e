//! Runs comparisons and reads what they leave.

use std::path::Path;

use skein_config::cutover::timelines::Timelines;
use skein_reader::diff::class_history::ClassHistory;
use skein_reader::diff::comparison::{Sides, compare};
use skein_reader::diff::definition::{Declared, Definition, Sample};
use skein_reader::diff::discrepancy::Difference;
use skein_reader::diff::journal::Journal;
use skein_reader::diff::report::{Cost, Report, ReportFiles, ReportInput, write};
use skein_reader::diff::side::{Side, Table};
use skein_reader::diff::verdict::Ended;
use skein_shared::bucket::{Bucket, DirectorySettings, StoreSettings};
use skein_shared::format::diff_verdict::DiffSides;
use skein_shared::retry::RetryPolicy;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

pub(super) const NOW: TimestampMs = TimestampMs(1_800_000_000_000);

/// All times of some orgs, whose input somebody declared equal.
pub(super) fn definition(orgs: &[u64]) -> Definition {
    let (from_ms, to_ms) = (TimeSpan::ALL.from.0, TimeSpan::ALL.to.0);
    Definition {
        comparison: "test".to_owned(),
        sides: DiffSides::OldNew.name().to_owned(),
        orgs: orgs.to_vec(),
        from_ms,
        to_ms,
        resolution: Resolution::Raw,
        sample: Sample::ALL,
        rechecks: 1,
        backoff_ms: 1,
        declared: vec![Declared {
            from_ms,
            to_ms,
            reason: "the producer was stopped".to_owned(),
        }],
        wanted_percent: 95,
    }
}

/// A bucket that is a directory, with nothing in it.
pub(super) async fn empty_bucket(dir: &Path) -> Bucket {
    let settings = DirectorySettings {
        root: dir.to_owned(),
        retry: RetryPolicy::default(),
    };
    Bucket::open(StoreSettings::Directory(settings))
        .await
        .unwrap()
}

pub(super) fn sides(left: Table, right: Side, bucket: &Bucket, timelines: &Timelines) -> Sides {
    Sides {
        left: Side::Table(left.into()),
        right,
        of: DiffSides::OldNew,
        bucket: bucket.clone(),
        timelines: timelines.clone(),
    }
}

/// Runs a comparison from its beginning to its end, in a directory of its own.
pub(super) async fn run(sides: &Sides, definition: Definition) -> (Report, Vec<Difference>) {
    run_with(sides, definition, &ClassHistory::default()).await
}

pub(super) async fn run_with(
    sides: &Sides,
    definition: Definition,
    history: &ClassHistory,
) -> (Report, Vec<Difference>) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(dir.path(), definition, ("left", "right")).unwrap();
    compare(&mut journal, sides, None, &|| false, &mut |_| {})
        .await
        .unwrap();
    let report = report(&journal, sides, history);
    (report, lines(dir.path()))
}

pub(super) fn report(journal: &Journal, sides: &Sides, history: &ClassHistory) -> Report {
    let input = ReportInput {
        sides,
        history,
        noise_floor: None,
        ended: Ended::Whole,
        cost: Cost::default(),
        now: NOW,
    };
    write(journal, &input).unwrap().0
}

pub(super) fn lines(dir: &Path) -> Vec<Difference> {
    let text = std::fs::read_to_string(ReportFiles::new(dir).differences()).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
