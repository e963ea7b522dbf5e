//! `skein diff show`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use skein_config::settings::Need;
use skein_reader::diff::report::ReportFiles;
use skein_shared::bucket::Bucket;
use skein_shared::cutover::ComparisonName;
use skein_shared::format::diff_verdict::DiffVerdict;
use skein_shared::format::object_key::CutoverKey;
use skein_shared::ids::OrgId;

use super::ending::code_of;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Shows a report, or the verdict that gates see; ends with the code of its verdict
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The directory of the comparison
    #[arg(long, value_name = "DIR", required_unless_present = "name")]
    out: Option<PathBuf>,
    /// The name of the comparison: its verdict in the bucket
    #[arg(long, requires = "org", conflicts_with = "out")]
    name: Option<String>,
    /// Whose
    #[arg(long)]
    org: Option<u64>,
    /// Form of the verdict; a report is shown as it is
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// What gates see.
#[derive(Serialize)]
struct Shown {
    org: u64,
    comparison: String,
    sides: &'static str,
    verdict: &'static str,
    reasons: Vec<String>,
    from_ms: i64,
    to_ms: i64,
    cutover_version: u64,
    fleet: u64,
    build: String,
    windows_compared: u64,
    windows: u64,
    matching: u64,
    differences: u64,
    ignored: u64,
    set_aside: u64,
    new_classes: u64,
    report_digest: String,
    at: String,
}

/// Runs it.
pub(super) fn run(args: &ShowArgs, settings: &SettingsArgs) -> Outcome {
    match (&args.out, &args.name) {
        (Some(dir), _) => report(&ReportFiles::new(dir)),
        (None, Some(name)) => verdict(args, name, settings),
        (None, None) => Err(Failure::usage("name a directory or a comparison")),
    }
}

fn report(files: &ReportFiles) -> Outcome {
    let path = files.json();
    let refuse = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("read {} failed; reason=`{error}`", path.display()))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| refuse(&error))?;
    let report: serde_json::Value = serde_json::from_str(&text).map_err(|error| refuse(&error))?;
    output::json(&report)?;
    let verdict = report.get("verdict").and_then(|it| it.as_str());
    Ok(code_of(verdict.unwrap_or_default()))
}

fn verdict(args: &ShowArgs, name: &str, settings: &SettingsArgs) -> Outcome {
    let key = key_of(args.org, name)?;
    let settings = settings.start(&[Need::Bucket])?;
    let found = runtime()?.block_on(async {
        let bucket = Bucket::open(settings.bucket.settings()?).await?;
        Ok::<_, Failure>(bucket.find(&key).await?)
    })?;
    let Some(bytes) = found else {
        let words = format!("no comparison `{name}` of that org has a verdict; key=`{key}`");
        return Err(Failure::Said(ExitCode::Inconclusive, words));
    };
    let verdict = DiffVerdict::decode(&bytes)
        .map_err(|error| error.in_object(&key))?
        .1;
    let code = code_of(verdict.verdict.name());
    let shown = shown(verdict);
    match args.format {
        ReportFormat::Json => output::json(&shown)?,
        ReportFormat::Text => {
            let mut lines = vec![format!(
                "{} of org {}: {}, {} of {} windows, {} differences, at {}",
                shown.comparison,
                shown.org,
                shown.verdict,
                shown.windows_compared,
                shown.windows,
                shown.differences,
                shown.at
            )];
            lines.extend(shown.reasons.iter().map(|reason| format!("  {reason}")));
            output::lines(&lines)?;
        }
    }
    Ok(code)
}

/// The key of a verdict.
pub(super) fn key_of(org: Option<u64>, name: &str) -> Result<String, Failure> {
    let comparison = ComparisonName::new(name.to_owned()).map_err(Failure::usage)?;
    let org = org
        .map(OrgId)
        .ok_or_else(|| Failure::usage("name the org: --org"))?;
    Ok(CutoverKey::DiffVerdict { org, comparison }.to_string())
}

fn shown(verdict: DiffVerdict) -> Shown {
    Shown {
        org: verdict.org.0,
        comparison: verdict.comparison.to_string(),
        sides: verdict.sides.name(),
        verdict: verdict.verdict.name(),
        reasons: verdict.reasons,
        from_ms: verdict.span.from.0,
        to_ms: verdict.span.to.0,
        cutover_version: verdict.cutover_version,
        fleet: verdict.fleet,
        build: verdict.build,
        windows_compared: verdict.windows.0,
        windows: verdict.windows.1,
        matching: verdict.counts.equal + verdict.counts.within_tolerance,
        differences: verdict.counts.differences(),
        ignored: verdict.counts.ignored,
        set_aside: verdict.counts.set_aside,
        new_classes: verdict.new_classes,
        report_digest: format!("{:032x}", verdict.report_digest),
        at: verdict.at.to_string(),
    }
}
