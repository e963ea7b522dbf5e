//! Ten defects that a pipeline can have, each planted by itself: every one is found, and named by its class.

#![expect(
    clippy::excessive_nesting,
    reason = "a defect is planted where its test stands"
)]

use bytes::Bytes;
use skein_reader::diff::discrepancy::{Difference, Hand, Kind, Near};
use skein_reader::diff::side::{Side, Table, TablePoint};
use skein_shared::ids::OrgId;
use skein_shared::window::Resolution;

use super::bench::{definition, run, sides};
use super::pipelines::{
    EDGE, HOUR, METRICS, assert_found, compare_as, compare_with, day, records, table, timelines,
    write_all, write_changed,
};
use crate::world::{World, Written, key};

#[tokio::test]
async fn sides_without_a_defect_pass_with_one_look_at_each_segment() {
    let (report, lines) = compare_with(&[7, 9], table(&[7, 9]), async |world| {
        write_all(world, &[7, 9]).await;
    })
    .await;
    assert_eq!(
        report.verdict, "pass (declared input)",
        "{:?}",
        report.reasons
    );
    let points = 2 * METRICS * (18 + 24) * 6;
    assert_eq!((report.counts.equal, lines.len()), (points, 0));
    assert_eq!(
        (
            report.coverage.windows.compared,
            report.coverage.windows.total
        ),
        (4, 4)
    );
    let found = [report.coverage.left_points, report.coverage.right_points];
    assert_eq!(found, [points; 2], "what is equal is read once");
}

#[tokio::test]
async fn a_dropped_series_is_missing_as_a_whole() {
    let found = compare_with(&[7], table(&[7]), async |world| {
        write_changed(world, &[7], |record| {
            if record.key == key(7, 3) {
                record.points.clear();
            }
        })
        .await;
    })
    .await;
    let what = (Kind::MissingRight, None);
    assert_found(&found, what, "all of the series", (18 + 24) * 6);
}

#[tokio::test]
async fn a_boundary_that_is_off_by_one_shows_at_the_edge() {
    let found = compare_with(&[7], table(&[7]), async |world| {
        write_changed(world, &[7], |record| {
            record.points.retain(|(at, _)| *at > EDGE);
        })
        .await;
    })
    .await;
    let count = usize::try_from(METRICS).unwrap();
    assert_found(
        &found,
        (Kind::MissingRight, None),
        "some of the series",
        count,
    );
    assert!(found.1.iter().all(|it| it.of.near == Near::TimelineEdge));
    assert_eq!(found.0.by.edge["timeline edge"].missing_right, METRICS);
}

#[tokio::test]
async fn a_flush_that_was_written_twice_gives_duplicates() {
    let found = compare_with(&[7], table(&[7]), async |world| {
        write_all(world, &[7]).await;
        world.add(day(1), &records(7, day(1))[..24]).await;
    })
    .await;
    let what = (Kind::Duplicate, Some(Hand::Right));
    assert_found(&found, what, "", 24 * 6);
}

#[tokio::test]
async fn one_wrong_bit_is_found_and_called_so() {
    let found = compare_with(&[7], table(&[7]), async |world| {
        write_changed(world, &[7], |record| {
            if record.offset == day(1).number() * 1000 + 2 * 24 + 5 {
                let value = &mut record.points[3].1;
                *value = f64::from_bits(value.to_bits() ^ 1);
            }
        })
        .await;
    })
    .await;
    assert_found(&found, (Kind::DifferentValue, None), "one bit", 1);
    let line = &found.1[0];
    assert_eq!((line.metric, line.series.as_str()), (2, "m2{org=\"7\"}"));
    assert_ne!(line.left, line.right);
}

#[tokio::test]
async fn a_nan_with_another_payload_differs() {
    let found = compare_with(&[7], table(&[7]), async |world| {
        write_changed(world, &[7], |record| {
            for (_, value) in &mut record.points {
                if record.key.metric.0 == 4 && value.is_nan() {
                    *value = f64::NAN;
                }
            }
        })
        .await;
    })
    .await;
    let nans = found.1.len();
    assert!(nans > 0);
    assert_found(
        &found,
        (Kind::DifferentValue, None),
        "payload of a NaN",
        nans,
    );
}

