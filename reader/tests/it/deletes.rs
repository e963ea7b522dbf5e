//! Deleted points are masked at once, in points and in buckets; all others are read as ever.

use std::collections::BTreeMap;

use skein_reader::series_names;
use skein_reader::snapshot::Selection;
use skein_shared::bucket::Created;
use skein_shared::delete_log;
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, EntryHash, Statement};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{Generation, MetricId, OrgId, SeriesKey, WriteId};
use skein_shared::manifest_log;
use skein_shared::offset::Offset;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::buckets::{BUCKETS, expected, random_span, random_world, scan};
use crate::world::{Place, World, Written, chain, key};

const WINDOW: Window = Window::from_number(19_700);

impl World {
    /// Puts a delete of all records below `ends` of each partition.
    pub(crate) async fn delete(
        &self,
        selector: DeleteSelector,
        ends: &[(u32, i64)],
    ) -> DeleteEntry {
        let log = delete_log::load(&self.bucket).await.unwrap();
        let before = ObjectKey::Delete(log.newest()).to_string();
        let before = self.bucket.find(&before).await.unwrap();
        let ends = ends.iter();
        let delete = DeleteEntry {
            number: log.newest() + 1,
            selector,
            positions: Some(ends.map(|(p, end)| (chain(*p), Offset(*end))).collect()),
            stated: Statement::default(),
            at: TimestampMs(0),
            deadline: TimestampMs(0),
            previous: before.map_or_else(EntryHash::default, |bytes| EntryHash::of(&bytes)),
        };
        let (key, id) = (
            ObjectKey::Delete(delete.number).to_string(),
            WriteId::random(),
        );
        let created = self.bucket.create(&key, delete.encode(id), id).await;
        assert_eq!(created.unwrap(), Created::Ours);
        delete
    }

    /// What is left when the deletes' points are struck out of all that was written, and then the last write wins.
    pub(crate) fn expected_without(&self, deletes: &[DeleteEntry]) -> Vec<(SeriesKey, i64, u64)> {
        let mut left: BTreeMap<(SeriesKey, i64), (Place, u64)> = BTreeMap::new();
        for (key, ms, place, bits) in &self.written {
            let (_, partition, offset) = *place;
            let is_deleted = deletes.iter().any(|delete| {
                let DeleteSelector { org, metric, span } = delete.selector;
                org == key.org
                    && metric.is_none_or(|metric| metric == key.metric)
                    && span.contains(TimestampMs(*ms))
                    && Offset(offset) < delete.end_of(&chain(partition))
            });
            if !is_deleted {
                let best = left.entry((*key, *ms)).or_insert((*place, *bits));
                *best = (*best).max((*place, *bits));
            }
        }
        let left = left.into_iter();
        left.map(|((key, ms), (_, bits))| (key, ms, bits)).collect()
    }
}

fn org(org: u64) -> DeleteSelector {
    DeleteSelector {
        org: OrgId(org),
        metric: None,
        span: TimeSpan::ALL,
    }
}

/// One record of each of some metrics, one point in it.
fn records(org: u64, metrics: std::ops::Range<u64>) -> Vec<Written> {
    let record = |metric: u64| Written {
        key: key(org, metric),
        name: Some(format!("m{metric}")),
        record_ms: 5,
        partition: 0,
        offset: i64::try_from(metric).unwrap(),
        points: vec![(WINDOW.start().0, 1.0)],
    };
    metrics.map(record).collect()
}

