//! A scan goes by the fleet that it began with, whatever is decided meanwhile, and can be begun with that one again.

use std::collections::BTreeMap;

use skein_config::cutover::timelines::Timelines;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::ErrorKind;
use skein_shared::bucket::Created;
use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::format::cutover_seal::CutoverSeal;
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::format::object_key::{CutoverKey, ObjectKey};
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::offset::Offset;
use skein_shared::timeline::{Pipeline, SealVector, Timeline};
use skein_shared::window::{TimeSpan, TimestampMs};
use skein_shared::{cutover_log, fleet_log};

use crate::old_folder::{OldFolder, OldRow};
use crate::stitched::{NEW, OLD, SWITCHED, WINDOW, timeline};
use crate::world::{self, World, Written, chain, key};

const ORG: OrgId = OrgId(5);

fn head(version: u64, timeline: Timeline, seal: Option<u64>) -> FleetHead {
    FleetHead {
        version,
        hash: EntryHash::default(),
        state: CutoverState::Switched,
        timeline,
        seal,
        mirror_percent: 0,
        old_place: None,
    }
}

async fn publish(world: &World, number: u64, heads: BTreeMap<OrgId, FleetHead>) {
    let fleet = CutoverFleet {
        number,
        unenrolled: Pipeline::New,
        at: TimestampMs(0),
        heads,
    };
    let id = WriteId::random();
    let key = ObjectKey::Cutover(CutoverKey::Fleet(number)).to_string();
    let bytes = fleet.encode(id);
    let created = world.bucket.create(&key, bytes, id).await.unwrap();
    assert_eq!(created, Created::Ours);
}

async fn snapshot(world: &World, number: Option<u64>) -> Snapshot {
    let reader = (Pipeline::New, Some(ORG));
    let timelines = Timelines::load_to_read(&world.bucket, number, reader)
        .await
        .unwrap();
    Snapshot::load(&world.bucket, timelines, Selection::Org(ORG))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_scan_ends_with_the_fleet_it_began_with_and_another_begins_with_it_again() {
    let (mut world, mut folder) = (World::new().await, OldFolder::new());
    let edge = WINDOW.start().0 + 3_600_000;
    let times = [edge - 1, edge];
    let rows = times.map(|ms| OldRow {
        key: key(ORG.0, 0),
        name: None,
        ms,
        value: 1.0,
    });
    folder.add(&rows);
    let written = Written {
        key: key(ORG.0, 0),
        name: None,
        record_ms: 1,
        partition: 0,
        offset: 1,
        points: times.iter().map(|ms| (*ms, 2.0)).collect(),
    };
    world.add(WINDOW, &[written]).await;
    let values = async |snapshot: Snapshot| {
        let snapshot = snapshot.with_old(folder.places().await);
        let (found, _) = world::scan(snapshot, TimeSpan::ALL).await.unwrap();
        found
            .points
            .iter()
            .map(|point| f64::from_bits(point.2))
            .collect::<Vec<f64>>()
    };
    assert_eq!(snapshot(&world, None).await.timelines().version(), 0);
    let old = BTreeMap::from([(ORG, head(1, timeline(&[(i64::MIN, OLD)]), None))]);
    publish(&world, 1, old).await;
    let begun = snapshot(&world, None).await;
    let switched = timeline(&[(i64::MIN, OLD), (edge, SWITCHED)]);
    publish(&world, 2, BTreeMap::from([(ORG, head(2, switched, None))])).await;
    assert_eq!(values(begun).await, [1.0, 1.0]);
    assert_eq!(values(snapshot(&world, Some(1)).await).await, [1.0, 1.0]);
    assert_eq!(values(snapshot(&world, Some(2)).await).await, [1.0, 2.0]);
    assert_eq!(values(snapshot(&world, None).await).await, [1.0, 2.0]);
    assert_eq!(values(snapshot(&world, Some(0)).await).await, [2.0, 2.0]);

    let reader = (Pipeline::New, Some(ORG));
    let missing = Timelines::load_to_read(&world.bucket, Some(9), reader)
        .await
        .unwrap_err();
    assert!(missing.to_string().contains("fleet/"), "{missing}");
}

#[tokio::test]
async fn a_fleet_of_a_later_build_is_refused_and_not_guessed_at() {
    let world = World::new().await;
    publish(&world, 1, BTreeMap::new()).await;
    let fleet = fleet_log::load(&world.bucket, 1).await.unwrap();
    let mut bytes = fleet.encode(WriteId::random()).to_vec();
    // The version stands behind magic and kind.
    let version = bytes.iter().skip(4).position(|byte| *byte != 0).unwrap();
    bytes[4 + version + 1] ^= 0x40;
    let key = ObjectKey::Cutover(CutoverKey::Fleet(2)).to_string();
    world
        .bucket
        .put(&key, bytes.into(), WriteId::random())
        .await
        .unwrap();
    let reader = (Pipeline::New, None);
    let error = Timelines::load_to_read(&world.bucket, None, reader)
        .await
        .unwrap_err();
    assert!(
        error.kind() != ErrorKind::Transient && error.to_string().contains(&key),
        "{error}"
    );
}

#[tokio::test]
async fn of_seals_only_those_are_read_that_lie_over_the_readers_points() {
    let world = World::new().await;
    let done = OrgId(6);
    for org in [ORG, done] {
        let seal = CutoverSeal {
            org,
            version: 3,
            vector: SealVector(BTreeMap::from([(chain(0), Offset(4))])),
            at: TimestampMs(0),
        };
        cutover_log::keep_seal(&world.bucket, &seal).await.unwrap();
    }
    let heads = BTreeMap::from([
        (
            ORG,
            head(3, timeline(&[(i64::MIN, OLD), (9, NEW)]), Some(3)),
        ),
        (done, head(3, timeline(&[(i64::MIN, NEW)]), Some(3))),
    ]);
    publish(&world, 1, heads).await;
    let load = async |org| {
        let before = world.bucket.requests().reads();
        let timelines = Timelines::load_to_read(&world.bucket, None, (Pipeline::New, org)).await;
        (timelines.unwrap(), world.bucket.requests().reads() - before)
    };
    // The fleet's own list and object; and one seal.
    assert_eq!(load(Some(done)).await.1, 2);
    let (timelines, requests) = load(None).await;
    assert_eq!(requests, 3);
    assert!(timelines.cutover(ORG).unwrap().seal.is_some());
    assert_eq!(load(Some(ORG)).await, (timelines, 3));
}
