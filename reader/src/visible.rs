//! Timeline → owner: which points of an org readers see.

use skein_config::cutover::owner::owner;
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::OrgId;
use skein_shared::timeline::Pipeline;
use skein_shared::window::TimestampMs;

/// Leaves the points of `org` that the new pipeline owns, and so shows (SK-12). Orders are dropped: they
/// have done their work.
pub fn keep_visible(timelines: &Timelines, org: OrgId, points: &mut SeriesBuffer) {
    points.orders.clear();
    let (Some(first), Some(last)) = (points.timestamps_ms.first(), points.timestamps_ms.last())
    else {
        return;
    };
    let is_visible = |ms: i64| owner(timelines, org, TimestampMs(ms)) == Pipeline::New;
    let timeline = timelines.of(org);
    if timeline.phase_at(TimestampMs(*first)) == timeline.phase_at(TimestampMs(*last)) {
        if !is_visible(*first) {
            points.clear();
        }
        return;
    }
    let keep: Vec<bool> = points
        .timestamps_ms
        .iter()
        .map(|ms| is_visible(*ms))
        .collect();
    retain(&mut points.timestamps_ms, &keep);
    retain(&mut points.values, &keep);
}

fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| *keep.next().expect("both columns are as long"));
}
