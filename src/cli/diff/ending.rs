//! Runs what a journal says is left, writes the report, and says how it ended.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use skein_reader::diff::class_history::ClassHistory;
use skein_reader::diff::comparison::{Progress, Sides, compare};
use skein_reader::diff::discrepancy::Hand;
use skein_reader::diff::journal::Journal;
use skein_reader::diff::report::{Cost, Report, ReportFiles, ReportInput, publish, write};
use skein_reader::diff::verdict::Ended;
use skein_shared::units::ByteCount;

use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals;

/// How a comparison is run and reported.
#[derive(Debug, Clone, Args)]
pub(super) struct RunArgs {
    /// Where journal, differences and report go
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Reads of both sides together take at most so much a second, for example `50 MiB`
    #[arg(long, value_name = "SIZE")]
    max_bytes_per_second: Option<ByteCount>,
    /// Classes that do not count for a while: a JSON list of {class, expires, ticket, reason}
    #[arg(long, value_name = "FILE")]
    ignore: Option<PathBuf>,
    /// An earlier report.json: its classes are known, and those that are gone are fixed; may be repeated
    #[arg(long, value_name = "FILE")]
    earlier: Vec<PathBuf>,
    /// The report.json of a comparison of the old side with itself: what differs for no reason
    #[arg(long, value_name = "FILE")]
    noise_floor: Option<PathBuf>,
    /// Form of what is said at the end; the whole report is in the directory either way
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// The file whose presence stops a comparison.
pub(super) fn stop_file(dir: &Path) -> PathBuf {
    dir.join("stop")
}

/// Does what is left, and ends.
pub(super) async fn run_to_end(mut journal: Journal, sides: &Sides, args: &RunArgs) -> Outcome {
    let history = history(args)?;
    let noise_floor = noise_floor(args)?;
    let stop = stop_file(&args.out);
    drop(std::fs::remove_file(&stop));
    let token = signals::cancel_on_signal()?;
    let must_stop = || token.is_cancelled() || stop.exists();
    let began = Instant::now();
    let before = traffic(sides);
    let mut teller = Teller::default();
    let most = args.max_bytes_per_second.map(|most| most.0);
    let mut tell = |progress| teller.tell(progress);
    let ended = match compare(&mut journal, sides, most, &must_stop, &mut tell).await {
        Ok(()) => Ended::Whole,
        Err(skein_reader::Error::Stopped) => Ended::Stopped,
        Err(error) => return Err(error.into()),
    };
    let after = traffic(sides);
    let input = ReportInput {
        sides,
        history: &history,
        noise_floor,
        ended,
        cost: Cost {
            requests: after.0 - before.0,
            received_bytes: after.1 - before.1,
            wall_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        },
        now: sides.bucket.now().await?,
    };
    let (report, digest) = write(&journal, &input)?;
    publish(&sides.bucket, &journal, &input, digest).await?;
    say(&report, args)?;
    Ok(code_of(&report.verdict))
}

/// Requests and bytes; what lies in one bucket is counted once.
fn traffic(sides: &Sides) -> (u64, u64) {
    let (left, right) = (sides.left.traffic(), sides.right.traffic());
    if sides.left.place() == sides.right.place() {
        return left;
    }
    (left.0 + right.0, left.1 + right.1)
}

/// The exit code of a verdict; a word that this build does not know is none to rely on.
pub(super) fn code_of(verdict: &str) -> ExitCode {
    match verdict {
        "pass" | "pass (declared input)" => ExitCode::Ok,
        "fail" => ExitCode::Difference,
        _ => ExitCode::Inconclusive,
    }
}

fn history(args: &RunArgs) -> Result<ClassHistory, Failure> {
    let mut history = ClassHistory::default();
    for report in &args.earlier {
        history.read_report(report)?;
    }
    if let Some(rules) = &args.ignore {
        history.read_rules(rules)?;
    }
    Ok(history)
}

fn noise_floor(args: &RunArgs) -> Result<Option<serde_json::Value>, Failure> {
    let Some(path) = &args.noise_floor else {
        return Ok(None);
    };
    let refuse = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("read {} failed; reason=`{error}`", path.display()))
    };
    let text = std::fs::read(path).map_err(|error| refuse(&error))?;
    let report: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| refuse(&error))?;
    Ok(report.get("counts").cloned())
}

