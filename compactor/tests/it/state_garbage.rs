//! State goes when every manifest has passed it and it is old, after a bound says so; nothing that needs it is misled.

use std::collections::BTreeSet;
use std::sync::Arc;

use skein_compactor::Error;
use skein_compactor::rebuild::{Found, Mode as RebuildMode, RebuildOptions, WindowRow, rebuild};
use skein_compactor::run::RunOptions;
use skein_compactor::state_garbage::{Mode, StateReport, StateRetention, collect_at};
use skein_config::cutover::timelines::Timelines;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::replay_job::{OnGone, Only, ReplayInto, ReplayJob};
use skein_shared::ids::{JobId, TopicName, WriteId};
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::Limits;
use skein_shared::state_bound_log;
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};
use tokio_util::sync::CancellationToken;

use crate::read_back::{assert_same, expected, live_points};
use crate::world::{DAY, NOON, Record, World, chain, flush_of, record};

const KEEP: StateRetention = StateRetention {
    state: Millis::seconds(14 * 86_400),
    pin: Millis::seconds(3600),
};

const HOUR: i64 = 3_600_000;

/// `hours` later than now, when all of the tests' state is as old as that.
async fn collect(world: &World, hours: i64, mode: Mode) -> StateReport {
    let now = world.bucket.now().await.unwrap();
    let later = TimestampMs(now.0 + hours * HOUR);
    collect_at(&world.bucket, later, KEEP, mode).await.unwrap()
}

const TWO_WEEKS: i64 = 15 * 24;

async fn state_keys(world: &World) -> BTreeSet<String> {
    let listed = world.bucket.list("", None).await.unwrap();
    let keys = listed.into_iter().map(|object| object.key);
    let is_state = |key: &String| matches!(key.parse(), Ok(ObjectKey::State { .. }));
    keys.filter(is_state).collect()
}

fn points_of(offset: i64, window: i64) -> Record {
    let start = NOON + window * DAY + offset;
    let points: Vec<_> = (0..20).map(|i| (start + i * 60_000, i as f64)).collect();
    record((0, offset, start), (1000, 1), &points)
}

/// A flush and a run for each record, and everything closed.
async fn compacted(records: &[Record]) -> World {
    let world = World::new().await;
    for record in records {
        world.flush(&flush_of(vec![record.clone()])).await;
        world.compact().await;
    }
    world.tell_at_end(NOON + 30 * DAY).await;
    world.compact().await;
    world
}

async fn try_rebuild(world: &World, span: TimeSpan) -> skein_compactor::Result<Vec<WindowRow>> {
    let options = RunOptions {
        limits: Limits::default(),
        timelines: Timelines::new_owns_everything(),
    };
    let what = RebuildOptions {
        shards: BTreeSet::new(),
        span,
        mode: RebuildMode::Compare,
    };
    let controls = (CancellationToken::new(), Arc::new(|_| ()) as _);
    let settings = crate::world::settings();
    rebuild(&settings, &world.bucket, options, &what, controls).await
}