#[tokio::test]
async fn swapped_orgs_differ_in_both() {
    let found = compare_with(&[7, 9], table(&[7, 9]), async |world| {
        write_changed(world, &[7, 9], |record| {
            if record.key.metric.0 == 1 {
                record.key.org = OrgId(16 - record.key.org.0);
            }
        })
        .await;
    })
    .await;
    let (report, lines) = &found;
    // The points are the same, but the series are each other's: their names tell.
    let named = |line: &Difference| (line.of.kind, line.of.how.clone(), line.metric);
    let expected = (Kind::DifferentMetadata, "other entries".to_owned(), 1);
    assert_eq!(
        lines.iter().map(named).collect::<Vec<_>>(),
        vec![expected; 4]
    );
    assert_eq!((report.verdict.as_str(), report.by.org.len()), ("fail", 2));
    assert!(report.orgs.iter().all(|org| org.verdict == "fail"));
}

#[tokio::test]
async fn a_truncated_rollup_lacks_buckets() {
    let mut old = table(&[7]);
    old.series.values_mut().for_each(|series| {
        series.points.retain(|point| point.window == day(1));
    });
    let sums = [Resolution::FiveMinutes, Resolution::OneHour];
    let whole = records(7, day(1));
    let (report, _) = compare_as(&[7], (old.clone(), Resolution::OneHour), async |world| {
        world.add_base(day(1), &whole, &sums).await;
    })
    .await;
    assert_eq!(
        report.verdict, "pass (declared input)",
        "{:?}",
        report.reasons
    );
    assert_eq!(report.counts.equal, METRICS * 24);
    // Readers pass over a rollup that has not all points of its segment. This one has them, in the wrong hours.
    let mut cut = whole.clone();
    let late = |record: &&mut Written| record.record_ms >= day(1).start().0 + 20 * HOUR;
    for record in cut
        .iter_mut()
        .filter(late)
        .filter(|it| it.key.metric.0 == 2)
    {
        record
            .points
            .iter_mut()
            .for_each(|(at, _)| *at -= 20 * HOUR - 1);
    }
    let (report, lines) = compare_as(&[7], (old, Resolution::OneHour), async |world| {
        world.add_base_of(day(1), &whole, (&sums, &cut)).await;
    })
    .await;
    let found: Vec<_> = lines
        .iter()
        .map(|it| (it.of.kind, it.of.how.as_str()))
        .collect();
    let too_many = [(Kind::DifferentValue, "count"); 4];
    let truncated = [(Kind::MissingRight, "some of the series"); 4];
    assert_eq!(
        found,
        [too_many, truncated].concat(),
        "{:?}",
        report.reasons
    );
    assert_eq!(
        (report.verdict.as_str(), report.counts.equal),
        ("fail", METRICS * 24 - 8)
    );
}

#[tokio::test]
async fn metadata_that_is_missing_is_found_by_series() {
    let found = compare_with(&[7], table(&[7]), async |world| {
        write_changed(world, &[7], |record| {
            if record.key.metric.0 == 0 {
                record.name = None;
            }
        })
        .await;
    })
    .await;
    let what = (Kind::DifferentMetadata, None);
    assert_found(&found, what, "none on the right", 2);
}

#[tokio::test]
async fn a_late_point_that_one_side_lacks_is_missing() {
    let mut old = table(&[7]);
    let late = TablePoint::new(day(0).start().0 + 7 * HOUR + 1, 3.5);
    old.series.get_mut(&key(7, 0)).unwrap().points.push(late);
    let found = compare_with(&[7], old, async |world| write_all(world, &[7]).await).await;
    let what = (Kind::MissingRight, None);
    assert_found(&found, what, "some of the series", 1);
    assert_eq!(found.1[0].at_ms, Some(late.at_ms));
}

