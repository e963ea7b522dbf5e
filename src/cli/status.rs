//! `skein status`: how far is everything, and does something wait for a person?

mod backlog;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use skein_config::Settings;
use skein_config::settings::Need as Setting;
use skein_connector::chain_lookup::ChainLookup;
use skein_reader::inspect::status::{Depth, PartitionRow, StatusOptions, StatusReport, status};
use skein_shared::bucket::Bucket;
use skein_shared::ids::Chain;
use skein_shared::ledger::Ledger;
use skein_shared::offset::Offset;
use skein_shared::units::Millis;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

use backlog::Backlog;

/// Shows how far each partition is, what holds the watermark back, and what waits to be compacted; exit code 3 when a
/// person is needed
///
/// Works from the bucket alone: Kafka's ends are those that the workers told. With `kafka.brokers` set Kafka
/// is asked itself; if it does not answer, that is said and the rest is shown. Everything before the watermark
/// is durable; it lies `compactor.watermark_delay` back, for records that come late and clocks that lead.
///
/// The backlog is what a compactor still has to read, in stored bytes, with the age of its oldest record by Kafka's timestamp,
/// and the *dirty windows*, which have several segments or are not closed yet: they are merged when their time has come.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein status --bucket s3://timeseries/prod
  skein --config skein.toml status --gaps --format json")]
pub(crate) struct StatusArgs {
    /// Reads every ledger entry and shows the offsets that were lost
    #[arg(long)]
    gaps: bool,
    /// A partition of which no worker told for this long is read by nobody
    #[arg(long, default_value = "10 min", value_name = "TIME")]
    stale_after: Millis,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// How far everything is, and what waits; `None` where that cannot be said.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    status: StatusReport,
    backlog: Option<Backlog>,
}

/// Runs it.
pub(crate) fn run(args: &StatusArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Setting::Bucket])?;
    let options = StatusOptions {
        watermark_delay: settings.compactor.watermark_delay,
        stale_after: args.stale_after,
        depth: if args.gaps { Depth::Gaps } else { Depth::Ends },
    };
    let report = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let kafka_ends = kafka_ends(&settings, &bucket).await?;
        let mut status = status(&bucket, &options, &kafka_ends).await?;
        let (backlog, needs) = backlog::look(&bucket).await.unzip();
        status.needs.extend(needs.into_iter().flatten());
        Ok::<_, Failure>(Report { status, backlog })
    })?;
    match args.format {
        ReportFormat::Json => output::json(&report)?,
        ReportFormat::Text => output::text(&shown(&report))?,
    }
    Ok(if report.status.is_quiet() {
        ExitCode::Ok
    } else {
        ExitCode::Difference
    })
}

/// Kafka's own word on the ends of its partitions, where it can be had.
async fn kafka_ends(
    settings: &Settings,
    bucket: &Bucket,
) -> Result<BTreeMap<Chain, Offset>, Failure> {
    if settings.kafka.brokers.is_empty() {
        return Ok(BTreeMap::new());
    }
    let source = settings.kafka.source_name();
    let mut chains = Ledger::new(bucket.clone()).chains().await?;
    chains.retain(|chain| chain.source == source);
    match ChainLookup::connect(&settings.kafka)?.ends(&chains).await {
        Ok(ends) => Ok(ends),
        Err(error) => {
            tracing::warn!(%error, "kafka does not tell its ends; shown is what the workers told");
            Ok(BTreeMap::new())
        }
    }
}

/// Needs that a person reads one by one.
const NEEDS_SHOWN: usize = 20;

fn shown(report: &Report) -> String {
    let (report, backlog) = (&report.status, &report.backlog);
    let head = [
        "partition",
        "ledger end",
        "kafka end",
        "lag",
        "lag time",
        "last flush",
        "told",
        "watermark",
        "state",
    ];
    let rows = report.partitions.iter().map(|row| {
        vec![
            format!(
                "{}/{}/{}/{}",
                row.source, row.topic, row.incarnation, row.partition
            ),
            row.ledger_end.to_string(),
            or_dash(row.kafka_end),
            or_dash(row.lag_records),
            age(row.lag_ms),
            age(row.flush_age_ms),
            age(row.told_age_ms),
            row.watermark.clone().unwrap_or_else(|| "-".to_owned()),
            row.state.to_owned(),
        ]
    });
    let mut text = output::table(&head, rows.collect());
    text.extend(report.partitions.iter().map(gaps));
    text.push_str(&watermark(report));
    text.extend(backlog.iter().map(Backlog::shown));
    for need in report.needs.iter().take(NEEDS_SHOWN) {
        let _ = writeln!(text, "needs a person: {need}");
    }
    let more = report.needs.len().saturating_sub(NEEDS_SHOWN);
    if more > 0 {
        let _ = writeln!(
            text,
            "needs a person: {more} more; --format json names them all"
        );
    }
    text
}

fn gaps(row: &PartitionRow) -> String {
    let gaps = row.gaps.iter().flatten().map(|gap| {
        let PartitionRow {
            source,
            topic,
            incarnation,
            partition,
            ..
        } = row;
        let place = format!("{source}/{topic}/{incarnation}/{partition}");
        format!("lost: {place} [{}, {}): {}\n", gap.from, gap.to, gap.reason)
    });
    gaps.collect()
}

fn watermark(report: &StatusReport) -> String {
    /// More names than these are counted, not printed.
    const NAMED: usize = 3;
    let mut holders = report.held_back_by.clone();
    let more = holders.len().saturating_sub(NAMED);
    holders.truncate(NAMED);
    let mut by = holders.join(", ");
    if more > 0 {
        let _ = write!(by, " and {more} more");
    }
    match (&report.watermark, report.watermark_lag_ms) {
        (Some(watermark), lag) => {
            format!(
                "watermark {watermark}, {} behind, held back by {by}\n",
                age(lag)
            )
        }
        (None, _) if by.is_empty() => "no watermark: no partition has a ledger\n".to_owned(),
        (None, _) => format!("no watermark: nothing is known of {by}\n"),
    }
}

fn or_dash(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// A time in its two largest units.
fn age(millis: Option<i64>) -> String {
    let Some(millis) = millis else {
        return "-".to_owned();
    };
    let seconds = millis / 1000;
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_is_shown_in_its_two_largest_units() {
        let shown = |seconds: i64| age(Some(seconds * 1000));
        assert_eq!(shown(59), "59 s");
        assert_eq!(shown(3_599), "59 min 59 s");
        assert_eq!(shown(7_260), "2 h 1 min");
        assert_eq!(shown(90_000), "1 d 1 h");
        assert_eq!(age(None), "-");
    }
}
