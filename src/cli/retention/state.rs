//! `skein retention state`: state objects that nothing needs any more.

use clap::Args;
use serde::Serialize;
use skein_compactor::state_garbage::{self, Mode, StateReport, StateRetention};
use skein_config::settings::Need;
use skein_connector::retention::state_warnings;
use skein_shared::bucket::Bucket;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Deletes state objects that are older than retention.state and that every shard's manifest has passed
///
/// In two runs: the first creates a bound, which says that state below these positions may be gone; a later one, at least
/// `compactor.reader_pin` after, deletes what lies below it. So it is run again and again, once a day. Records in
/// quarantine and undecided damages stay, and so does what a replay still reads; ledger and flush manifests are never
/// deleted. A rebuild or a replay that needs what lies below the bound refuses. Refused itself when state would be kept
/// for less than twice as long as Kafka keeps a topic, where brokers are set and tell.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Changes nothing and says what would be done
    #[arg(long)]
    dry_run: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    /// The bound below which objects were deleted; 0 when none was due.
    bound: u64,
    flushes: u64,
    objects: u64,
    object_bytes: u64,
    held: u64,
    /// The next bound; 0 when it would say nothing new.
    created: u64,
    moved: u64,
}

/// Runs it.
pub(super) fn run(args: &StateArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("retention", &[Need::Bucket])?;
    let keep = StateRetention {
        state: settings.retention.state,
        pin: settings.compactor.reader_pin,
    };
    if keep.state.0 == 0 {
        return Err(Failure::usage(
            "retention.state is \"0 s\": state is kept for ever",
        ));
    }
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Act
    };
    let report = runtime()?.block_on(async {
        if !settings.kafka.brokers.is_empty() {
            let warnings = state_warnings(&settings.kafka, &settings.retention).await;
            if !warnings.is_empty() {
                return Err(Failure::usage(warnings.join("; ")));
            }
        }
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        Ok::<_, Failure>(state_garbage::collect(&bucket, keep, mode).await?)
    })?;
    let report = Report::of(mode, report);
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&report.shown())?,
    }
    Ok(ExitCode::Ok)
}

impl Report {
    fn of(mode: Mode, report: StateReport) -> Self {
        Self {
            dry_run: mode == Mode::DryRun,
            bound: report.bound,
            flushes: report.flushes,
            objects: report.objects,
            object_bytes: report.object_bytes,
            held: report.held,
            created: report.created,
            moved: report.moved,
        }
    }

    fn shown(&self) -> Vec<String> {
        let would = if self.dry_run { "would be " } else { "" };
        let deleted = match self.bound {
            0 => "no bound is due: nothing to delete yet".to_owned(),
            bound => format!(
                "{} state objects ({} bytes) of {} flushes below bound {bound} {would}deleted; {} kept for quarantine",
                self.objects, self.object_bytes, self.flushes, self.held
            ),
        };
        let created = match self.created {
            0 => "no further state is old enough and passed by every shard".to_owned(),
            number => format!(
                "bound {number} {would}created: it moves {} partitions; what lies below it goes with a later run",
                self.moved
            ),
        };
        vec![deleted, created]
    }
}
