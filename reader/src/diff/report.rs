//! What a comparison leaves: `report.json` for machines, `differences.jsonl` with every difference, `report.html` for people,
//! and a verdict in the bucket for gates.

mod tally;
mod document;
mod chart;
mod tables;
mod html;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write, copy};
use std::path::{Path, PathBuf};

use skein_shared::bucket::Bucket;
use skein_shared::cutover::ComparisonName;
use skein_shared::format::diff_verdict::{DiffSides, DiffVerdict};
use skein_shared::format::object_key::CutoverKey;
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::window::TimestampMs;
use xxhash_rust::xxh3::xxh3_128;

use crate::diff::class_history::ClassHistory;
use crate::diff::comparison::Sides;
use crate::diff::journal::{Journal, OrgInput, WindowDone};
use crate::diff::round_files::{RoundFiles, refused};
use crate::diff::verdict::{Ended, OrgVerdict, judge};
use crate::error::Result;

pub use self::document::{Cost, Report};
pub use self::tally::{ClassReport, Counts, Share, Tallies};

/// What a report is made of besides the journal.
#[derive(Debug)]
pub struct ReportInput<'a> {
    /// The two sides.
    pub sides: &'a Sides,
    /// Classes that are known or ignored.
    pub history: &'a ClassHistory,
    /// The counts of a comparison of the old side with itself, as its report has them.
    pub noise_floor: Option<serde_json::Value>,
    /// Whether it came to its end.
    pub ended: Ended,
    /// What it took.
    pub cost: Cost,
    /// The time, by the bucket's clock.
    pub now: TimestampMs,
}

/// The files of a comparison's directory.
#[derive(Debug, Clone)]
pub struct ReportFiles {
    dir: PathBuf,
}

impl ReportFiles {
    /// Of the comparison in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The document.
    pub fn json(&self) -> PathBuf {
        self.dir.join("report.json")
    }

    /// The page.
    pub fn html(&self) -> PathBuf {
        self.dir.join("report.html")
    }

    /// Every difference that counts or is ignored.
    pub fn differences(&self) -> PathBuf {
        self.dir.join("differences.jsonl")
    }

    /// Every difference that was there once.
    pub fn resolved(&self) -> PathBuf {
        self.dir.join("resolved.jsonl")
    }
}

/// What a journal comes to for each of its orgs.
pub fn judged(journal: &Journal, input: &ReportInput<'_>) -> Vec<OrgVerdict> {
    let definition = &journal.begun.definition;
    let verdicts = definition.orgs().map(|org| {
        let windows: Vec<&WindowDone> = windows_of(journal, org).collect();
        let none = OrgInput {
            org: org.0,
            ..OrgInput::default()
        };
        let said = journal.inputs.get(&org.0).unwrap_or(&none);
        let history = (input.history, input.now);
        judge((definition, input.ended), said, &windows, history)
    });
    verdicts.collect()
}

fn windows_of(journal: &Journal, org: OrgId) -> impl Iterator<Item = &WindowDone> {
    let windows = journal.windows.range((org.0, i64::MIN)..=(org.0, i64::MAX));
    windows.map(|(_, done)| done)
}

/// Writes the files of a report, and gives its document and its digest.
///
/// # Errors
/// [`Error::Comparison`](crate::Error::Comparison) when the disk says no.
pub fn write(journal: &Journal, input: &ReportInput<'_>) -> Result<(Report, u128)> {
    let files = ReportFiles::new(journal.dir());
    let verdicts = judged(journal, input);
    let report = Report::new(journal, input, &verdicts);
    let text =
        serde_json::to_string_pretty(&report).map_err(|error| refused(&files.json(), &error))?;
    put(&files.json(), text.as_bytes())?;
    put(&files.html(), html::page(&report).as_bytes())?;
    gather(journal, &files.differences(), RoundFiles::counted)?;
    gather(journal, &files.resolved(), RoundFiles::resolved)?;
    Ok((report, xxh3_128(text.as_bytes())))
}

/// Leaves the verdicts in the bucket, where gates look for them.
///
/// # Errors
/// The bucket's.
pub async fn publish(
    bucket: &Bucket,
    journal: &Journal,
    input: &ReportInput<'_>,
    report_digest: u128,
) -> Result<()> {
    let definition = &journal.begun.definition;
    let refuse = |reason: String| refused(journal.dir(), &reason);
    let comparison = ComparisonName::new(definition.comparison.clone()).map_err(refuse)?;
    let sides: DiffSides = definition.sides.parse().map_err(refuse)?;
    for judged in judged(journal, input) {
        let said = journal.inputs.get(&judged.org);
        let verdict = DiffVerdict {
            org: OrgId(judged.org),
            comparison: comparison.clone(),
            sides,
            span: definition.span(),
            verdict: judged.verdict,
            reasons: judged.reasons,
            cutover_version: said.map_or(0, |said| said.cutover_version),
            fleet: said.map_or(0, |said| said.fleet),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            windows: judged.windows,
            counts: judged.counts,
            new_classes: judged.new_classes,
            report_digest,
            at: input.now,
        };
        let key = CutoverKey::DiffVerdict {
            org: verdict.org,
            comparison: comparison.clone(),
        };
        let id = WriteId::random();
        bucket.put(&key.to_string(), verdict.encode(id), id).await?;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(|error| refused(path, &error))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    written.map_err(|error| refused(path, &error))
}

/// Puts the files of all windows one behind the other.
fn gather(journal: &Journal, to: &Path, of: impl Fn(&RoundFiles) -> PathBuf) -> Result<()> {
    let file = File::create(to).map_err(|error| refused(to, &error))?;
    let mut all = BufWriter::new(file);
    for (org, window) in journal.windows.keys() {
        let path = of(&RoundFiles::new(journal.dir(), *org, *window));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(refused(&path, &error)),
        };
        copy(&mut BufReader::new(file), &mut all).map_err(|error| refused(to, &error))?;
    }
    all.flush().map_err(|error| refused(to, &error))
}
