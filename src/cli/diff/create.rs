//! `skein diff create`.

use clap::Args;
use skein_config::Settings;
use skein_config::settings::Need;
use skein_reader::diff::definition::{Declared, Definition, Sample};
use skein_reader::diff::journal::Journal;
use skein_shared::cutover::ComparisonName;
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::units::Millis;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use super::ending::{RunArgs, run_to_end};
use super::side_args::SideArgs;
use crate::cli::{SettingsArgs, read, runtime};
use crate::failure::{Failure, Outcome};

/// Begins a comparison and runs it to its end; SIGTERM, Ctrl-C and `skein diff stop` interrupt it, and `resume` goes on
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What it is called: gates look for its verdict under that name
    #[arg(long)]
    name: String,
    /// Whose points; may be repeated
    #[arg(long, required_unless_present = "all_enrolled")]
    org: Vec<u64>,
    /// Every org that has a cutover
    #[arg(long, conflicts_with = "org")]
    all_enrolled: bool,
    /// First instant: RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    from: Option<TimestampMs>,
    /// First instant beyond
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    to: Option<TimestampMs>,
    /// Points as they are, or buckets of 5 minutes, an hour or a day
    #[arg(long, value_name = "raw|5m|1h|1d", default_value = "raw")]
    resolution: Resolution,
    /// Compares this share of the series, in a hundred; always the same ones for one seed
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
    sample: f64,
    /// Which series a sample takes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How often what differs or was set aside is looked at again before it counts
    #[arg(long, value_name = "TIMES", default_value_t = 3)]
    recheck: u32,
    /// How long the first of these waits; each later one waits twice as long
    #[arg(long, value_name = "TIME", default_value = "10 s")]
    backoff: Millis,
    /// Says that both sides had the same input, of all times or of `FROM..TO=REASON`: for a side that has no positions; may
    /// be repeated
    #[arg(long, value_name = "[FROM..TO=]REASON", value_parser = declared)]
    declare_input: Vec<Declared>,
    #[command(flatten)]
    sides: SideArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs it.
pub(super) fn run(args: &CreateArgs, settings: &SettingsArgs) -> Outcome {
    ComparisonName::new(args.name.clone()).map_err(Failure::usage)?;
    let settings = settings.start_watched("diff", &[Need::Bucket])?;
    runtime()?.block_on(async {
        let sides = args.sides.open(&settings).await?;
        let enrolled = sides.timelines.enrolled().map(|(org, _)| org.0);
        let orgs: Vec<u64> = if args.all_enrolled {
            enrolled.collect()
        } else {
            args.org.clone()
        };
        let definition = definition(args, orgs, &settings)?;
        let places = (sides.left.place(), sides.right.place());
        let journal = Journal::begin(&args.run.out, definition, places)?;
        run_to_end(journal, &sides, &args.run).await
    })
}

fn definition(
    args: &CreateArgs,
    mut orgs: Vec<u64>,
    settings: &Settings,
) -> Result<Definition, Failure> {
    orgs.sort_unstable();
    orgs.dedup();
    if orgs.is_empty() {
        return Err(Failure::usage("no org has a cutover: name some with --org"));
    }
    let span = read::span(args.from, args.to, args.resolution)?;
    Ok(Definition {
        comparison: args.name.clone(),
        sides: args.sides.of().name().to_owned(),
        orgs,
        from_ms: span.from.0,
        to_ms: span.to.0,
        resolution: args.resolution,
        sample: Sample::of_percent(args.sample, args.seed).map_err(Failure::usage)?,
        rechecks: args.recheck,
        backoff_ms: args.backoff.0,
        declared: args.declare_input.clone(),
        wanted_percent: settings.cutover.coverage_percent,
    })
}

/// Reads `[FROM..TO=]REASON`.
fn declared(text: &str) -> Result<Declared, String> {
    let all = TimeSpan::ALL;
    let spanned = text.split_once('=').and_then(|(span, reason)| {
        let (from, to) = span.split_once("..")?;
        let times = (parse_timestamp(from).ok()?, parse_timestamp(to).ok()?);
        Some((times, reason))
    });
    let ((from, to), reason) = spanned.unwrap_or(((all.from, all.to), text));
    if reason.trim().is_empty() || to <= from {
        return Err("say why the input was equal, and of a span that is not empty".to_owned());
    }
    Ok(Declared {
        from_ms: from.0,
        to_ms: to.0,
        reason: reason.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_is_of_all_times_or_of_a_span_and_has_a_reason() {
        let of = |text: &str| declared(text).map(|it| (it.from_ms, it.to_ms, it.reason));
        let all = (i64::MIN, i64::MAX, "stopped; OPS=3".to_owned());
        assert_eq!(of("stopped; OPS=3"), Ok(all));
        let day = (0, 86_400_000, "replayed".to_owned());
        assert_eq!(of("0..1970-01-02T00:00:00Z=replayed"), Ok(day));
        assert!(of(" ").is_err() && of("5..5=x").is_err() && of("0..1=").is_err());
    }
}
