use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use skein_config::cutover::timelines::{OrgCutover, Timelines};
use skein_shared::cutover::CutoverState;
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::compact_plan::SeriesRange;
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, EntryHash, Statement};
use skein_shared::format::order_column::{ChainIndex, Order};
use skein_shared::format::profile::Profile;
use skein_shared::format::segment_writer::SegmentIdentity;
use skein_shared::format::shard_manifest::{Expiry, FirstKept};
use skein_shared::ids::{
    Chain, Incarnation, MetricId, PartitionId, ShardId, SourceName, TopicName,
};
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, Payload, PayloadView};
use skein_shared::timeline::{Phase, Pipeline, SealVector, Timeline, Writers};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::live_segments::LiveSegments;
use crate::ownership_filter::OwnershipRule;
use crate::payload_arena::PayloadArena;
use crate::segment_input::MergeMemory;
use crate::series_grouper::SeriesGrouper;
use crate::spill::SpillPlace;
use crate::stage_timers::StageTimers;

const WINDOW: Window = Window::from_number(19_700);
const MINUTE: i64 = 60_000;

/// A payload at an offset of its own.
#[derive(Debug, Clone)]
struct Write {
    series: (u64, u64),
    chain: u32,
    record_ms: Option<i64>,
    /// Times, which may go back.
    points: Vec<i64>,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let series = prop::sample::select(vec![(1, 1), (1, 1), (1, 1), (1, 2), (2, 1), (3, 9)]);
    let points = (0..600_i64, -3..9_i64, 1..60_i64).prop_map(|(start, step, count)| {
        // Not before the window.
        let time = |n: i64| WINDOW.start().0 + (start * MINUTE / 10 + n * step * 700).max(0);
        (0..count).map(time).collect()
    });
    let write = (series, 0..3_u32, prop::option::of(0..500_i64), points);
    let write = write.prop_map(|(series, chain, record_ms, points)| Write {
        series,
        chain,
        record_ms,
        points,
    });
    // Of most series there are more payloads than are handed out at once.
    prop::collection::vec(write, 1..400)
}

fn chains() -> ChainTable {
    let chain = |partition| Chain {
        source: SourceName::new("src").unwrap(),
        topic: TopicName::new("points").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    };
    ChainTable::new((0..3).map(chain).collect())
}

fn arena_of(writes: &[Write]) -> PayloadArena {
    let mut arena = PayloadArena::default();
    for (offset, write) in writes.iter().enumerate() {
        let mut bytes = Vec::new();
        let value = |index: usize| f64::from(u32::try_from(offset * 100 + index).unwrap());
        Payload {
            org: OrgId(write.series.0),
            metric: MetricId(write.series.1),
            timestamps: write.points.iter().map(|ms| TimestampMs(*ms)).collect(),
            values: (0..write.points.len()).map(value).collect(),
            metadata: vec![("offset".into(), offset.to_string())],
        }
        .encode(&mut bytes);
        let view = PayloadView::parse(&bytes, &Limits::default(), None).unwrap();
        let order = Order {
            seals: 0,
            record_timestamp: write.record_ms.map(TimestampMs),
            chain: ChainIndex(write.chain),
            offset: Offset(i64::try_from(offset).unwrap()),
        };
        arena.push(&view, order, |_| Some(1));
    }
    arena
}

/// Of the first series ten minutes, and all that a series is.
fn deletes() -> Vec<DeleteEntry> {
    let delete = |number, (org, metric), minutes: Range<i64>| DeleteEntry {
        number,
        selector: DeleteSelector {
            org: OrgId(org),
            metric: Some(MetricId(metric)),
            span: TimeSpan {
                from: TimestampMs(WINDOW.start().0 + minutes.start * MINUTE),
                to: TimestampMs(WINDOW.start().0 + minutes.end * MINUTE),
            },
        },
        positions: None,
        stated: Statement::default(),
        at: TimestampMs(0),
        deadline: TimestampMs(0),
        previous: EntryHash::default(),
    };
    vec![delete(1, (1, 1), 10..20), delete(2, (1, 2), 0..24 * 60)]
}

/// The points of org 3 have expired.
fn expiry() -> Expiry {
    let cut = FirstKept {
        everyone: None,
        orgs: BTreeMap::from([(OrgId(3), Some(Window::from_number(19_701)))]),
    };
    let mut expiry = Expiry::default().advanced(&BTreeMap::from([(Resolution::Raw, cut)]));
    expiry.empty(WINDOW);
    expiry
}

/// Org 1 came over within the window; of one chain nothing amends what was before, of one some and of one all.
fn timelines() -> Timelines {
    let phase = |from, pipeline| Phase {
        from: TimestampMs(from),
        writers: Writers::Only(pipeline),
        visible: pipeline,
    };
    let cut = WINDOW.start().0 + 30 * MINUTE;
    let phases = [phase(i64::MIN, Pipeline::Old), phase(cut, Pipeline::New)];
    let table = chains();
    let ends = table
        .chains()
        .iter()
        .cloned()
        .zip([i64::MAX, 40].map(Offset));
    let cutover = OrgCutover {
        version: 1,
        state: CutoverState::Sealed,
        timeline: Timeline::new(phases).unwrap(),
        seal: Some(Arc::new(SealVector(ends.collect()))),
        mirror_percent: 0,
        old_place: None,
    };
    Timelines::new_owns_everything().with(OrgId(1), cutover)
}

