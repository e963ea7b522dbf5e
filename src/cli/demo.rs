//! `skein demo`: the whole path in one process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use skein_loadtest::demo::plant::Plant;
use skein_loadtest::demo::progress::StageProgress;
use skein_loadtest::demo::{self, DemoOptions, DemoReport};
use skein_loadtest::generator::GeneratorSettings;
use skein_shared::telemetry::{self, Telemetry};

use crate::cli::runtime;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Runs the whole path on an embedded broker and bucket, and checks every point
///
/// Produces points from a seed, takes them into state objects, compacts those, reads every series back and
/// compares it point by point with what the generator computes, then verifies every object. Exit code 3 when
/// anything differs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein demo
  skein demo --plant flip        damages a segment on the way: must end with exit code 3
  skein demo --keep              goes on serving, to look around with `skein --config DIR/skein.toml ls`")]
pub(crate) struct DemoArgs {
    /// How many points
    #[arg(long, default_value_t = GeneratorSettings::demo().points)]
    points: u64,
    /// Decides every value
    #[arg(long, default_value_t = GeneratorSettings::demo().seed)]
    seed: u64,
    /// Damages something on the way, which must be found
    #[arg(long, value_name = "flip|drop|dup")]
    plant: Option<Plant>,
    /// Leaves broker and bucket running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// New or empty directory for everything; a fresh temporary one by default
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Time between two lines about the same stage.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Runs it.
pub(crate) fn run(args: &DemoArgs) -> Outcome {
    let _telemetry = start_log()?;
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let cancel = cancel_on_signal()?;
    let options = DemoOptions {
        directory: args.dir.clone().unwrap_or_else(fresh_directory),
        load: GeneratorSettings {
            points: args.points,
            seed: args.seed,
            ..GeneratorSettings::demo()
        },
        plant: args.plant,
        cancel: cancel.clone(),
        progress: Arc::new(teller()),
    };
    let demo = runtime.block_on(demo::run(options))?;
    match args.format {
        ReportFormat::Json => output::json(&demo.report)?,
        ReportFormat::Text => output::lines(&shown(&demo.report))?,
    }
    if args.keep {
        eprintln!(
            "still serving; look around with: skein --config {} ls",
            demo.stack.config_file().display()
        );
        runtime.block_on(cancel.cancelled());
    }
    Ok(if demo.report.finding_count == 0 {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

/// The demo tells on its own how far it is, and quarantines records on purpose: the log is for errors.
fn start_log() -> Result<Telemetry, Failure> {
    Ok(telemetry::init(&telemetry::TelemetrySettings {
        filter: "error".to_owned(),
        ..telemetry::TelemetrySettings::default()
    })?)
}

fn fresh_directory() -> PathBuf {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    std::env::temp_dir().join(format!("skein-demo-{}", since.as_millis()))
}

/// Tells each stage's progress on stderr: at its start, every few seconds, and once at its end.
fn teller() -> impl Fn(StageProgress) + Send + Sync {
    let told: Mutex<Option<(StageProgress, Instant)>> = Mutex::new(None);
    move |progress| {
        let mut told = told
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = told.is_none_or(|(last, at)| {
            let ends = progress.done >= progress.total && last.done < last.total;
            last.stage != progress.stage || ends || at.elapsed() >= PROGRESS_EVERY
        });
        if is_due {
            *told = Some((progress, Instant::now()));
            let StageProgress {
                stage,
                done,
                total,
                unit,
            } = progress;
            let percent = done.saturating_mul(100) / total.max(1);
            // Through `to_string`, because the stage's own text heeds no width.
            eprintln!("{:8} {percent:3} % of {total} {unit}", stage.to_string());
        }
    }
}

fn shown(report: &DemoReport) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} points of {} series and {} orgs: {} sent in {} records ({} bytes), {} of them duplicates",
            report.points,
            report.series,
            report.orgs,
            report.points_sent,
            report.records,
            report.payload_bytes,
            report.duplicates
        ),
        format!(
            "{} state objects, {} bytes; {} segments, {} bytes, {:.3} bytes/point",
            report.state_objects,
            report.state_bytes,
            report.segments,
            report.segment_bytes,
            report.overall_bytes_per_point()
        ),
    ];
    for stage in &report.stages {
        lines.push(format!(
            "  {:10} {:6.1} s {:>12.0} points/s",
            stage.stage.to_string(),
            stage.seconds,
            stage.points_per_second
        ));
    }
    for (kind, bytes) in &report.bytes_per_point {
        lines.push(format!("  {:24} {bytes:.3} bytes/point", kind.to_string()));
    }
    for (reason, records) in &report.quarantined {
        lines.push(format!("  quarantined {records}: {reason}"));
    }
    let peak_mib = report.peak_memory_bytes.unwrap_or_default() / skein_shared::units::MIB;
    lines.push(format!(
        "{} write and {} read requests; peak memory {peak_mib} MiB, servers included; everything lies in {}",
        report.write_requests,
        report.read_requests,
        report.directory.display()
    ));
    lines.extend(
        report
            .findings
            .iter()
            .map(|finding| format!("FOUND {finding}")),
    );
    lines.push(match report.finding_count {
        0 => format!(
            "every one of {} points read back is the one that was made",
            report.points_read
        ),
        count => format!("{count} findings"),
    });
    lines
}
