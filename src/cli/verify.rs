//! `skein verify`: is everything in the bucket as it has to be?

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use skein_config::Settings;
use skein_config::settings::Need;
use skein_connector::janitor::{JanitorOptions, JanitorReport, Mode, Scope};
use skein_reader::inspect::verify::journal::Journal;
use skein_reader::inspect::verify::{Progress, VerifyReport, verify, verify_resuming};
use skein_shared::bucket::Bucket;
use skein_shared::window::TimestampMs;
use tokio_util::sync::CancellationToken;

use crate::cli::janitor::note;
use crate::cli::{SettingsArgs, now, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Checks every byte, count and digest in the bucket; exit code 3 when something is wrong
///
/// Finds and locates flipped bits, truncations, missing objects, wrong counts, and gaps and overlaps of the
/// ledger; then checks that the points of each shard add up. Writes nothing. Each finding names the object,
/// the place, the promise that is broken and what to do. May run while others write: what is flushed but not
/// yet in the ledger is a note, and a finding once it is older than an hour. What dead workers left behind is
/// no fault: a note counts it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein --config skein.toml verify
  skein --config skein.toml verify --resume verify-2026-11.journal")]
pub(crate) struct VerifyArgs {
    /// Remembers in FILE which objects were read and what was found in them, and does not read them again: goes on where it
    /// was interrupted, and later reads only what is new or counted otherwise since. Another FILE reads everything
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Runs it.
pub(crate) fn run(args: &VerifyArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("verify", &[Need::Bucket])?;
    let (report, left_behind) = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let mut teller = Teller::default();
        let mut tell = |progress: Progress| teller.tell(progress);
        let report = match &args.resume {
            None => verify(&bucket, now(), &mut tell).await?,
            Some(file) => {
                let mut journal = Journal::open(file, bucket.url())?;
                verify_resuming(&bucket, now(), &mut tell, &mut journal).await?
            }
        };
        Ok::<_, Failure>((report, left_behind(&bucket, &settings).await))
    })?;
    match args.format {
        ReportFormat::Json => output::json(&Verified {
            report: &report,
            left_behind: left_behind.as_ref(),
        })?,
        ReportFormat::Text => {
            let mut lines = shown(&report);
            lines.extend(left_behind.as_ref().and_then(note));
            output::lines(&lines)?;
        }
    }
    Ok(if report.is_sound() {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

/// Tells of the progress now and then.
#[derive(Debug, Default)]
struct Teller {
    /// When the first object was done, and when something was last told.
    since: Option<(Instant, Instant)>,
}

impl Teller {
    fn tell(&mut self, progress: Progress) {
        let now = Instant::now();
        let (began, told) = *self.since.get_or_insert((now, now));
        if now - told < PROGRESS_EVERY {
            return;
        }
        self.since = Some((began, now));
        let left = time_left(now - began, &progress);
        let Progress {
            objects_done,
            objects_total,
            bytes_done,
            bytes_total,
            findings,
            bytes_before: _,
        } = progress;
        tracing::info!(
            objects_done,
            objects_total,
            bytes_done,
            bytes_total,
            findings,
            seconds_left = left.map(|left| left.as_secs()),
            "verifying"
        );
    }
}

/// How long the rest takes at the rate of this run; what an earlier one has read took no time.
fn time_left(elapsed: Duration, progress: &Progress) -> Option<Duration> {
    let read = progress.bytes_done.saturating_sub(progress.bytes_before);
    let rest = progress.bytes_total.saturating_sub(progress.bytes_done);
    let nanos = elapsed.as_nanos().checked_mul(u128::from(rest))?;
    let nanos = nanos.checked_div(u128::from(read))?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// The report, and what a janitor would do.
#[derive(Serialize)]
struct Verified<'a> {
    #[serde(flatten)]
    report: &'a VerifyReport,
    left_behind: Option<&'a JanitorReport>,
}

/// What a janitor would take away. Where that cannot be said the report itself tells why.
async fn left_behind(bucket: &Bucket, settings: &Settings) -> Option<JanitorReport> {
    let options = JanitorOptions {
        patience: settings.connector.janitor_patience,
        mode: Mode::DryRun,
        scope: Scope::Everything,
        start_after: None,
    };
    let looked = skein_connector::janitor::run(bucket, &options, &CancellationToken::new()).await;
    looked
        .inspect_err(|error| tracing::warn!(%error, "what was left behind cannot be counted"))
        .ok()
}

fn shown(report: &VerifyReport) -> Vec<String> {
    let mut lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let notes = report.notes.iter();
    lines.extend(notes.map(|note| format!("may be under way, check again in an hour: {note}")));
    let accepted = report.accepted.iter();
    lines.extend(accepted.map(|known| format!("accepted as lost: {known}")));
    let checked = report.checked;
    lines.push(format!(
        "checked {} chains, {} ledger entries, {} fills, {} flushes ({} without entries), {} state objects ({} bytes), {} records, \
         {} void frames, {} shards, {} segments ({} bytes), {} rollups ({} bytes, {} buckets made again of points), {} quarantine lists, \
         {} orgs accounted for
{} points, digest {}
{} findings, {} notes",
        checked.chains,
        checked.ledger_entries,
        checked.fills,
        checked.flushes,
        checked.flushes_without_entries,
        checked.state_objects,
        checked.state_bytes,
        checked.records,
        checked.void_frames,
        checked.shards,
        checked.segments,
        checked.segment_bytes,
        checked.rollups,
        checked.rollup_bytes,
        checked.compared_buckets,
        checked.quarantine_lists,
        checked.accounted_orgs,
        report.points,
        report.digest,
        report.findings.len(),
        report.notes.len(),
    ));
    let before = report.checked_before;
    if let Some(first_at_ms) = before.first_at_ms {
        lines.push(format!(
            "{} objects ({} bytes) of these were checked before, the first {}, and not read again",
            before.objects,
            before.object_bytes,
            TimestampMs(first_at_ms)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_goes_by_what_this_run_has_read() {
        let progress = Progress {
            bytes_done: 900,
            bytes_before: 800,
            bytes_total: 1_000,
            ..Progress::default()
        };
        let left = time_left(Duration::from_secs(7), &progress);
        assert_eq!(left, Some(Duration::from_secs(7)));
        let nothing_read = Progress {
            bytes_before: 900,
            ..progress
        };
        assert_eq!(time_left(Duration::from_secs(7), &nothing_read), None);
    }
}
