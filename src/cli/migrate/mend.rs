//! `skein migrate verify-log` and `repair`.

use clap::Args;
use serde::Serialize;
use skein_config::cutover::fact_finding::Plane;
use skein_config::cutover::log_check::{LogCheck, check};
use skein_config::cutover::saga::{Mode, Repaired, repair as repaired};
use skein_config::settings::Need;
use skein_shared::cutover_log;
use skein_shared::ids::OrgId;

use crate::cli::migrate::ask::WhyArgs;
use crate::cli::migrate::plane::open;
use crate::cli::migrate::print;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::ReportFormat;

/// Flags of `skein migrate verify-log`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Which org; all without it
    #[arg(long)]
    org: Vec<u64>,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Flags of `skein migrate repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// Which org; all without it
    #[arg(long)]
    org: Vec<u64>,
    #[command(flatten)]
    why: WhyArgs,
    /// Says what would be done
    #[arg(long)]
    dry_run: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct CheckRow {
    org: u64,
    versions: u64,
    faults: Vec<String>,
}

#[derive(Serialize)]
struct RepairRow {
    org: u64,
    /// `sound`, `published`, `cleared` or `faulty`.
    found: &'static str,
    text: String,
    dry_run: bool,
}

async fn orgs(plane: &Plane, named: &[u64]) -> Result<Vec<OrgId>, Failure> {
    if named.is_empty() {
        return Ok(cutover_log::orgs(&plane.bucket).await?);
    }
    Ok(named.iter().copied().map(OrgId).collect())
}

/// Runs `verify-log`.
pub(super) fn verify(args: &VerifyArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let rows = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let mut rows = Vec::new();
        for org in orgs(&plane, &args.org).await? {
            let LogCheck { versions, faults } = check(&plane, org).await?;
            let org = org.0;
            rows.push(CheckRow {
                org,
                versions,
                faults,
            });
        }
        Ok::<_, Failure>(rows)
    })?;
    print(args.format, &rows, || {
        rows.iter().flat_map(CheckRow::shown).collect()
    })?;
    let is_whole = rows.iter().all(|row| row.faults.is_empty());
    Ok(if is_whole {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

/// Runs `repair`.
pub(super) fn repair(args: &RepairArgs, settings: &SettingsArgs) -> Outcome {
    let stated = args.why.stated()?;
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Real
    };
    let settings = settings.start(&[Need::Bucket])?;
    let rows = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let mut rows = Vec::new();
        for org in orgs(&plane, &args.org).await? {
            let found = repaired(&plane, (org, &stated), mode).await?;
            rows.push(RepairRow::of(org, &found, mode));
        }
        Ok::<_, Failure>(rows)
    })?;
    print(args.format, &rows, || {
        rows.iter().map(RepairRow::shown).collect()
    })?;
    let is_faulty = rows.iter().any(|row| row.found == "faulty");
    Ok(if is_faulty {
        ExitCode::Difference
    } else {
        ExitCode::Ok
    })
}

impl CheckRow {
    fn shown(&self) -> Vec<String> {
        let org = self.org;
        if self.faults.is_empty() {
            return vec![format!("org {org}: {} versions, whole", self.versions)];
        }
        self.faults
            .iter()
            .map(|fault| format!("org {org}: {fault}"))
            .collect()
    }
}

impl RepairRow {
    fn of(org: OrgId, found: &Repaired, mode: Mode) -> Self {
        let (found, text) = match found {
            Repaired::Sound => ("sound", "log and fleet agree".to_owned()),
            Repaired::Published(fleet) => (
                "published",
                format!("its newest version was in no fleet; fleet {fleet} has it"),
            ),
            Repaired::Cleared(version) => ("cleared", format!("version {version} lets it go on")),
            Repaired::Faulty(why) => ("faulty", why.clone()),
        };
        Self {
            org: org.0,
            found,
            text,
            dry_run: mode == Mode::DryRun,
        }
    }

    fn shown(&self) -> String {
        let would = if self.dry_run { "would be " } else { "" };
        format!("org {}: {would}{}: {}", self.org, self.found, self.text)
    }
}