/// The bytes of a segment and its rollups, and where all points went.
#[derive(Debug, PartialEq)]
struct Encoded {
    objects: Vec<Vec<u8>>,
    counts: MergeCounts,
    deleted: Deleted,
    not_owned: BTreeMap<OrgId, NotOwned>,
    orgs: OrgAccounts,
}

/// A base has rollups, and its points are filtered.
fn kinds() -> [(Layer, Timelines); 3] {
    let overlay = Layer::Overlay { steps: 1 };
    [
        (Layer::Base, timelines()),
        (overlay, timelines()),
        (overlay, timelines().unfiltered()),
    ]
}

fn encode(writes: &[Write], (layer, timelines): &(Layer, Timelines), bytes: usize) -> Encoded {
    let rollups = match layer {
        Layer::Base => &[Resolution::FiveMinutes, Resolution::OneHour][..],
        Layer::Overlay { .. } => &[],
    };
    let runtime = Builder::new_current_thread().build().unwrap();
    let (chains, expiry) = (chains(), expiry());
    let mask = DeleteMask::new(&deletes(), &chains);
    let series = SeriesRange {
        first: SeriesKey::MIN,
        last: SeriesKey::MAX,
    };
    let handle: Handle = runtime.handle().clone();
    let place = SpillPlace::open(&std::env::temp_dir()).unwrap();
    let mut scratch = Scratch::default();
    let mut objects = vec![Vec::new(); 1 + rollups.len()];
    let input = SegmentInput {
        identity: SegmentIdentity {
            shard: ShardId::Dedicated(OrgId(1)),
            window: WINDOW,
            resolution: Resolution::Raw,
        },
        layer: *layer,
        fresh: &mut SeriesGrouper::in_memory(arena_of(writes)),
        chain_indexes: &[0, 1, 2].map(ChainIndex),
        live: &mut LiveSegments::new((handle, 0), &[], &chains, series),
        ownership: OwnershipRule::new(timelines, WINDOW, &chains),
        chains,
        rollups,
        profile: Profile::default(),
        expiry: &expiry,
        mask: &mask,
        live_masks: &[],
        merge_memory: &MergeMemory { bytes, place },
        cancel: &CancellationToken::new(),
        timers: &StageTimers::default(),
    };
    let emit = |place: usize, part: Bytes| objects[place].extend_from_slice(&part);
    let (finished, counts) = encode_segment(input, &mut scratch, 300, emit).unwrap();
    for (object, finished) in objects.iter_mut().zip(finished) {
        object.extend_from_slice(&finished.rest);
    }
    Encoded {
        objects,
        counts,
        deleted: scratch.take_deleted(),
        not_owned: scratch.take_not_owned(),
        orgs: scratch.take_orgs(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn memory_that_is_short_never_shows_in_the_bytes(writes in writes()) {
        let points: usize = writes.iter().map(|write| write.points.len()).sum();
        for kind in &kinds() {
            let whole = encode(&writes, kind, usize::MAX);
            prop_assert_eq!(whole.counts.total(), points as u64);
            for bytes in [1, 40_000, 150_000] {
                prop_assert_eq!(&encode(&writes, kind, bytes), &whole);
            }
        }
    }
}

/// All payloads are hours of the same day half, and interleave.
#[test]
fn slices_that_all_overlap_are_merged_into_the_same_bytes() {
    let points = |number: i64| (0..60).map(move |n| WINDOW.start().0 + n * MINUTE + number % 700);
    let write = |number: i64| Write {
        series: (1, 1),
        chain: 0,
        record_ms: Some(number * 31 % 400),
        points: points(number).collect(),
    };
    let writes: Vec<_> = (0..1_500).map(write).collect();
    let everything = Timelines::new_owns_everything();
    let kind = (Layer::Overlay { steps: 1 }, everything);
    let whole = encode(&writes, &kind, usize::MAX);
    assert_eq!(
        whole.counts.kept + whole.counts.duplicates + whole.counts.deleted,
        90_000
    );
    assert!(whole.counts.duplicates > 20_000);
    assert_eq!(encode(&writes, &kind, 1), whole);
}

fn push(batch: &mut Batch, points: usize) {
    let next = batch.next();
    next.points.values.resize(points, 0.5);
    batch.keep_next();
}

#[test]
fn a_batch_is_full_with_points_or_with_series() {
    let mut batch = Batch::default();
    push(&mut batch, BATCH_POINTS - 1);
    assert!(!batch.is_full());
    push(&mut batch, 1);
    assert!(batch.is_full());
    batch.clear();
    for _ in 0..BATCH_SERIES {
        assert!(!batch.is_full());
        push(&mut batch, 1);
    }
    assert!(batch.is_full());
}

#[test]
fn the_memory_of_large_series_is_kept_once() {
    let large = 50 * BATCH_POINTS;
    let mut batch = Batch::default();
    for place in 0..BATCH_SERIES {
        for _ in 0..place {
            push(&mut batch, 1);
        }
        push(&mut batch, large);
        batch.clear();
    }
    let held = batch
        .series
        .iter()
        .map(|kept| kept.points.values.capacity());
    let held = held.sum::<usize>();
    assert!(held < 2 * large, "{held} for {large}");
    assert!(held >= large, "memory is kept for the next batch");
}
