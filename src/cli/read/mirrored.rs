//! `skein read --mirror`: what was read is read again on both pipelines, and compared.

use std::fmt::Write as _;

use skein_config::Settings;
use skein_config::cutover::timelines::Timelines;
use skein_reader::mirror::{BothRead, Difference, compare_all};
use skein_reader::old_places::OldPlaces;
use skein_reader::page_token::PageScope;
use skein_reader::read_source::ReadSource;
use skein_reader::series_names;
use skein_reader::snapshot::Selection;
use skein_shared::bucket::Bucket;
use skein_shared::ids::OrgId;
use skein_shared::stage_time::StageTime;
use skein_shared::window::{Resolution, TimeSpan};

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// What was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mirrored<'a> {
    pub(super) org: OrgId,
    pub(super) metric: Option<&'a str>,
    pub(super) span: TimeSpan,
    pub(super) resolution: Resolution,
}

/// Compares, tells on stderr, and says how the command ends.
pub(super) async fn compare(
    settings: &Settings,
    bucket: Bucket,
    what: Mirrored<'_>,
) -> Result<ExitCode, Failure> {
    let unenrolled = settings.cutover.unenrolled.pipeline();
    let timelines = Timelines::load_to_read(&bucket, None, (unenrolled, Some(what.org))).await?;
    let places = OldPlaces::new(&bucket, &settings.bucket, &settings.cutover);
    let source = ReadSource::new(bucket).with_old(places);
    let metric = match what.metric {
        None => None,
        Some(metric) => {
            let whole = Selection::Org(what.org);
            let whole = source.load(timelines.clone(), whole).await?;
            Some(series_names::find(&whole, what.org, metric).await?)
        }
    };
    let scope = PageScope {
        org: what.org,
        metric,
        span: what.span,
        resolution: what.resolution,
    };
    let both = compare_all(&source, &timelines, scope).await?;
    eprintln!("{}", shown(&both));
    Ok(code_of(&both))
}

/// What may come yet is no difference, and nothing is proven either.
fn code_of(both: &BothRead) -> ExitCode {
    let rows = |kind| both.tally.rows(kind);
    let behind = rows(Difference::NewIsBehind) + rows(Difference::VisibleIsBehind);
    let all: u64 = Difference::ALL.into_iter().map(rows).sum();
    if all > behind {
        ExitCode::Difference
    } else if behind > 0 {
        ExitCode::Inconclusive
    } else {
        ExitCode::Ok
    }
}

fn shown(both: &BothRead) -> String {
    let tally = &both.tally;
    if tally.series == 0 {
        return "mirrored: nothing to compare, there is no event time that the new pipeline writes \
                and the old one shows"
            .to_owned();
    }
    let (series, differing, alike) = (tally.series, tally.differing_series, tally.alike);
    let mut text = format!("mirrored: {differing} of {series} series differ; rows: {alike} alike");
    for kind in Difference::ALL {
        let rows = tally.rows(kind);
        if rows > 0 {
            let _ = write!(text, ", {rows} {}", kind.name());
        }
    }
    let ms = |time: &StageTime, share| time.quantile(share).as_secs_f64() * 1000.0;
    for (name, time) in [("visible", &both.visible), ("new", &both.new)] {
        let (half, most) = (ms(time, 0.5), ms(time, 0.99));
        let _ = write!(
            text,
            "\n  {name}: half of the series within {half:.3} ms, 99 of 100 within {most:.3} ms"
        );
    }
    text
}
