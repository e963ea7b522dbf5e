use proptest::prelude::*;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::state_object::MadeWith;
use skein_shared::ids::{
    Generation, Incarnation, OrgId, PartitionId, SourceName, Tenure, TopicName, WorkerId,
};
use skein_shared::shard_map::Routing;
use skein_shared::window::Window;

use skein_shared::offset::Span;

use super::*;

const SHARD: ShardId = ShardId::Dedicated(OrgId(1));

fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("s").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

fn routing(modulus: u32, dedicated: &[u64]) -> Routing {
    Routing {
        modulus,
        dedicated: dedicated.iter().map(|org| OrgId(*org)).collect(),
    }
}

fn flush_id(counter: u64) -> FlushId {
    let worker = WorkerId("00000000000000000000000000000001".parse().unwrap());
    FlushId { worker, counter }
}

/// Flushes of `(chain, length)` spans; a flush with `raw_bytes` has one object of the shard.
fn input(flushes: &[(Vec<(u32, i64)>, u64)]) -> PlanInput {
    let mut ends = BTreeMap::new();
    let mut input = PlanInput {
        shard_map: ShardMap::new(routing(4, &[1])),
        chains: BTreeMap::new(),
        fills: BTreeMap::new(),
        flushes: BTreeMap::new(),
        bound: StateBound::default(),
        watermark: None,
        deletes: DeleteInput::default(),
        filter: OwnershipFilter::Owned,
    };
    for (counter, (spans, raw_bytes)) in (0..).zip(flushes) {
        let flush = flush_id(counter);
        for (partition, length) in spans {
            let end: &mut i64 = ends.entry(*partition).or_insert(100);
            let from = *end;
            *end += length;
            let kind = match *raw_bytes {
                u64::MAX => EntryKind::LostSpan {
                    reason: "test".into(),
                },
                _ => EntryKind::Flushed {
                    flush,
                    tenure: Tenure(u64::from(*partition)),
                },
            };
            let ledger = input.chains.entry(chain(*partition)).or_insert(ChainInput {
                start: Offset(100),
                entries: Vec::new(),
            });
            ledger.entries.push(LedgerEntry {
                chain: chain(*partition),
                span: Span::new(Offset(from), Offset(*end)),
                kind,
                frames: 0,
                times: None,
                last: None,
            });
        }
        let objects = match *raw_bytes {
            0 | u64::MAX => Vec::new(),
            raw_bytes => vec![object(SHARD, raw_bytes), object(ShardId::Quarantine, 9)],
        };
        input.flushes.insert(
            flush,
            FlushContents {
                objects,
                spans: Vec::new(),
                made_with: MadeWith::this_build(0),
            },
        );
    }
    input
}

fn object(shard: ShardId, raw_bytes: u64) -> FlushedObject {
    FlushedObject {
        key: format!("{shard}-{raw_bytes}"),
        shard,
        object_bytes: raw_bytes,
        crc32c: 0,
        frames: 1,
        raw_bytes,
        digest: ContentDigest::EMPTY,
    }
}

/// Takes every step, and moves the manifest as a commit would.
fn steps(input: &PlanInput, step_bytes: u64) -> Vec<Step> {
    let mut manifest = ShardManifest::empty(SHARD);
    let mut steps = Vec::new();
    while let Some(step) = next_step(SHARD, &manifest, input, step_bytes).unwrap() {
        for (chain, advance) in &step.advances {
            assert_eq!(manifest.positions.get(chain).copied(), advance.from);
            manifest.positions.insert(chain.clone(), advance.to);
        }
        manifest.generation = Generation(manifest.generation.0 + 1);
        steps.push(step);
    }
    for (chain, ledger) in &input.chains {
        let end = ledger
            .entries
            .last()
            .map_or(ledger.start, |entry| entry.span.to);
        assert_eq!(manifest.positions.get(chain), Some(&end));
    }
    steps
}

