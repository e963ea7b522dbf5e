//! `skein explain`: where the bytes of a segment go.

use clap::Args;
use skein_config::settings::Need;
use skein_reader::inspect::explain::{Explained, explain};
use skein_shared::bucket::Bucket;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Shows where the bytes of a segment go
///
/// By what they are and how they are encoded, by org, and which series take most, with bytes for each point. The keys
/// are those that `skein ls --format json` lists.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein explain segments/…
  skein explain segments/… --series 50 --format json")]
pub(crate) struct ExplainArgs {
    /// The segment's key, without the prefix of bucket.url
    segment: String,
    /// Series to name: those that take most
    #[arg(long, default_value_t = 10, value_name = "N")]
    series: usize,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// Runs it.
pub(crate) fn run(args: &ExplainArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let explained = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        Ok::<_, Failure>(explain(&bucket, &args.segment, args.series).await?)
    })?;
    match args.format {
        ReportFormat::Json => output::json(&explained)?,
        ReportFormat::Text => output::text(&text_of(&explained))?,
    }
    Ok(ExitCode::Ok)
}

fn text_of(explained: &Explained) -> String {
    let Explained {
        key,
        profile,
        encoder_version,
        object_bytes,
        points,
        series,
        ..
    } = explained;
    let each = density(*object_bytes, *points);
    let head = format!(
        "{key}\n{points} points of {series} series in {object_bytes} bytes, {each} bytes/point; profile {profile}, \
         encoder {encoder_version}\n"
    );
    [
        head,
        parts_table(explained),
        orgs_table(explained),
        series_table(explained),
    ]
    .join("\n")
}

fn parts_table(explained: &Explained) -> String {
    let rows = explained.parts.iter().map(|part| {
        vec![
            part.name.to_owned(),
            part.pieces.to_string(),
            part.points.to_string(),
            part.bytes.to_string(),
            density(part.bytes, part.points),
            share(part.bytes, explained),
        ]
    });
    let head = ["what", "pieces", "points", "bytes", "bytes/point", "share"];
    output::table(&head, rows.collect())
}

fn orgs_table(explained: &Explained) -> String {
    let rows = explained.orgs.iter().map(|it| {
        let bytes = it.timestamp_bytes + it.value_bytes;
        vec![
            it.org.to_string(),
            it.series.to_string(),
            it.points.to_string(),
            it.timestamp_bytes.to_string(),
            it.value_bytes.to_string(),
            density(bytes, it.points),
            share(bytes, explained),
        ]
    });
    let head = [
        "org",
        "series",
        "points",
        "timestamp bytes",
        "value bytes",
        "bytes/point",
        "share",
    ];
    output::table(&head, rows.collect())
}

fn series_table(explained: &Explained) -> String {
    let rows = explained.largest_series.iter().map(|it| {
        vec![
            it.org.to_string(),
            format!("{:016x}", it.metric),
            it.points.to_string(),
            it.bytes.to_string(),
            density(it.bytes, it.points),
            it.timestamps.to_owned(),
            it.values.to_owned(),
        ]
    });
    let head = [
        "org",
        "metric",
        "points",
        "bytes",
        "bytes/point",
        "timestamps",
        "values",
    ];
    output::table(&head, rows.collect())
}

fn share(bytes: u64, of: &Explained) -> String {
    format!("{:.1} %", ratio(bytes, of.object_bytes) * 100.0)
}

fn density(bytes: u64, points: u64) -> String {
    if points == 0 {
        return String::new();
    }
    format!("{:.3}", ratio(bytes, points))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
