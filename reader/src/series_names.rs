//! Finds series by what people call them.

use std::collections::BTreeSet;

use futures::future::LocalBoxFuture;
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::points_csv::Metric;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::series::{SERIES_METADATA_KEY, Series};
use skein_shared::window::{Resolution, TimeSpan, Window};

use crate::error::{Error, Result};
use crate::old_series::OldSeries;
use crate::snapshot::{OpenSegment, Selection, Snapshot};
use crate::visible::may_show_new;

/// Most series that an error names.
const NAMED_IN_ERROR: usize = 12;

/// The series that `metric` means: an id of digits, a text `name{k="v",…}`, or a bare name where the org
/// has one series of that name. `snapshot` is of that org.
///
/// # Errors
/// Invalid with the org's series of that name when there is none, or more than one; the bucket's.
pub fn find<'a>(
    snapshot: &'a Snapshot,
    org: OrgId,
    metric: &'a str,
) -> LocalBoxFuture<'a, Result<MetricId>> {
    Box::pin(async move {
        let refuse = |reason: String| {
            Err(Error::Series {
                org: org.0,
                metric: metric.to_owned(),
                reason,
            })
        };
        if metric.bytes().all(|byte| byte.is_ascii_digit()) {
            return match metric.parse() {
                Ok(id) => Ok(MetricId(id)),
                Err(_) => refuse("an id is a number from 0 to 2^64 - 1".into()),
            };
        }
        let wanted: Series = match metric.parse() {
            Ok(series) => series,
            Err(reason) => return refuse(reason),
        };
        if metric.contains('{') {
            return Ok(wanted.id());
        }
        let named: Vec<Series> = list(snapshot)
            .await?
            .into_iter()
            .filter(|series| series.name() == wanted.name())
            .collect();
        match named.as_slice() {
            [] => refuse("the org has no series of that name".into()),
            [only] => Ok(only.id()),
            several if several.contains(&wanted) => Ok(wanted.id()),
            several => {
                let texts: Vec<String> = several
                    .iter()
                    .take(NAMED_IN_ERROR)
                    .map(Series::to_string)
                    .collect();
                let count = several.len();
                let texts = texts.join("  ");
                refuse(format!(
                    "{count} series have that name; give one in full: {texts}"
                ))
            }
        }
    })
}

/// The named series of the snapshot's selection, by name and tags, without those that are deleted.
///
/// # Errors
/// The bucket's, or corrupt with the object's key and the place.
pub fn list(snapshot: &Snapshot) -> LocalBoxFuture<'_, Result<BTreeSet<Series>>> {
    Box::pin(async move {
        let selection = snapshot.selection();
        let is_meant = |series: &Series| match selection {
            Selection::All | Selection::Org(_) => true,
            Selection::OrgFrom(key) => key.metric <= series.id(),
            Selection::Series(key) => series.id() == key.metric,
        };
        let mut all = BTreeSet::new();
        let sources = snapshot.bucket_sources(TimeSpan::ALL, Resolution::OneDay);
        let entries = sources
            .iter()
            .filter_map(|source| Some((source.shard, source.raw.or(source.rollup)?)));
        let opened = snapshot.open_all(entries.collect()).await?;
        let timelines = snapshot.timelines();
        for (source, segment) in sources.iter().zip(opened) {
            let window = segment.file.footer().identity.window;
            let is_seen = |org: OrgId| may_show_new(timelines, org, window.span());
            let rows = segment
                .file
                .metadata_of(selection.first(), selection.last())
                .await?;
            let deleted = Deleted::of(snapshot, &segment);
            let rows = rows.iter().filter(|(org, _)| is_seen(*org));
            let named = rows.filter_map(|(org, metadata)| {
                let series: Series = text_of(metadata)?.parse().ok()?;
                let (org, metric) = (*org, series.id());
                let is_expired =
                    snapshot.is_expired(source.shard, source.coarsest(), (org, window));
                let is_gone =
                    is_expired || deleted.names(SeriesKey { org, metric }, metadata, window);
                (!is_gone).then_some(series)
            });
            all.extend(named.filter(is_meant));
        }
        all.extend(old_names(snapshot).await?.into_iter().filter(is_meant));
        Ok(all)
    })
}

/// The names of series of which readers see points of the old system.
async fn old_names(snapshot: &Snapshot) -> Result<Vec<Series>> {
    let mut names = Vec::new();
    for org in snapshot.old_orgs(TimeSpan::ALL).await? {
        let source = snapshot.old_source(org).await?;
        let shown = snapshot.old_shown(org, TimeSpan::ALL);
        let is_shown = |series: &&OldSeries| {
            let mut times = series.times.iter();
            times.any(|times| shown.iter().any(|shown| shown.overlaps(*times)))
        };
        let series = source.series(org).await?;
        let texts = series.iter().filter(is_shown);
        let texts = texts.filter_map(|series| series.metadata.get(SERIES_METADATA_KEY));
        names.extend(texts.filter_map(|text| text.parse::<Series>().ok()));
    }
    Ok(names)
}

/// What deletes take of a segment's names.
enum Deleted {
    /// What records of raw points say.
    Records(DeleteMask),
    /// What a rollup says that outlives its points.
    Buckets(Vec<((SeriesKey, SeriesKey), TimeSpan)>),
}

impl Deleted {
    fn of(snapshot: &Snapshot, segment: &OpenSegment) -> Self {
        let selection = snapshot.selection();
        if segment.file.footer().identity.resolution.is_raw() {
            let chains = segment.file.chains();
            Self::Records(snapshot.mask(segment, selection, chains))
        } else {
            Self::Buckets(snapshot.struck(segment, selection))
        }
    }

    fn names(&self, key: SeriesKey, metadata: &SeriesMetadata, window: Window) -> bool {
        match self {
            Self::Records(mask) => mask.takes_record(key, metadata.order, window),
            Self::Buckets(struck) => struck.iter().any(|((first, last), span)| {
                let (own, is_named) = (window.span(), *first <= key && key <= *last);
                is_named && span.from <= own.from && own.to <= span.to
            }),
        }
    }
}

/// The keys of all tags of the selection's named series.
///
/// # Errors
/// As [`list`].
pub fn tag_keys(snapshot: &Snapshot) -> LocalBoxFuture<'_, Result<BTreeSet<String>>> {
    Box::pin(async move {
        let series = list(snapshot).await?;
        let keys = series.iter().flat_map(|series| series.tags().keys());
        Ok(keys.cloned().collect())
    })
}

/// The name of a series, where its metadata holds the text that its id is made from.
pub fn name_of(metric: MetricId, metadata: Option<&SeriesMetadata>) -> Option<Series> {
    Series::of_metric(metric, text_of(metadata?)?)
}

/// What a series is shown as: its name, else its id.
pub fn label_of(metric: MetricId, metadata: Option<&SeriesMetadata>) -> String {
    name_of(metric, metadata).map_or_else(|| metric.to_string(), |series| series.to_string())
}

/// What stands in the columns `metric` and those of the tags.
pub fn metric_of(metric: MetricId, metadata: Option<&SeriesMetadata>) -> Metric {
    name_of(metric, metadata).map_or(Metric::Id(metric), Metric::Named)
}

fn text_of(metadata: &SeriesMetadata) -> Option<&str> {
    metadata
        .entries
        .get(SERIES_METADATA_KEY)
        .map(String::as_str)
}