#[tokio::test]
async fn reads_give_what_is_left_when_deleted_points_are_struck_out_first() {
    let (mut masked, mut from_rollups) = (0, 0);
    for seed in 100..130 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (world, _) = random_world(&mut rng).await;
        let before = world.expected(Selection::All, TimeSpan::ALL).len();
        let mut deletes = Vec::new();
        for _ in 0..rng.usize(1..4) {
            let metric = [None, Some(MetricId(0)), Some(MetricId(7))][rng.usize(0..3)];
            let span = [TimeSpan::ALL, WINDOW.span(), random_span(&mut rng)][rng.usize(0..3)];
            let span = Some(span).filter(|span| !span.is_empty());
            let span = span.unwrap_or(TimeSpan::ALL);
            let selector = DeleteSelector {
                org: OrgId([1, 3][rng.usize(0..2)]),
                metric,
                span,
            };
            let ends: Vec<(u32, i64)> = (0..3).map(|p| (p, rng.i64(0..700))).collect();
            deletes.push(world.delete(selector, &ends).await);
        }
        let left = world.expected_without(&deletes);
        masked += before - left.len().min(before);
        let (found, summary) = world.scan(Selection::All, TimeSpan::ALL).await.unwrap();
        let mut pairs = found.points.iter().zip(&left);
        assert_eq!(pairs.find(|(a, b)| a != b), None, "seed {seed}");
        assert_eq!(found.points.len(), left.len(), "seed {seed}");
        assert_eq!(summary.points, left.len() as u64);
        for resolution in BUCKETS {
            let whole = world.snapshot(Selection::All).await;
            let (buckets, summary) = scan(whole, TimeSpan::ALL, resolution).await;
            let expected = expected(&world, Selection::All, TimeSpan::ALL, resolution).await;
            assert_eq!(buckets, expected, "seed {seed} {resolution}");
            from_rollups += summary.from_rollups;
        }
    }
    assert!(
        masked > 500 && from_rollups > 100,
        "{masked} {from_rollups}"
    );
}

#[tokio::test]
async fn a_stored_bucket_of_deleted_points_is_not_served_and_others_are() {
    let mut world = World::new().await;
    let hours = [Resolution::OneHour];
    for org in [1, 3] {
        world.add_base(WINDOW, &records(org, 0..4), &hours).await;
    }
    world.delete(org(3), &[(0, 2)]).await;
    for (org, buckets, stored) in [(1, 4, 4), (3, 2, 0)] {
        let snapshot = world.snapshot(Selection::Org(OrgId(org))).await;
        let (found, summary) = scan(snapshot, TimeSpan::ALL, Resolution::OneHour).await;
        assert_eq!(
            (found.len(), summary.from_rollups),
            (buckets, stored),
            "{org}"
        );
    }
}

#[tokio::test]
async fn a_segment_that_a_delete_was_carried_out_on_is_not_masked_again() {
    let mut world = World::new().await;
    world.add(WINDOW, &records(1, 0..4)).await;
    world.delete(org(1), &[(0, 3)]).await;
    let points = async |world: &World| {
        let (found, _) = world.scan(Selection::All, TimeSpan::ALL).await.unwrap();
        found.points.len()
    };
    assert_eq!(points(&world).await, 1);
    for (segment, shard) in [(1, 0), (0, 1)] {
        let manifest = world.manifests.values_mut().next().unwrap();
        manifest.generation = Generation(manifest.generation.0 + 1);
        manifest.segments[0].deletes_applied = segment;
        manifest.deletes_applied = shard;
        let id = WriteId::random();
        manifest_log::commit(&world.bucket, manifest, id)
            .await
            .unwrap();
        assert_eq!(points(&world).await, 4);
    }
}

#[tokio::test]
async fn names_of_deleted_series_are_not_told() {
    let mut world = World::new().await;
    let named = |text: &str, offset| {
        let series: skein_shared::series::Series = text.parse().unwrap();
        Written {
            key: SeriesKey {
                org: OrgId(1),
                metric: series.id(),
            },
            name: Some(text.to_owned()),
            record_ms: 5,
            partition: 0,
            offset,
            points: vec![(WINDOW.start().0, 1.0)],
        }
    };
    let mut series = [named("a{host=\"x\"}", 1), named("b{user=\"y\"}", 5)];
    series.sort_by_key(|written| written.key);
    world.add(WINDOW, &series).await;
    world.delete(org(1), &[(0, 5)]).await;
    let snapshot = world.snapshot(Selection::Org(OrgId(1))).await;
    let texts = series_names::list(&snapshot).await.unwrap();
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["b{user=\"y\"}"]);
    let keys = series_names::tag_keys(&snapshot).await.unwrap();
    assert!(keys.iter().eq(["user"]), "{keys:?}");
}
