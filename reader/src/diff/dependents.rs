//! Second order: what others make of the points. A command gets the points of the old side, of the new one and what readers
//! see of both, each as CSV on its standard input, and its outputs are compared line by line.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Serialize;
use skein_config::cutover::owner::owner;
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::points_csv::value_text;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::timeline::Pipeline;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};

use crate::diff::comparison::Sides;
use crate::diff::definition::Sample;
use crate::diff::round_files::{digest_of, refused};
use crate::diff::side::{PinnedSide, SideSeries, UnitScope};
use crate::error::{Error, Result};

/// Which points a command gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Feed {
    /// The left side's.
    Old,
    /// The right side's.
    New,
    /// Of each time those of the side that readers see.
    Stitched,
}

/// What the command made of one feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DependentOutput {
    /// Of which points.
    pub feed: Feed,
    /// How many it got.
    pub points: u64,
    /// Its exit code; `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// Where its output is.
    pub output: PathBuf,
    /// xxh3-128 of it.
    pub digest: String,
}

/// How one output differs from that of the old side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputDifference {
    /// Of which points.
    pub feed: Feed,
    /// Lines that differ.
    pub lines: u64,
    /// Number of the first of them, from 1.
    pub first_line: u64,
    /// What the old side's points gave there.
    pub old: Option<String>,
    /// What these gave.
    pub other: Option<String>,
}

/// What a command made of all feeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DependentsReport {
    /// The command.
    pub command: String,
    /// Its outputs.
    pub outputs: Vec<DependentOutput>,
    /// Outputs that are not that of the old side.
    pub differences: Vec<OutputDifference>,
}

impl Feed {
    /// All of them; others are compared with the first.
    pub const ALL: [Self; 3] = [Self::Old, Self::New, Self::Stitched];

    /// The name that files and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Stitched => "stitched",
        }
    }
}

impl DependentsReport {
    /// Whether the command did the same with all points, and did it well.
    pub fn is_same(&self) -> bool {
        let ended_well = |it: &DependentOutput| it.exit_code == Some(0);
        self.differences.is_empty() && self.outputs.iter().all(ended_well)
    }
}

/// Runs `command` in a shell with the points of `org` in `span`, in the order of days, series and times, and keeps its
/// outputs in `dir`. The command finds the name of the feed in `SKEIN_DIFF_FEED`.
///
/// # Errors
/// The bucket's; [`Error::Comparison`] when the command cannot be started or the disk says no.
pub async fn run_dependent(
    sides: &Sides,
    (org, span): (OrgId, TimeSpan),
    command: &str,
    dir: &Path,
) -> Result<DependentsReport> {
    std::fs::create_dir_all(dir).map_err(|error| refused(dir, &error))?;
    let pinned = [sides.left.pin(org).await?, sides.right.pin(org).await?];
    let mut outputs = Vec::new();
    for feed in Feed::ALL {
        let output = dir.join(format!("dependent.{}.out", feed.name()));
        let file = File::create(&output).map_err(|error| refused(&output, &error))?;
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .env("SKEIN_DIFF_FEED", feed.name())
            .stdin(Stdio::piped())
            .stdout(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| refused(Path::new("sh"), &error))?;
        let feeding = Feeding {
            pinned: &pinned,
            timelines: &sides.timelines,
            org,
            span,
            feed,
        };
        let points = match child.stdin.take() {
            Some(input) => feeding.give(input).await?,
            None => 0,
        };
        let status = child
            .wait()
            .await
            .map_err(|error| refused(&output, &error))?;
        outputs.push(DependentOutput {
            feed,
            points,
            exit_code: status.code(),
            digest: format!("{:032x}", digest_of(&output)?),
            output,
        });
    }
    let mut differences = Vec::new();
    for other in &outputs[1..] {
        differences.extend(compare_outputs(&outputs[0], other)?);
    }
    Ok(DependentsReport {
        command: command.to_owned(),
        outputs,
        differences,
    })
}

/// One run of the command.
struct Feeding<'a> {
    pinned: &'a [PinnedSide; 2],
    timelines: &'a Timelines,
    org: OrgId,
    span: TimeSpan,
    feed: Feed,
}