fn flushes() -> impl Strategy<Value = Vec<(Vec<(u32, i64)>, u64)>> {
    let spans = prop::collection::btree_map(0..4_u32, 1..9_i64, 1..4)
        .prop_map(|spans| spans.into_iter().collect());
    let raw_bytes = prop_oneof![Just(0), Just(u64::MAX), 1..100_u64];
    prop::collection::vec((spans, raw_bytes), 0..12)
}

proptest! {
    #[test]
    fn every_span_of_the_ledger_is_allowed_in_exactly_one_step(
        flushes in flushes(),
        step_bytes in 0..400_u64,
    ) {
        let input = input(&flushes);
        let steps = steps(&input, step_bytes);
        for entry in input.chains.values().flat_map(|ledger| &ledger.entries) {
            let EntryKind::Flushed { flush, tenure } = entry.kind else { continue };
            let has_objects = !input.flushes[&flush].objects.is_empty();
            let stream = Stream { chain: entry.chain.clone(), tenure };
            let allowed: Vec<_> = steps.iter().map(|s| s.allowed.spans(flush, &stream)).collect();
            let expected: &[Span] = if has_objects { &[entry.span] } else { &[] };
            prop_assert_eq!(allowed.concat(), expected);
        }
    }

    #[test]
    fn each_object_is_read_once_and_a_step_takes_several_only_within_its_budget(
        flushes in flushes(),
        step_bytes in 0..400_u64,
    ) {
        let input = input(&flushes);
        let steps = steps(&input, step_bytes);
        let read: usize = steps.iter().map(|step| step.objects.len()).sum();
        let feeding = input.flushes.values().filter(|flush| !flush.objects.is_empty()).count();
        prop_assert_eq!(read, feeding);
        for step in &steps {
            prop_assert!(step.objects.len() <= 1 || step.object_bytes() <= step_bytes);
            prop_assert!(step.objects.iter().all(|o| o.object.shard == SHARD));
        }
    }
}

#[test]
fn a_manifest_at_the_ledgers_end_has_nothing_to_do() {
    let input = input(&[(vec![(0, 5), (1, 5)], 10), (vec![(0, 5)], 10)]);
    assert_eq!(steps(&input, 1000).len(), 1);
    assert_eq!(steps(&input, 0).len(), 2);
}

#[test]
fn a_flush_whose_chains_become_durable_one_by_one_is_read_for_each() {
    let mut input = input(&[(vec![(0, 5), (1, 5)], 10)]);
    let late = input.chains.remove(&chain(1)).unwrap();
    let mut manifest = ShardManifest::empty(SHARD);
    let first = next_step(SHARD, &manifest, &input, 1000).unwrap().unwrap();
    assert_eq!(first.objects.len(), 1);
    manifest.positions.insert(chain(0), Offset(105));
    input.chains.insert(chain(1), late);
    let second = next_step(SHARD, &manifest, &input, 1000).unwrap().unwrap();
    assert_eq!(second.objects.len(), 1);
    assert_eq!(second.advances.len(), 1);
    assert_eq!(second.allowed.chains(), [chain(1)]);
}

#[test]
fn a_holes_fills_are_read_once_with_a_position_of_their_own_however_late_they_come() {
    let mut input = input(&[
        (vec![(0, 5)], u64::MAX),
        (vec![(0, 5)], 10),
        (vec![(1, 5)], 10),
    ]);
    // What the third flush holds of another chain is made the fill of the hole that the first entry is.
    let mut fill = input.chains.remove(&chain(1)).unwrap();
    fill.entries[0].chain = chain(0);
    let hole = Hole {
        chain: chain(0),
        from: Offset(100),
    };
    assert_eq!(steps(&input, 1000).len(), 1, "nothing waits for a hole");
    let mut manifest = ShardManifest::empty(SHARD);
    manifest.positions.insert(chain(0), Offset(110));
    assert_eq!(next_step(SHARD, &manifest, &input, 1000).unwrap(), None);
    input.fills.insert(hole.clone(), fill);
    let step = next_step(SHARD, &manifest, &input, 1000).unwrap().unwrap();
    assert_eq!(step.advances, BTreeMap::new());
    let (from, to) = (None, Offset(105));
    assert_eq!(
        step.fill_advances,
        [(hole.clone(), Advance { from, to })].into()
    );
    let stream = Stream {
        chain: chain(0),
        tenure: Tenure(1),
    };
    let filled = Span::new(Offset(100), Offset(105));
    assert_eq!(step.allowed.spans(flush_id(2), &stream), [filled]);
    manifest.fills.insert(hole, to);
    assert_eq!(next_step(SHARD, &manifest, &input, 1000).unwrap(), None);
}

