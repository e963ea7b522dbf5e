//! `skein compact gc`: what no read can need.

use clap::Args;
use serde::Serialize;
use skein_compactor::garbage::{self, Mode};
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Flags of `skein compact gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Changes nothing and says what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    shards: u64,
    objects: u64,
    object_bytes: u64,
    uploads: u64,
    manifests: u64,
    results: u64,
}

/// Runs it.
pub(super) fn run(args: &GcArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("gc", &[Need::Bucket])?;
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Act
    };
    let report = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let pin = settings.compactor.reader_pin;
        Ok::<_, Failure>(garbage::collect(&bucket, pin, mode).await?)
    })?;
    let report = Report {
        dry_run: args.dry_run,
        shards: report.shards,
        objects: report.objects,
        object_bytes: report.object_bytes,
        uploads: report.uploads,
        manifests: report.manifests,
        results: report.results,
    };
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&[report.shown()])?,
    }
    Ok(ExitCode::Ok)
}

impl Report {
    fn shown(&self) -> String {
        let verb = if self.dry_run {
            "would delete"
        } else {
            "deleted"
        };
        format!(
            "{verb} {} segments and lists ({} bytes), {} unfinished uploads and {} manifests of {} shards, \
             and {} results of plans that are gone",
            self.objects,
            self.object_bytes,
            self.uploads,
            self.manifests,
            self.shards,
            self.results
        )
    }
}
