use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use skein_shared::ErrorKind;
use skein_shared::format::order_column::Order;
use skein_shared::ids::{MetricId, OrgId};
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, Payload, PayloadView};
use skein_shared::window::TimestampMs;

use super::*;
use crate::payload_arena::PayloadKey;
use crate::series_grouper::SeriesGrouper;

/// A payload of one point, at an offset of its own.
#[derive(Debug, Clone, Copy)]
struct Write {
    org: u64,
    metric: u64,
    ms: i64,
    chain: u32,
    record_ms: Option<i64>,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let day = 86_400_000_i64;
    let write = (
        0_u64..3,
        0_u64..4,
        -day..2 * day,
        0_u32..3,
        proptest::option::of(any::<i64>()),
    );
    let write = write.prop_map(|(org, metric, ms, chain, record_ms)| Write {
        org,
        metric,
        ms,
        chain,
        record_ms,
    });
    prop::collection::vec(write, 1..80)
}

fn push(arena: &mut PayloadArena, offset: usize, write: Write) {
    let mut bytes = Vec::new();
    Payload {
        org: OrgId(write.org),
        metric: MetricId(write.metric),
        timestamps: vec![TimestampMs(write.ms)],
        values: vec![0.5],
        metadata: vec![("host".into(), "h".repeat(offset * 7 % 300))],
    }
    .encode(&mut bytes);
    let view = PayloadView::parse(&bytes, &Limits::default(), None).unwrap();
    let order = Order {
        seals: 0,
        record_timestamp: write.record_ms.map(TimestampMs),
        chain: ChainIndex(write.chain),
        offset: Offset(i64::try_from(offset).unwrap()),
    };
    // Not the order in which they come.
    let seals = 1 + write.chain % 2;
    assert_eq!(arena.push(&view, order, |_| Some(seals)), 1);
}

type Group = (Vec<ChainIndex>, Vec<(PayloadKey, Vec<u8>)>);

fn groups(mut grouper: SeriesGrouper) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let mut last = None;
    while let Some((window, _)) = grouper.peek() {
        let begins = last.replace(window) != Some(window);
        let chains = begins.then(|| grouper.chains_in(window));
        let group = grouper.take_payloads()?.unwrap();
        let payload = |r: &_| group.arena().bytes_of(r).to_vec();
        let payloads = group.payloads().iter().map(|r| (r.key, payload(r)));
        groups.push((chains.unwrap_or_default(), payloads.collect()));
    }
    Ok(groups)
}

fn here() -> SpillPlace {
    SpillPlace::open(&std::env::temp_dir()).unwrap()
}

fn spilled(writes: &[Write], each: usize) -> (Spill, PayloadArena) {
    let (mut spill, mut arena) = (Spill::create(&here()).unwrap(), PayloadArena::default());
    for (offset, write) in writes.iter().enumerate() {
        push(&mut arena, offset, *write);
        if arena.refs().len() == each {
            spill.append(&mut arena).unwrap();
        }
    }
    spill.append(&mut arena).unwrap();
    (spill, arena)
}

proptest! {
    #[test]
    fn runs_merge_into_what_one_arena_would_have_given(writes in writes(), each in 1_usize..30) {
        let mut whole = PayloadArena::default();
        for (offset, write) in writes.iter().enumerate() {
            push(&mut whole, offset, *write);
        }
        let expected = groups(SeriesGrouper::in_memory(whole)).unwrap();
        let (spill, arena) = spilled(&writes, each);
        let merged = SeriesGrouper::merged(spill, arena, 0).unwrap();
        prop_assert_eq!(groups(merged).unwrap(), expected);
    }

    #[test]
    fn a_flipped_bit_on_the_disk_is_an_error(writes in writes(), at: prop::sample::Index, bit in 0_u8..8) {
        let (spill, arena) = spilled(&writes, 20);
        let at = at.index(usize::try_from(spill.bytes()).unwrap()) as u64;
        let mut byte = [0];
        spill.file.read_exact_at(&mut byte, at).unwrap();
        spill.file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
        let read = SeriesGrouper::merged(spill, arena, 0).and_then(groups);
        let error = read.expect_err("the damage is noticed");
        prop_assert!(error.to_string().contains("does not read back"), "{}", error);
    }
}

#[test]
fn a_payload_larger_than_the_buffer_reads_back() {
    let mut arena = PayloadArena::default();
    let mut spill = Spill::create(&here()).unwrap();
    let key = PayloadKey {
        window: Window::from_number(-3),
        series: skein_shared::ids::SeriesKey::default(),
        first_ms: -1,
        order: Order::default(),
    };
    let payload: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    arena.push_sorted(key, &payload);
    spill.append(&mut arena).unwrap();
    let mut merged = SeriesGrouper::merged(spill, arena, 0).unwrap();
    let group = merged.take_payloads().unwrap().unwrap();
    let reference = group.payloads()[0];
    assert_eq!(reference.key, key);
    assert_eq!(group.arena().bytes_of(&reference), payload);
    assert!(merged.take_payloads().unwrap().is_none());
}

#[test]
fn a_full_disk_is_told_with_what_to_do() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut spill = Spill::over(here(), full);
    let mut arena = PayloadArena::default();
    let write = Write {
        org: 1,
        metric: 1,
        ms: 0,
        chain: 0,
        record_ms: None,
    };
    push(&mut arena, 0, write);
    let error = spill.append(&mut arena).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let text = error.to_string();
    assert!(text.contains("No space left") && text.contains("compactor.spill_folder"));
    assert!(!arena.is_empty(), "what was not written is still held");
}

#[test]
fn a_disk_that_fails_to_read_is_told() {
    // The first page of a process is not mapped: reading it is EIO.
    let failing = Arc::new(File::open("/proc/self/mem").unwrap());
    let mut reader = RunReader::new(here(), failing, 0..200, 0);
    let error = reader.peek().unwrap_err();
    assert!(
        error.to_string().contains("read spill file failed"),
        "{error}"
    );
    assert!(error.to_string().contains("Input/output error"), "{error}");
}

#[test]
fn a_folder_that_is_missing_or_none_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let missing = SpillPlace::open(&folder.path().join("missing")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Invalid);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(
        SpillPlace::open(&file).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    drop(SpillPlace::open(folder.path()).unwrap());
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "looking leaves nothing behind");
}