#[test]
fn a_position_that_is_no_entrys_beginning_is_refused() {
    let mut input = input(&[(vec![(0, 5)], 10), (vec![(0, 5)], 10), (vec![(0, 5)], 10)]);
    let ledger = input.chains.get_mut(&chain(0)).unwrap();
    ledger.entries.remove(1);
    let error = next_step(SHARD, &ShardManifest::empty(SHARD), &input, 1000).unwrap_err();
    assert!(
        error.to_string().contains("expected=`105` found=`110`"),
        "{error}"
    );
    let mut manifest = ShardManifest::empty(SHARD);
    manifest.positions.insert(chain(0), Offset(103));
    assert!(next_step(SHARD, &manifest, &input, 1000).is_err());
}

#[test]
fn a_manifest_that_stands_where_state_may_be_gone_is_refused() {
    let mut input = input(&[(vec![(0, 5)], 10), (vec![(0, 5)], 10)]);
    input.bound.chains.insert(chain(0), Offset(105));
    let mut manifest = ShardManifest::empty(SHARD);
    for (position, is_refused) in [(100, true), (105, false)] {
        manifest.positions.insert(chain(0), Offset(position));
        let step = next_step(SHARD, &manifest, &input, u64::MAX);
        let refused = matches!(step, Err(Error::BehindBound { .. }));
        assert_eq!(refused, is_refused, "{step:?}");
    }
}

#[test]
fn a_shard_reads_the_objects_of_every_shard_that_may_hold_its_points() {
    let mut map = ShardMap::new(routing(4, &[1]));
    let shared = |modulus, remainder| ShardId::Shared { modulus, remainder };
    assert!(may_feed(&map, shared(4, 2), shared(4, 2)));
    assert!(!may_feed(&map, shared(4, 1), shared(4, 2)));
    assert!(
        !may_feed(&map, SHARD, shared(4, 1)),
        "org 1 was never anywhere else"
    );
    assert!(!may_feed(&map, ShardId::Quarantine, SHARD));
    map.push(Window::from_number(5).start(), routing(6, &[2]));
    assert!(may_feed(&map, SHARD, shared(6, 1)));
    assert!(may_feed(&map, shared(6, 1), SHARD));
    let two = ShardId::Dedicated(OrgId(2));
    assert!(may_feed(&map, two, shared(4, 2)) && !may_feed(&map, two, shared(6, 2)));
    assert!(!may_feed(&map, two, SHARD));
    // 4 and 6 have the divisor 2: an even org is never in an odd shard.
    assert!(may_feed(&map, shared(4, 0), shared(6, 2)));
    assert!(!may_feed(&map, shared(4, 1), shared(6, 2)));
    for org in (0..200).map(OrgId) {
        for source in map.shards_of(org) {
            assert!(
                map.shards_of(org)
                    .iter()
                    .all(|target| may_feed(&map, source, *target))
            );
        }
    }
}

#[test]
fn windows_are_closed_by_the_last_step_and_by_no_other() {
    let mut input = input(&[(vec![(0, 10)], 500), (vec![(0, 10)], 700)]);
    input.watermark = Some(Window::from_number(5).span().to);
    let taken = steps(&input, 1000);
    let complete: Vec<_> = taken.iter().map(|step| step.complete_to).collect();
    assert_eq!(complete, [None, input.watermark]);
    let states = |step: &Step| [5, 6].map(|number| state_of(step, Window::from_number(number)));
    assert_eq!(states(&taken[0]), [WindowState::Open; 2]);
    assert_eq!(states(&taken[1]), [WindowState::Closed, WindowState::Open]);
}
