use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use skein_shared::ErrorKind;
use skein_shared::format::order_column::{ChainIndex, Order};
use skein_shared::offset::Offset;
use skein_shared::window::TimestampMs;

use super::*;

fn here() -> SpillPlace {
    SpillPlace::open(&std::env::temp_dir()).unwrap()
}

/// Points from `first_ms` on, in stretches of `stretch` points.
fn points(first_ms: i64, count: usize, stretch: usize) -> SeriesBuffer {
    let mut points = SeriesBuffer::default();
    for index in 0..count {
        let number = i64::try_from(index).unwrap();
        points.timestamps_ms.push(first_ms + number * 7);
        let value = f64::from_bits(0x7ff8_0000_0000_0000 + index as u64 * 0x3333);
        points.values.push(value);
        let record = number / i64::try_from(stretch).unwrap();
        let order = Order {
            seals: 1,
            record_timestamp: (record % 3 > 0).then_some(TimestampMs(record * 11)),
            chain: ChainIndex(u32::try_from(record % 5).unwrap()),
            offset: Offset(record),
        };
        points.push_order(OrderRun { order, points: 1 });
    }
    points
}

type Bits = (Vec<i64>, Vec<u64>, Vec<OrderRun>);

fn bits(points: &SeriesBuffer) -> Bits {
    let values = points.values.iter().map(|value| value.to_bits());
    (
        points.timestamps_ms.clone(),
        values.collect(),
        points.orders.clone(),
    )
}

fn read(runs: &PointRuns) -> Result<Vec<Bits>> {
    let mut all = Vec::new();
    for mut reader in runs.readers()? {
        let mut run = SeriesBuffer::default();
        loop {
            let (next, at) = (reader.next_ms(), run.values.len());
            if !reader.take_into(&mut run)? {
                break;
            }
            assert_eq!(next, Some(run.timestamps_ms[at]));
        }
        all.push(bits(&run));
    }
    Ok(all)
}

fn slices() -> impl Strategy<Value = Vec<SeriesBuffer>> {
    let slice = (0_i64..50_000, 0_usize..5_000, 1_usize..50);
    let slice = slice.prop_map(|(first_ms, count, stretch)| points(first_ms, count, stretch));
    prop::collection::vec(slice, 0..6)
}

/// What runs have to be: slices that follow one another are one.
fn expected(slices: &[SeriesBuffer]) -> Vec<Bits> {
    let mut runs: Vec<SeriesBuffer> = Vec::new();
    for slice in slices.iter().filter(|slice| !slice.values.is_empty()) {
        let begins = slice.timestamps_ms[0];
        match runs.last_mut() {
            Some(run) if run.timestamps_ms[run.values.len() - 1] < begins => {
                run.timestamps_ms.extend(&slice.timestamps_ms);
                run.values.extend(&slice.values);
                slice.orders.iter().for_each(|order| run.push_order(*order));
            }
            Some(_) | None => runs.push(slice.clone()),
        }
    }
    runs.iter().map(bits).collect()
}

fn spilled(slices: &[SeriesBuffer]) -> PointRuns {
    let mut runs = PointRuns::create(&here()).unwrap();
    for slice in slices {
        runs.append(slice).unwrap();
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn points_read_back_as_they_were_written(slices in slices()) {
        let runs = spilled(&slices);
        prop_assert_eq!(runs.points(), slices.iter().map(|slice| slice.values.len() as u64).sum::<u64>());
        prop_assert_eq!(read(&runs).unwrap(), expected(&slices));
    }

    #[test]
    fn a_flipped_bit_on_the_disk_is_an_error(
        slices in slices(),
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let runs = spilled(&slices);
        prop_assume!(runs.end > 0);
        let at = at.index(usize::try_from(runs.end).unwrap()) as u64;
        let mut byte = [0];
        runs.file.read_exact_at(&mut byte, at).unwrap();
        runs.file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
        let mut out = SeriesBuffer::default();
        let read = runs.readers().and_then(|readers| {
            for mut reader in readers {
                while reader.take_into(&mut out)? {}
            }
            Ok(())
        });
        let error = read.expect_err("the damage is noticed");
        prop_assert!(error.to_string().contains("does not read back"), "{}", error);
    }
}

#[test]
fn a_full_disk_is_told() {
    let mut runs = PointRuns::create(&here()).unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    runs.file = Arc::new(full.unwrap());
    let error = runs.append(&points(0, 1, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains("No space left"), "{error}");
}