fn say(report: &Report, args: &RunArgs) -> Result<(), Failure> {
    if args.format == ReportFormat::Json {
        return output::json(report);
    }
    let files = ReportFiles::new(&args.out);
    let mut lines = vec![format!("{}: {}", report.comparison, report.verdict)];
    lines.extend(report.reasons.iter().map(|reason| format!("  {reason}")));
    let (counts, coverage) = (&report.counts, &report.coverage);
    lines.push(format!(
        "{} points match, {} within the tolerance, {} differences, {} ignored, {} resolved, {} set aside",
        counts.equal,
        counts.match_within_tolerance,
        counts.differences(),
        counts.ignored,
        counts.resolved_on_recheck,
        counts.set_aside
    ));
    lines.push(format!(
        "{} of {} windows were compared ({} %), {} % are wanted",
        coverage.windows.compared,
        coverage.windows.total,
        coverage.windows.percent,
        coverage.wanted_percent
    ));
    for class in report
        .classes
        .iter()
        .filter(|class| class.count > 0)
        .take(10)
    {
        let Some(of) = &class.class else {
            continue;
        };
        let side = of.side.map_or("", Hand::name);
        let ignored = class
            .ignored_by
            .as_ref()
            .map(|it| format!(", ignored by {it}"));
        lines.push(format!(
            "  {} {:>12} {} {side} {} ({:?}{})",
            class.fingerprint,
            class.count,
            of.kind,
            of.how,
            class.state,
            ignored.unwrap_or_default()
        ));
    }
    lines.push(format!("report: {}", files.html().display()));
    output::lines(&lines)
}

/// Tells of the progress now and then.
#[derive(Debug, Default)]
struct Teller {
    /// When the round began, which it is, and when something was last told.
    since: Option<(Instant, u32, Instant)>,
}

impl Teller {
    fn tell(&mut self, progress: Progress) {
        let now = Instant::now();
        let (began, round, told) = *self.since.get_or_insert((now, progress.round, now));
        if round != progress.round {
            self.since = Some((now, progress.round, now));
            return;
        }
        if now - told < PROGRESS_EVERY {
            return;
        }
        self.since = Some((began, round, now));
        let left = time_left(now - began, &progress);
        tracing::info!(
            round = progress.round,
            windows_done = progress.windows_done,
            windows = progress.windows,
            rows = progress.rows,
            differences = progress.found,
            seconds_left = left.map(|left| left.as_secs()),
            "comparing"
        );
    }
}

/// How long the rest of the round takes at the rate so far.
fn time_left(elapsed: Duration, progress: &Progress) -> Option<Duration> {
    let rest = progress.windows.saturating_sub(progress.windows_done);
    let nanos = elapsed.as_nanos().checked_mul(u128::from(rest))?;
    let nanos = nanos.checked_div(u128::from(progress.windows_done))?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use skein_shared::format::diff_verdict::Verdict;

    use super::*;

    #[test]
    fn only_a_pass_ends_with_code_0() {
        let codes = Verdict::ALL.map(|verdict| code_of(verdict.name()).number());
        assert_eq!(codes, [0, 0, 3, 4]);
        assert_eq!(code_of("another word").number(), 4);
    }

    #[test]
    fn the_time_left_goes_by_the_windows_that_are_done() {
        let progress = Progress {
            windows_done: 3,
            windows: 12,
            ..Progress::default()
        };
        let second = Duration::from_secs(1);
        assert_eq!(time_left(second, &progress), Some(3 * second));
        assert_eq!(time_left(second, &Progress::default()), None);
    }
}
