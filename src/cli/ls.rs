//! `skein ls`: what is in the bucket.

use clap::{Args, ValueEnum};
use skein_config::settings::Need;
use skein_reader::inspect::ls::{ChainRow, Listing, ShardRow, ls};
use skein_shared::bucket::Bucket;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Lists shards, windows, segments, orgs and ledger positions
///
/// Of an org: the points that came in, and where they went. What is live is what came in less duplicates, points that another
/// pipeline owns, points that deletes took, and points that expired; `skein verify` compares it with the segments.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// What to list; the shards and the ledger when none is named
    #[arg(value_enum)]
    what: Vec<Table>,
    /// Of all orgs only this one
    #[arg(long, value_name = "ORG")]
    org: Option<u64>,
    /// Form of the listing; JSON always holds everything
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// Each shard's newest manifest
    Shards,
    /// Each window of each shard
    Windows,
    /// Each live segment
    Segments,
    /// Where the points of each org went
    Orgs,
    /// Each partition's ledger
    Ledger,
}

/// Runs it.
pub(crate) fn run(args: &LsArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let mut listing = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        Ok::<_, Failure>(ls(&bucket).await?)
    })?;
    listing
        .orgs
        .retain(|row| args.org.is_none_or(|org| org == row.org));
    match args.format {
        ReportFormat::Json => output::json(&listing)?,
        ReportFormat::Text => output::text(&shown(&listing, args))?,
    }
    Ok(ExitCode::Ok)
}

fn shown(listing: &Listing, args: &LsArgs) -> String {
    let default = match args.org {
        Some(_) => &[Table::Orgs][..],
        None => &[Table::Shards, Table::Ledger],
    };
    let what = if args.what.is_empty() {
        default
    } else {
        &args.what
    };
    let tables = what.iter().map(|table| match table {
        Table::Shards => shards(listing),
        Table::Windows => windows(listing),
        Table::Segments => segments(listing),
        Table::Orgs => orgs(listing),
        Table::Ledger => ledger(listing),
    });
    let quarantine = format!(
        "quarantine: {} records without a readable org or too large, {} records that gave no points\n",
        listing.quarantine.unroutable_records, listing.quarantine.undecodable_records
    );
    tables.chain([quarantine]).collect::<Vec<_>>().join("\n")
}

fn shards(listing: &Listing) -> String {
    let head = [
        "shard",
        "generation",
        "segments",
        "bytes",
        "rollup bytes",
        "points",
        "B/point",
        "quarantined",
        "behind",
    ];
    let is_empty =
        |row: &&ShardRow| row.segments == 0 && row.records == 0 && row.behind_offsets == 0;
    let empty = listing.shards.iter().filter(is_empty).count();
    let rows = listing
        .shards
        .iter()
        .filter(|row| !is_empty(row))
        .map(|row| {
            vec![
                row.shard.clone(),
                row.generation.to_string(),
                row.segments.to_string(),
                row.segment_bytes.to_string(),
                row.rollup_bytes.to_string(),
                row.points.to_string(),
                format!("{:.3}", row.bytes_per_point),
                row.quarantined_records.to_string(),
                row.behind_offsets.to_string(),
            ]
        });
    output::table(&head, rows.collect()) + &left_out(empty, "shards without records")
}

/// Says what a table does not show, because nothing is there.
fn left_out(count: usize, what: &str) -> String {
    match count {
        0 => String::new(),
        count => format!("({count} {what})\n"),
    }
}

fn windows(listing: &Listing) -> String {
    let rows = listing.windows.iter().map(|row| {
        vec![
            row.shard.clone(),
            row.window.clone(),
            row.segments.to_string(),
            row.segment_bytes.to_string(),
            row.rollup_bytes.to_string(),
            row.points.to_string(),
        ]
    });
    let head = [
        "shard",
        "window",
        "segments",
        "bytes",
        "rollup bytes",
        "points",
    ];
    output::table(&head, rows.collect())
}

fn segments(listing: &Listing) -> String {
    let head = [
        "segment",
        "generation",
        "bytes",
        "points",
        "series",
        "B/point",
        "first",
        "last",
        "",
    ];
    let rows = listing.segments.iter().map(|row| {
        vec![
            row.key.clone(),
            row.generation.to_string(),
            row.segment_bytes.to_string(),
            row.points.to_string(),
            row.series.to_string(),
            format!("{:.3}", row.bytes_per_point),
            row.first_timestamp.clone(),
            row.last_timestamp.clone(),
            if row.unfiltered { "unfiltered" } else { "" }.to_owned(),
        ]
    });
    output::table(&head, rows.collect())
}

fn orgs(listing: &Listing) -> String {
    let rows = listing.orgs.iter().map(|row| {
        let live = row.live_points.map(|points| points.to_string());
        vec![
            row.org.to_string(),
            row.shard.clone(),
            row.points_in.to_string(),
            live.unwrap_or_else(|| "-".to_owned()),
            row.duplicates.to_string(),
            row.not_owned.to_string(),
            row.deleted.to_string(),
            row.expired.to_string(),
            row.quarantined_records.to_string(),
            row.highest_not_owned
                .clone()
                .unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let head = [
        "org",
        "shard",
        "points in",
        "live",
        "duplicates",
        "not owned",
        "deleted",
        "expired",
        "quarantined",
        "not owned to",
    ];
    output::table(&head, rows.collect())
}

fn ledger(listing: &Listing) -> String {
    let offset =
        |offset: Option<i64>| offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
    let is_empty = |row: &&ChainRow| row.start.is_some() && row.start == row.end;
    let empty = listing.chains.iter().filter(is_empty).count();
    let rows = listing
        .chains
        .iter()
        .filter(|row| !is_empty(row))
        .map(|row| {
            vec![
                format!(
                    "{}/{}/{}/{}",
                    row.source, row.topic, row.incarnation, row.partition
                ),
                offset(row.start),
                offset(row.end),
                offset(row.compacted_to),
                row.last_timestamp.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        });
    let head = ["partition", "start", "end", "compacted to", "newest record"];
    let chains = output::table(&head, rows.collect());
    chains + &left_out(empty, "partitions without records") + &holes(listing)
}

/// Lost spans that came in later; nothing when there are none.
fn holes(listing: &Listing) -> String {
    if listing.holes.is_empty() {
        return String::new();
    }
    let rows = listing.holes.iter().map(|row| {
        vec![
            row.chain.clone(),
            row.from.to_string(),
            row.to.to_string(),
            row.filled_to.to_string(),
            row.compacted_to
                .map_or_else(|| "-".to_owned(), |to| to.to_string()),
        ]
    });
    let head = ["lost span", "from", "to", "filled to", "compacted to"];
    format!("\n{}", output::table(&head, rows.collect()))
}