#[tokio::test(flavor = "multi_thread")]
async fn state_goes_once_it_is_old_and_every_manifest_has_passed_it_a_pin_after_the_bound() {
    let mut records: Vec<Record> = (0..4).map(|n| points_of(n, n)).collect();
    let world = compacted(&records).await;
    let all = state_keys(&world).await;
    assert_eq!(collect(&world, 1, Mode::Act).await, StateReport::default());
    let planned = collect(&world, TWO_WEEKS, Mode::DryRun).await;
    assert_eq!((planned.created, planned.moved, planned.objects), (1, 1, 0));
    assert_eq!(state_bound_log::all(&world.bucket).await.unwrap(), []);
    assert_eq!(collect(&world, TWO_WEEKS, Mode::Act).await, planned);
    assert_eq!(state_keys(&world).await, all, "the bound comes first");
    assert_eq!(
        collect(&world, TWO_WEEKS, Mode::Act).await,
        StateReport::default()
    );

    // What no manifest has passed stays, and what came last in its chain.
    let late = points_of(4, 4);
    world.flush(&flush_of(vec![late.clone()])).await;
    records.push(late);
    let done = collect(&world, TWO_WEEKS + 2, Mode::Act).await;
    assert_eq!((done.bound, done.flushes, done.objects), (1, 3, 3));
    assert_eq!(state_keys(&world).await.len(), 2);
    world.compact().await;
    assert_same(&live_points(&world).await, &expected(&records));
    let bounds = state_bound_log::all(&world.bucket).await.unwrap();
    assert!(bounds.windows(2).all(|pair| pair[1].follows(&pair[0])));
    assert_eq!(bounds.last().unwrap().done, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_was_cut_short_is_finished_by_the_next() {
    let records: Vec<Record> = (0..4).map(|n| points_of(n, n)).collect();
    let world = compacted(&records[..3]).await;
    // The last of a chain stays.
    let first = state_keys(&world).await.pop_first().unwrap();
    world.flush(&flush_of(records[3..].to_vec())).await;
    world.compact().await;
    collect(&world, TWO_WEEKS, Mode::Act).await;
    // Killed after its first delete.
    world.bucket.delete(&first).await.unwrap();
    let (one, two) = tokio::join!(
        collect(&world, TWO_WEEKS + 2, Mode::Act),
        collect(&world, TWO_WEEKS + 2, Mode::Act),
    );
    let deleted = [one.objects, two.objects];
    assert!(
        deleted.contains(&3) && deleted.iter().all(|objects| [0, 3].contains(objects)),
        "{deleted:?}: one that begins when the other is done finds nothing left"
    );
    assert_eq!(state_keys(&world).await.len(), 1);
    let bounds = state_bound_log::all(&world.bucket).await.unwrap();
    assert_eq!(
        (bounds.len(), bounds[1].done),
        (2, 1),
        "one of the two was first"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_refuses_windows_whose_state_is_gone_and_makes_later_ones() {
    let records: Vec<Record> = (0..8).map(|n| points_of(n, n)).collect();
    let world = compacted(&records).await;
    let from = |window: i64| TimeSpan {
        from: TimestampMs(NOON + window * DAY),
        to: TimeSpan::ALL.to,
    };
    collect(&world, TWO_WEEKS, Mode::Act).await;
    // The bound alone says that it may be gone.
    for hours in [0, 2] {
        collect(&world, TWO_WEEKS + hours, Mode::Act).await;
        for window in [0, 6] {
            let error = try_rebuild(&world, from(window)).await.unwrap_err();
            assert!(matches!(error, Error::StateGone { .. }), "{error}");
        }
    }
    // Of a record at noon of day 6 no point can lie after day 7: limits.timestamp_future is a day.
    world.flush(&flush_of(vec![points_of(8, 9)])).await;
    world.tell_at_end(NOON + 30 * DAY).await;
    world.compact().await;
    let rows = try_rebuild(&world, from(9)).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows.iter().all(|row| row.found == Found::Same), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_quarantine_or_read_by_a_replay_is_kept() {
    let mut records: Vec<Record> = (0..5).map(|n| points_of(n, n)).collect();
    records[1].value = vec![0xff; 9];
    records[1].header = Some("1000");
    let world = compacted(&records).await;
    let job = ReplayJob {
        job: JobId(7),
        created: TimestampMs(NOON),
        into: ReplayInto::Topic(TopicName::new("again").unwrap()),
        spans: [(chain(0), Span::new(Offset(1), Offset(3)))].into(),
        fills: [].into(),
        only: Only::default(),
        left_out: None,
        on_gone: OnGone::Refuse,
    };
    let key = ObjectKey::ReplayJob(job.job).to_string();
    let id = WriteId::random();
    world.bucket.put(&key, job.encode(id), id).await.unwrap();
    assert_eq!(collect(&world, TWO_WEEKS, Mode::Act).await.moved, 0);
    world.bucket.delete(&key).await.unwrap();
    collect(&world, TWO_WEEKS, Mode::Act).await;
    let done = collect(&world, TWO_WEEKS + 2, Mode::Act).await;
    assert_eq!((done.flushes, done.objects, done.held), (4, 3, 1));
    assert_eq!(state_keys(&world).await.len(), 2);
}