impl Feeding<'_> {
    /// Answers how many points were given.
    async fn give(&self, mut input: ChildStdin) -> Result<u64> {
        if !put(&mut input, "org,metric,timestamp,value\n").await? {
            return Ok(0);
        }
        let [left, right] = self.pinned;
        let windows = left.windows(self.org);
        let mut points = 0;
        for window in windows.union(&right.windows(self.org)) {
            match self.give_window(*window, &mut input).await? {
                Some(given) => points += given,
                None => break,
            }
        }
        Ok(points)
    }

    /// `None` when the command wants no more.
    async fn give_window(&self, window: Window, input: &mut ChildStdin) -> Result<Option<u64>> {
        let held = window.span();
        let key = |metric| SeriesKey {
            org: self.org,
            metric: MetricId(metric),
        };
        let scope = UnitScope {
            org: self.org,
            window,
            span: TimeSpan {
                from: held.from.max(self.span.from),
                to: held.to.min(self.span.to),
            },
            resolution: Resolution::Raw,
            sample: Sample::ALL,
            keys: (key(0), key(u64::MAX)),
        };
        if scope.span.is_empty() {
            return Ok(Some(0));
        }
        let [left, right] = self.pinned;
        let mut streams = [left.stream(scope).await?, right.stream(scope).await?];
        let [one, other] = &mut streams;
        let mut heads = [one.next().await?, other.next().await?];
        let mut points = 0;
        while let Some(key) = heads.iter().flatten().map(|series| series.key).min() {
            let mut pair = [None, None];
            for (index, stream) in streams.iter_mut().enumerate() {
                pair[index] = heads[index].take_if(|series| series.key == key);
                heads[index] = match heads[index].take() {
                    None if pair[index].is_some() => stream.next().await?,
                    other => other,
                };
            }
            let (text, given) = self.text_of(key, &pair);
            points += given;
            if !put(input, &text).await? {
                return Ok(None);
            }
        }
        Ok(Some(points))
    }

    /// The rows of one series that the feed has.
    fn text_of(&self, key: SeriesKey, pair: &[Option<SideSeries>; 2]) -> (String, u64) {
        let mut rows: Vec<(i64, f64)> = Vec::new();
        for (side, series) in [Pipeline::Old, Pipeline::New].into_iter().zip(pair) {
            let Some(series) = series else {
                continue;
            };
            let is_given = |at_ms| match self.feed {
                Feed::Old => side == Pipeline::Old,
                Feed::New => side == Pipeline::New,
                Feed::Stitched => owner(self.timelines, key.org, TimestampMs(at_ms)) == side,
            };
            let times = series.rows.times_ms.iter().copied().enumerate();
            let given = times.filter(|(_, at_ms)| is_given(*at_ms));
            rows.extend(given.map(|(index, at_ms)| (at_ms, series.rows.row(index)[0])));
        }
        rows.sort_by_key(|row| row.0);
        let mut text = String::new();
        for (at_ms, value) in &rows {
            let value = value_text(*value);
            let _ = writeln!(text, "{},{},{at_ms},{value}", key.org, key.metric);
        }
        (text, rows.len() as u64)
    }
}

/// Answers whether the command still reads.
async fn put(input: &mut (impl AsyncWrite + Unpin), text: &str) -> Result<bool> {
    match input.write_all(text.as_bytes()).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Output(error)),
    }
}

fn compare_outputs(
    old: &DependentOutput,
    other: &DependentOutput,
) -> Result<Option<OutputDifference>> {
    if old.digest == other.digest {
        return Ok(None);
    }
    let open = |path: &Path| File::open(path).map_err(|error| refused(path, &error));
    let mut one = BufReader::new(open(&old.output)?).split(b'\n');
    let mut two = BufReader::new(open(&other.output)?).split(b'\n');
    let mut found: Option<OutputDifference> = None;
    for number in 1.. {
        let (a, b) = (one.next().transpose(), two.next().transpose());
        let a = a.map_err(|error| refused(&old.output, &error))?;
        let b = b.map_err(|error| refused(&other.output, &error))?;
        if a.is_none() && b.is_none() {
            break;
        }
        if a == b {
            continue;
        }
        let text = |line: Option<Vec<u8>>| line.map(|it| String::from_utf8_lossy(&it).into_owned());
        match &mut found {
            Some(found) => found.lines += 1,
            None => {
                found = Some(OutputDifference {
                    feed: other.feed,
                    lines: 1,
                    first_line: number,
                    old: text(a),
                    other: text(b),
                });
            }
        }
    }
    // A last line may differ in nothing but its end.
    Ok(found.or(Some(OutputDifference {
        feed: other.feed,
        lines: 0,
        first_line: 0,
        old: None,
        other: None,
    })))
}
