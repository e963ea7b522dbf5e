//! `skein quarantine`: what could not be read, and what becomes of it.

mod release;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::{Args, Subcommand};
use skein_config::settings::Need;
use skein_reader::inspect::quarantine::{
    DamageRow, QuarantineOptions, QuarantineReport, RecordRow, quarantine,
};
use skein_shared::bucket::Bucket;
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::shard_map_log;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Shows what could not be read, and decides what becomes of damaged state
///
/// A *record* is here when its payload was refused: it stays in its state object as it came. A *damage* is a place of a
/// state object, a block or all of it, that did not read back: its shard went on without it, and its windows are incomplete
/// until somebody decides with `release`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein quarantine ls
  skein quarantine release 0123456789abcdef --retry --reason 'restored from version 3, OPS-7' --dry-run
  skein quarantine release 0123456789abcdef --accept-loss --reason 'no copy left, OPS-7'")]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// Lists damages, those first that wait for a person, and records whose payload was refused
    ///
    /// Of a damage: its id, the state object and the place in it, how many records it had at most, the event times that may be
    /// missing, and what to do. `skein cat LIST` has the offsets and the error. Of a record: where it stood in Kafka, why
    /// it was refused, and the state object that has it.
    Ls(LsArgs),
    /// Decides about a damage: reads its place again after it was restored, or accepts that its records are lost
    ///
    /// --retry reads the damaged place again. When it reads back, its records become points as late ones do, with one
    /// commit; when it does not, nothing is changed and the exit code is 3. --accept-loss writes down who gave the records up,
    /// when and why; the windows are no longer incomplete. Should the object turn up after all, --retry still
    /// takes it in. The same decision twice does no harm; of two different ones the first counts, and the
    /// other gets exit code 5. Damages only: a record whose payload was refused is corrected by its producer, which
    /// sends it again.
    Release(release::ReleaseArgs),
}

#[derive(Debug, Args)]
struct LsArgs {
    /// Only this shard, as `skein ls` names it; may be repeated
    #[arg(long, value_name = "SHARD")]
    shard: Vec<ShardId>,
    /// Only the shards that have this org's points; may be repeated
    #[arg(long, value_name = "ORG")]
    org: Vec<u64>,
    /// Most damages, and most records, that are shown
    #[arg(long, default_value_t = 50, value_name = "ROWS")]
    limit: usize,
    /// Form of the list
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Runs it.
pub(crate) fn run(args: &QuarantineArgs, settings: &SettingsArgs) -> Outcome {
    match &args.command {
        QuarantineCommand::Ls(args) => ls(args, settings),
        QuarantineCommand::Release(args) => release::run(args, settings),
    }
}

fn ls(args: &LsArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let report = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let options = QuarantineOptions {
            shards: shards(args, &bucket).await?,
            limit: args.limit,
        };
        Ok::<_, Failure>(quarantine(&bucket, &options).await?)
    })?;
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::lines(&shown(&report))?,
    }
    Ok(ExitCode::Ok)
}

/// The shards that are meant; `None` for all.
async fn shards(args: &LsArgs, bucket: &Bucket) -> Result<Option<BTreeSet<ShardId>>, Failure> {
    if args.shard.is_empty() && args.org.is_empty() {
        return Ok(None);
    }
    let mut shards: BTreeSet<ShardId> = args.shard.iter().copied().collect();
    if !args.org.is_empty()
        && let Some(map) = shard_map_log::load(bucket).await?
    {
        for org in &args.org {
            shards.extend(map.shards_of(OrgId(*org)));
        }
    }
    Ok(Some(shards))
}

fn shown(report: &QuarantineReport) -> Vec<String> {
    let mut lines: Vec<String> = report.damages.iter().map(damage).collect();
    if report.more_damages > 0 {
        let more = report.more_damages;
        lines.push(format!("{more} more damages: a greater --limit shows them"));
    }
    lines.extend(report.records.iter().map(record));
    if report.more_records > 0 {
        let more = report.more_records;
        lines.push(format!("{more} more records: a greater --limit shows them"));
    }
    if lines.is_empty() {
        lines.push("nothing is in quarantine".to_owned());
    }
    lines
}

fn damage(row: &DamageRow) -> String {
    let mut line = format!(
        "damage {} {} {}: `{}` bytes {} to {}, at most {} records",
        row.id,
        row.state,
        row.shard,
        row.object,
        row.at,
        row.at + row.bytes,
        row.frames
    );
    let times = match (&row.from, &row.to) {
        (Some(from), Some(to)) => format!(", event times from {from} to {to}"),
        _ => ", of any event time".to_owned(),
    };
    line.push_str(&times);
    if let Some(decided) = &row.decided {
        let _ = write!(line, "; {} {decided}", row.state);
    }
    if !row.what_to_do.is_empty() {
        line.push_str("; ");
        line.push_str(&row.what_to_do);
    }
    line
}

fn record(row: &RecordRow) -> String {
    format!(
        "record {}@{} {}: {}; in `{}`",
        row.partition, row.offset, row.shard, row.reason, row.object
    )
}
