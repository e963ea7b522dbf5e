//! A node goes by the newest fleet, says so, and knows when it may not.

use std::collections::BTreeMap;
use std::time::Duration;

use skein_config::cutover::acknowledger::{Acknowledger, FleetView, Freshness};
use skein_config::cutover::settings::{CutoverSettings, Unenrolled};
use skein_config::cutover::timelines::OwnershipFilter;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Mood, Storage};
use skein_shared::ack_log;
use skein_shared::bucket::{Bucket, BucketSettings, Created, Credentials, Encryption};
use skein_shared::cutover::{CutoverState, NodeRole};
use skein_shared::format::cutover_fleet::{CutoverFleet, FleetHead};
use skein_shared::format::delete_entry::EntryHash;
use skein_shared::format::object_key::CutoverKey;
use skein_shared::ids::{OrgId, WriteId};
use skein_shared::retry::RetryPolicy;
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

const ORG: OrgId = OrgId(7);
const HOUR: i64 = 3_600_000;

struct World {
    server: EmbeddedBucket,
    bucket: Bucket,
}

impl World {
    async fn new() -> Self {
        let server = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
        server.create_bucket("skein-test").unwrap();
        let settings = BucketSettings {
            bucket: "skein-test".into(),
            prefix: "p".into(),
            endpoint: Some(server.endpoint()),
            region: "us-east-1".into(),
            path_style: true,
            credentials: Credentials::Static {
                access_key: server.access_key().into(),
                secret_key: server.secret_key().into(),
            },
            encryption: Encryption::BucketDefault,
            authorities: None,
            retry: RetryPolicy::default(),
        };
        let bucket = Bucket::open(&settings).await.unwrap();
        Self { server, bucket }
    }

    /// A fleet that says of the org that the new pipeline writes from `edge` on.
    async fn publish(&self, number: u64, version: u64, edge: TimestampMs) {
        let phase = |from, writers| Phase {
            from,
            writers,
            visible: Pipeline::Old,
        };
        let phases = [
            phase(TimestampMs(i64::MIN), Writers::Only(Pipeline::Old)),
            phase(edge, Writers::Both),
        ];
        let head = FleetHead {
            version,
            hash: EntryHash(version.into()),
            state: CutoverState::Starting,
            timeline: Timeline::new(phases).unwrap(),
            seal: None,
            mirror_percent: 0,
            old_place: None,
        };
        let fleet = CutoverFleet {
            number,
            unenrolled: Pipeline::Old,
            at: self.bucket.now().await.unwrap(),
            heads: BTreeMap::from([(ORG, head)]),
        };
        let (key, id) = (CutoverKey::Fleet(number).to_string(), WriteId::random());
        let created = self.bucket.create(&key, fleet.encode(id), id);
        assert_eq!(created.await.unwrap(), Created::Ours);
    }

    async fn start(&self, settings: &CutoverSettings) -> Acknowledger {
        Acknowledger::start(&self.bucket, NodeRole::Compactor, settings)
            .await
            .unwrap()
    }

    /// The bucket's clock, and an hour, which is long after every margin.
    async fn in_an_hour(&self) -> TimestampMs {
        TimestampMs(self.bucket.now().await.unwrap().0 + HOUR)
    }

    async fn acknowledged(&self) -> Vec<(u64, usize)> {
        let acks = ack_log::all(&self.bucket).await.unwrap();
        let said = acks.iter().map(|ack| (ack.fleet, ack.fenced.len()));
        said.collect()
    }

    /// Waits until the one node that there is has acknowledged this.
    async fn wait_for_ack(&self, expected: (u64, usize)) {
        while self.acknowledged().await != [expected] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn settings(liveness: Millis) -> CutoverSettings {
    CutoverSettings {
        unenrolled: Unenrolled::Old,
        poll: Millis(20),
        liveness,
        clock_skew: Millis(0),
        flush_interval: Millis::seconds(600),
        grid: Millis::seconds(1),
        hold: Millis(0),
        token_lifetime: Millis::seconds(1),
        late_horizon: Millis(0),
        evidence_age: Millis::seconds(1),
        coverage_percent: 95,
        old_place: String::new(),
        dual_lookup: false,
    }
}

async fn wait_for(acknowledger: &Acknowledger, is_there: impl Fn(&FleetView) -> bool) -> FleetView {
    let mut views = acknowledger.views();
    let view = views.wait_for(|view| is_there(view)).await.unwrap();
    view.clone()
}

#[tokio::test]
async fn a_node_acknowledges_what_it_goes_by_until_it_ends() {
    let world = World::new().await;
    let acknowledger = world.start(&settings(Millis::seconds(60))).await;
    assert_eq!(world.acknowledged().await, [(0, 0)]);
    world.publish(1, 1, world.in_an_hour().await).await;
    let view = wait_for(&acknowledger, |view| view.timelines.version() == 1).await;
    assert!(view.timelines.cutover(ORG).is_some() && view.fenced.is_empty());
    world.wait_for_ack((1, 0)).await;
    // One that starts goes by the newest at once.
    let second = world.start(&settings(Millis::seconds(60))).await;
    assert_eq!(second.timelines().version(), 1);
    assert_ne!(second.node(), acknowledger.node());
    assert_eq!(world.acknowledged().await.len(), 2);
    second.end().await.unwrap();
    acknowledger.end().await.unwrap();
    assert_eq!(world.acknowledged().await, []);
}

#[tokio::test]
async fn a_node_that_cannot_read_the_fleet_filters_nothing_until_it_can() {
    let world = World::new().await;
    world.publish(1, 1, world.in_an_hour().await).await;
    let acknowledger = world.start(&settings(Millis(300))).await;
    assert_eq!(acknowledger.view().freshness, Freshness::Fresh);
    world.server.set_mood(Mood::Stalls);
    let stale = wait_for(&acknowledger, |view| view.freshness == Freshness::Stale).await;
    assert_eq!(stale.timelines.filter(), OwnershipFilter::Everything);
    assert_eq!(stale.timelines.version(), 1);
    world.server.set_mood(Mood::Serves);
    let fresh = wait_for(&acknowledger, |view| view.freshness == Freshness::Fresh).await;
    assert_eq!(fresh.timelines.filter(), OwnershipFilter::Owned);
    acknowledger.end().await.unwrap();
}

#[tokio::test]
async fn an_org_of_which_an_edge_was_learned_too_late_is_fenced_until_its_next_version() {
    let world = World::new().await;
    let acknowledger = world.start(&settings(Millis::seconds(60))).await;
    // Ten minutes ought to be left of the lead.
    let soon = TimestampMs(world.bucket.now().await.unwrap().0 + HOUR / 60);
    world.publish(1, 1, soon).await;
    world.wait_for_ack((1, 1)).await;
    let fenced = acknowledger.view().fenced;
    assert!(fenced.contains(&ORG), "{fenced:?}");
    // Another org's version says nothing of it.
    world.publish(2, 1, soon).await;
    world.wait_for_ack((2, 1)).await;
    world.publish(3, 2, soon).await;
    world.wait_for_ack((3, 0)).await;
    acknowledger.end().await.unwrap();
}