#[tokio::test]
async fn a_point_of_a_time_that_its_side_does_not_write_has_the_wrong_owner() {
    let found = compare_with(&[7], table(&[7]), async |world| {
        write_all(world, &[7]).await;
        let early = Written {
            record_ms: EDGE,
            offset: 9,
            points: vec![(EDGE - 1, 1.0), (EDGE - 3 * HOUR, 2.0)],
            ..records(7, day(0))[0].clone()
        };
        let mut early = early;
        early.points.sort_by_key(|point| point.0);
        world.add(day(0), &[early]).await;
    })
    .await;
    assert_found(&found, (Kind::WrongOwner, Some(Hand::Right)), "", 2);
    assert_eq!(found.0.counts.equal, METRICS * (18 + 24) * 6);
}

#[tokio::test]
async fn what_the_old_side_alone_writes_is_its_own() {
    let mut old = table(&[7]);
    let early = TablePoint::new(EDGE - 1, 1.0);
    old.series.get_mut(&key(7, 0)).unwrap().points.push(early);
    let (report, lines) = compare_with(&[7], old, async |world| write_all(world, &[7]).await).await;
    assert_eq!(
        report.verdict, "pass (declared input)",
        "{:?}",
        report.reasons
    );
    assert!(lines.is_empty());
}

#[tokio::test]
async fn a_point_in_the_file_of_another_window_is_found() {
    let mut old = table(&[7]);
    let misplaced = TablePoint {
        window: day(1),
        ..TablePoint::new(day(2).start().0, 1.0)
    };
    old.series
        .get_mut(&key(7, 0))
        .unwrap()
        .points
        .push(misplaced);
    let found = compare_with(&[7], old, async |world| write_all(world, &[7]).await).await;
    assert_found(&found, (Kind::OutOfWindow, Some(Hand::Left)), "", 1);
}

#[tokio::test]
async fn a_damaged_file_is_a_finding_and_no_missing_points() {
    let mut damaged = String::new();
    let (report, lines) = compare_with(&[7], table(&[7]), async |world| {
        write_all(world, &[7]).await;
        let manifest = world
            .manifests
            .values()
            .find(|it| !it.segments.is_empty())
            .unwrap();
        damaged.clone_from(&manifest.segments[1].key);
        let mut bytes = world.bucket.get(&damaged).await.unwrap().to_vec();
        bytes[40] ^= 1;
        let id = manifest.segments[1].write_id;
        world
            .bucket
            .put(&damaged, Bytes::from(bytes), id)
            .await
            .unwrap();
    })
    .await;
    let what = (Kind::Undecodable, Some(Hand::Right));
    let is_found = |it: &Difference| (it.of.kind, it.of.side) == what;
    assert!(!lines.is_empty() && lines.iter().all(is_found));
    let objects = lines.iter().filter(|it| it.of.how == "object").count() as u64;
    let unread = report.counts.undecodable - objects;
    assert!(objects > 0 && unread > 0, "{:?}", report.counts);
    let points = METRICS * (18 + 24) * 6;
    assert_eq!(report.counts.equal + unread, points, "all else was read");
    let named = lines.iter().filter_map(|it| it.detail.as_ref());
    assert!(named.clone().count() > 0 && named.clone().all(|it| it.contains(&damaged)));
    assert_eq!(report.verdict, "fail");
}

#[tokio::test]
async fn nothing_never_passes_and_neither_does_input_that_nobody_vouches_for() {
    let (report, _) = compare_with(&[7], Table::new("old"), async |_| {}).await;
    assert_eq!(report.verdict, "inconclusive");
    assert!(
        report.reasons[0].contains("nothing was compared"),
        "{:?}",
        report.reasons
    );
    let mut world = World::new().await;
    write_all(&mut world, &[7]).await;
    let right = Side::Segments(world.bucket.clone());
    let sides = sides(table(&[7]), right, &world.bucket, &timelines(&[7]));
    let mut unsaid = definition(&[7]);
    unsaid.declared.clear();
    let (report, lines) = run(&sides, unsaid).await;
    assert_eq!((report.verdict.as_str(), lines.len()), ("inconclusive", 0));
    assert!(
        report.reasons[0].contains("equal input is not proven"),
        "{:?}",
        report.reasons
    );
    assert!(
        report
            .reasons
            .iter()
            .any(|it| it.contains("--declare-input")),
        "{:?}",
        report.reasons
    );
}
