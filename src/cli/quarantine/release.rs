//! `skein quarantine release`: a person's word on a damage.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use skein_compactor::damage_release::{self, Mode, ReleaseOptions, Released, Verdict};
use skein_config::Settings;
use skein_config::cutover::timelines::Timelines;
use skein_config::settings::Need;
use skein_shared::bucket::Bucket;
use skein_shared::format::damage::DamageId;
use skein_shared::ids::ShardId;
use tokio_util::sync::CancellationToken;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome, with_sources};
use crate::output::{self, ReportFormat};
use crate::signals::cancel_on_signal;

/// Flags of `skein quarantine release`.
#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// The damage, as `quarantine ls` names it
    #[arg(
        value_name = "ID",
        required_unless_present = "all_of_shard",
        conflicts_with = "all_of_shard"
    )]
    id: Option<DamageId>,
    /// Every undecided damage of a shard, each with a commit of its own
    #[arg(long, value_name = "SHARD")]
    all_of_shard: Option<ShardId>,
    /// Reads the place again, which has been restored
    #[arg(
        long,
        required_unless_present = "accept_loss",
        conflicts_with = "accept_loss"
    )]
    retry: bool,
    /// Gives its records up
    #[arg(long)]
    accept_loss: bool,
    /// Why, for those who come after
    #[arg(long)]
    reason: String,
    /// Tries it and commits nothing
    #[arg(long)]
    dry_run: bool,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// What became of one damage.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    shard: String,
    /// `restored`, `still damaged`, `accepted`, `decided before` or `failed`.
    became: &'static str,
    dry_run: bool,
    records: Option<u64>,
    points: Option<u64>,
    /// What is wrong still, or who had decided.
    why: Option<String>,
    #[serde(skip)]
    code: ExitCode,
}

/// Runs it.
pub(super) fn run(args: &ReleaseArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("quarantine", &[Need::Bucket])?;
    let rows = runtime()?.block_on(release_all(args, &settings))?;
    match args.format {
        ReportFormat::Json => output::json(&rows)?,
        ReportFormat::Text if rows.is_empty() => {
            output::lines(&["no damage of that shard is undecided".to_owned()])?;
        }
        ReportFormat::Text => output::lines(&rows.iter().map(Row::shown).collect::<Vec<_>>())?,
    }
    // A place that is damaged still says more than a lost race, and that more than an outage.
    let codes = [ExitCode::Difference, ExitCode::Conflict];
    let worst = codes
        .into_iter()
        .find(|code| rows.iter().any(|row| row.code == *code));
    let failed = rows
        .iter()
        .map(|row| row.code)
        .find(|code| *code != ExitCode::Ok);
    Ok(worst.or(failed).unwrap_or(ExitCode::Ok))
}

async fn release_all(args: &ReleaseArgs, settings: &Settings) -> Result<Vec<Row>, Failure> {
    let bucket = Bucket::open(&settings.bucket.settings()?).await?;
    let cancel = cancel_on_signal()?;
    let unenrolled = settings.cutover.unenrolled.pipeline();
    let options = args.options(Timelines::load(&bucket, unenrolled).await?);
    let found = damage_release::find(&bucket, |shard, damage| match args.all_of_shard {
        Some(meant) => shard == meant && damage.is_undecided(),
        None => args.id == Some(damage.id),
    });
    let found = found.await?;
    if let (Some(id), true) = (args.id, found.is_empty()) {
        return Err(skein_compactor::Error::NoSuchDamage { id }.into());
    }
    let mut rows = Vec::new();
    for (shard, damage) in found {
        let damage = (shard, damage.id);
        rows.push(release(args, (settings, &bucket), &options, damage, &cancel).await);
    }
    Ok(rows)
}

async fn release(
    args: &ReleaseArgs,
    (settings, bucket): (&Settings, &Bucket),
    options: &ReleaseOptions,
    damage: (ShardId, DamageId),
    cancel: &CancellationToken,
) -> Row {
    let controls = (cancel.clone(), Arc::new(|_| ()) as _);
    let released =
        damage_release::release(&settings.compactor, bucket, options, damage, controls).await;
    let (shard, id) = damage;
    let row = Row {
        id: id.to_string(),
        shard: shard.to_string(),
        became: "accepted",
        dry_run: args.dry_run,
        records: None,
        points: None,
        why: None,
        code: ExitCode::Ok,
    };
    match released {
        Ok(Released::Accepted) => row,
        Ok(Released::Restored { records, points }) => Row {
            became: "restored",
            records: Some(records),
            points: Some(points),
            ..row
        },
        Ok(Released::StillDamaged { error }) => Row {
            became: "still damaged",
            why: Some(error),
            code: ExitCode::Difference,
            ..row
        },
        Ok(Released::Before(decision)) => Row {
            became: "decided before",
            why: Some(format!(
                "by {} at {}: {}",
                decision.actor, decision.time, decision.reason
            )),
            ..row
        },
        Err(error) => Row {
            became: "failed",
            why: Some(with_sources(&error)),
            code: ExitCode::of(error.kind()),
            ..row
        },
    }
}

impl ReleaseArgs {
    fn options(&self, timelines: Timelines) -> ReleaseOptions {
        ReleaseOptions {
            verdict: if self.retry {
                Verdict::Retry
            } else {
                Verdict::AcceptLoss
            },
            mode: if self.dry_run {
                Mode::DryRun
            } else {
                Mode::Commit
            },
            actor: actor(),
            reason: self.reason.clone(),
            timelines,
        }
    }
}

/// Whoever runs this, as the system calls them.
fn actor() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"];
    let mut names = names
        .into_iter()
        .filter_map(|name| std::env::var(name).ok());
    names
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

impl Row {
    fn shown(&self) -> String {
        let Self {
            id, shard, became, ..
        } = self;
        let mut line = format!("damage {id} of {shard}: ");
        if self.dry_run {
            line.insert_str(0, "dry run: ");
        }
        line.push_str(became);
        if let (Some(records), Some(points)) = (self.records, self.points) {
            let _ = write!(line, ", {records} records with {points} points");
        }
        if let Some(why) = &self.why {
            line.push_str(": ");
            line.push_str(why);
        }
        line
    }
}
