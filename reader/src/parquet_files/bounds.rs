//! What a row group's statistics say of its rows.

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use skein_shared::ids::SeriesKey;
use skein_shared::window::{TimeSpan, TimestampMs};

use super::columns::{Column, Columns};

/// Whether a row group may hold points of these series in `span`. Without statistics it may.
pub(super) fn may_hold(
    group: &RowGroupMetaData,
    columns: &Columns,
    (first, last): (SeriesKey, SeriesKey),
    span: TimeSpan,
) -> bool {
    let overlaps = |column: &Column, (from, to): (u64, u64)| {
        let bounds = whole_bounds(group, column);
        bounds.is_none_or(|(low, high)| low <= i128::from(to) && i128::from(from) <= high)
    };
    let is_org = overlaps(&columns.org, (first.org.0, last.org.0));
    let names_one_org = first.org == last.org && columns.metric.kind.is_integer();
    let is_metric = !names_one_org || overlaps(&columns.metric, (first.metric.0, last.metric.0));
    is_org && is_metric && time_bounds(group, columns).is_none_or(|held| held.overlaps(span))
}

/// The orgs between which those of a row group lie; `None` when that is not known.
pub(super) fn org_bounds(group: &RowGroupMetaData, columns: &Columns) -> Option<(i128, i128)> {
    whole_bounds(group, &columns.org)
}

/// The times that a row group holds points of.
fn time_bounds(group: &RowGroupMetaData, columns: &Columns) -> Option<TimeSpan> {
    let (low, high) = whole_bounds(group, &columns.time)?;
    let (low, high) = (i64::try_from(low).ok()?, i64::try_from(high).ok()?);
    let per_ms = columns.per_ms.0;
    Some(TimeSpan {
        from: TimestampMs(low.div_euclid(per_ms)),
        to: TimestampMs(high.div_euclid(per_ms).saturating_add(1)),
    })
}

fn whole_bounds(group: &RowGroupMetaData, column: &Column) -> Option<(i128, i128)> {
    let stored = group.columns().get(column.leaf)?.statistics()?;
    // Old writers compared unsigned numbers as if they had signs.
    if stored.is_min_max_deprecated() {
        return None;
    }
    let (low, high) = match stored {
        Statistics::Int32(of) => (i64::from(*of.min_opt()?), i64::from(*of.max_opt()?)),
        Statistics::Int64(of) => (*of.min_opt()?, *of.max_opt()?),
        Statistics::Boolean(_)
        | Statistics::Int96(_)
        | Statistics::Float(_)
        | Statistics::Double(_)
        | Statistics::ByteArray(_)
        | Statistics::FixedLenByteArray(_) => return None,
    };
    let bounds = if column.kind.is_unsigned_integer() {
        let is_short = matches!(stored, Statistics::Int32(_));
        (
            unsigned(low, is_short.then_some(u32::MAX)),
            unsigned(high, is_short.then_some(u32::MAX)),
        )
    } else {
        (i128::from(low), i128::from(high))
    };
    (bounds.0 <= bounds.1).then_some(bounds)
}

/// The number whose bits are those of a signed one, of which only those of `mask` count.
fn unsigned(bits: i64, mask: Option<u32>) -> i128 {
    let bits = bits.cast_unsigned();
    i128::from(mask.map_or(bits, |mask| bits & u64::from(mask)))
}
