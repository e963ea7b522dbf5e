//! What has expired is not read; buckets that outlive their points are, bit by bit as they were.

use std::collections::BTreeMap;

use skein_reader::series_names;
use skein_reader::snapshot::Selection;
use skein_shared::format::delete_entry::DeleteSelector;
use skein_shared::format::shard_manifest::FirstKept;
use skein_shared::ids::{Generation, OrgId, WriteId};
use skein_shared::manifest_log;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::buckets::{BUCKETS, Bits, scan};
use crate::world::{World, Written, key};

const WINDOW: Window = Window::from_number(19_700);
const HOUR: i64 = 3_600_000;

/// Points of every seven minutes through ten hours, from a minute on.
fn written(org: u64, minute: i64, offset: i64) -> Written {
    let start = WINDOW.start().0 + minute * 60_000;
    Written {
        key: key(org, 5),
        name: Some(format!("of_{org}")),
        record_ms: offset,
        partition: 0,
        offset,
        points: (0..85)
            .map(|i| {
                (
                    start + i * 7 * 60_000,
                    0.1 * f64::from(i32::try_from(i * offset).unwrap()),
                )
            })
            .collect(),
    }
}

impl World {
    /// Says that `resolution` of everybody, or of one org, has expired in the window.
    async fn expire(&mut self, resolution: Resolution, org: Option<OrgId>) {
        let next = Some(Window::from_number(WINDOW.number() + 1));
        let cut = match org {
            None => FirstKept {
                everyone: next,
                orgs: BTreeMap::new(),
            },
            Some(org) => FirstKept {
                everyone: None,
                orgs: BTreeMap::from([(org, next)]),
            },
        };
        let manifest = self.manifests.values_mut().next().unwrap();
        manifest.expiry = manifest
            .expiry
            .advanced(&BTreeMap::from([(resolution, cut)]));
        self.commit_again().await;
    }

    /// Takes the raw segments of the window away.
    async fn empty(&mut self) {
        let manifest = self.manifests.values_mut().next().unwrap();
        manifest
            .segments
            .retain(|segment| !segment.resolution.is_raw());
        manifest.expiry.empty(WINDOW);
        self.commit_again().await;
    }

    async fn commit_again(&mut self) {
        let manifest = self.manifests.values_mut().next().unwrap();
        manifest.generation = Generation(manifest.generation.0 + 1);
        manifest_log::commit(&self.bucket, manifest, WriteId::random())
            .await
            .unwrap();
    }

    async fn buckets(&self, selection: Selection, resolution: Resolution) -> Vec<Bits> {
        let snapshot = self.snapshot(selection).await;
        scan(snapshot, TimeSpan::ALL, resolution).await.0
    }

    async fn orgs_of_points(&self) -> Vec<u64> {
        let (found, _) = self.scan(Selection::All, TimeSpan::ALL).await.unwrap();
        let mut orgs: Vec<u64> = found.points.iter().map(|(key, ..)| key.org.0).collect();
        orgs.dedup();
        orgs
    }
}

/// Orgs 1 and 3 share a shard, with rollups of 5 minutes and an hour.
async fn shared_world() -> World {
    let mut world = World::new().await;
    let base = [written(1, 0, 1), written(3, 0, 2)];
    let rollups = [Resolution::FiveMinutes, Resolution::OneHour];
    world.add_base(WINDOW, &base, &rollups).await;
    world
}

#[tokio::test]
async fn an_org_whose_points_have_expired_is_masked_and_keeps_its_stored_buckets() {
    let mut world = shared_world().await;
    let mut stored = BTreeMap::new();
    for resolution in BUCKETS {
        let own = world.buckets(Selection::Org(OrgId(1)), resolution).await;
        stored.insert(resolution, own);
    }
    // Over the base; of org 1 nobody sees it any more.
    let late = [written(1, 3, 3), written(3, 3, 4)];
    world.add(WINDOW, &late).await;
    let mut other = BTreeMap::new();
    for resolution in BUCKETS {
        let own = world.buckets(Selection::Org(OrgId(3)), resolution).await;
        other.insert(resolution, own);
    }
    world.expire(Resolution::Raw, Some(OrgId(1))).await;
    assert_eq!(world.orgs_of_points().await, [3]);
    for resolution in BUCKETS {
        let expected = [&stored[&resolution][..], &other[&resolution]].concat();
        assert!(!stored[&resolution].is_empty());
        assert_eq!(world.buckets(Selection::All, resolution).await, expected);
    }
    world.expire(Resolution::FiveMinutes, Some(OrgId(1))).await;
    let finest = world.buckets(Selection::All, Resolution::FiveMinutes).await;
    assert_eq!(finest, other[&Resolution::FiveMinutes]);
    let hours = world
        .buckets(Selection::Org(OrgId(1)), Resolution::OneHour)
        .await;
    assert_eq!(hours, stored[&Resolution::OneHour]);
}

#[tokio::test]
async fn rollups_whose_points_are_gone_are_read_until_they_expire() {
    let mut world = shared_world().await;
    let mut before = BTreeMap::new();
    for resolution in BUCKETS {
        before.insert(resolution, world.buckets(Selection::All, resolution).await);
    }
    world.expire(Resolution::Raw, None).await;
    world.empty().await;
    assert!(world.orgs_of_points().await.is_empty());
    for resolution in BUCKETS {
        let buckets = world.buckets(Selection::All, resolution).await;
        assert_eq!(buckets, before[&resolution]);
    }
    let snapshot = world.snapshot(Selection::Org(OrgId(3))).await;
    let metric = series_names::list(&snapshot).await.unwrap();
    assert_eq!(metric.len(), 1, "a series is still found by its name");
    world.expire(Resolution::FiveMinutes, None).await;
    assert!(
        world
            .buckets(Selection::All, Resolution::FiveMinutes)
            .await
            .is_empty()
    );
    let days = world.buckets(Selection::All, Resolution::OneDay).await;
    assert_eq!(days, before[&Resolution::OneDay], "made of hours");
    world.expire(Resolution::OneHour, None).await;
    assert!(
        world
            .buckets(Selection::All, Resolution::OneDay)
            .await
            .is_empty()
    );
    let snapshot = world.snapshot(Selection::All).await;
    assert!(series_names::list(&snapshot).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_bucket_that_may_hold_a_deleted_point_goes_whole_once_its_points_are_gone() {
    let mut world = shared_world().await;
    let before = world.buckets(Selection::All, Resolution::OneHour).await;
    world.expire(Resolution::Raw, None).await;
    world.empty().await;
    let start = WINDOW.start().0;
    let span = TimeSpan {
        from: TimestampMs(start + HOUR + 1),
        to: TimestampMs(start + 3 * HOUR),
    };
    let selector = DeleteSelector {
        org: OrgId(3),
        metric: None,
        span,
    };
    world.delete(selector, &[(0, 99)]).await;
    let is_left = |bits: &&Bits| {
        let hour = (bits.1 - start) / HOUR;
        bits.0.org != OrgId(3) || hour == 0 || hour >= 3
    };
    let left: Vec<Bits> = before.iter().filter(is_left).copied().collect();
    assert_eq!(left.len(), before.len() - 2);
    // Also when nothing of points is left to be carried out.
    for _ in 0..2 {
        let found = world.buckets(Selection::All, Resolution::OneHour).await;
        assert_eq!(found, left);
        let manifest = world.manifests.values_mut().next().unwrap();
        manifest.deletes_applied = 1;
        world.commit_again().await;
    }
}
