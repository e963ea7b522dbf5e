//! What is read of old and new together is what one system would have returned (SK-13), and every point is that of the one
//! pipeline that is visible at its time (SK-12).

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_config::cutover::timelines::{OrgCutover, Timelines};
use skein_reader::old_places::OldPlaces;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::cutover::CutoverState;
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::offset::Offset;
use skein_shared::timeline::{Phase, Pipeline, SealVector, Timeline, Writers};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs, Window};

use crate::buckets::{self, BUCKETS, Bits};
use crate::old_bucket;
use crate::old_folder::{OldFolder, OldRow};
use crate::world::{self, World, Written, chain, key, rolled};

pub(crate) const WINDOW: Window = Window::from_number(19_700);
const HOUR_MS: i64 = 3_600_000;
const WINDOWS: i64 = 2;
const RECORDS: i64 = 150;

pub(crate) const OLD: (Writers, Pipeline) = (Writers::Only(Pipeline::Old), Pipeline::Old);
pub(crate) const SHADOW: (Writers, Pipeline) = (Writers::Both, Pipeline::Old);
pub(crate) const SWITCHED: (Writers, Pipeline) = (Writers::Both, Pipeline::New);
pub(crate) const NEW: (Writers, Pipeline) = (Writers::Only(Pipeline::New), Pipeline::New);

/// What one record says: a point.
#[derive(Debug, Clone, Copy)]
struct Record {
    key: SeriesKey,
    offset: i64,
    ms: i64,
    value: f64,
}

/// Phases from these times on; the first from the beginning of time.
pub(crate) fn timeline(phases: &[(i64, (Writers, Pipeline))]) -> Timeline {
    let phases = phases.iter().map(|(from, (writers, visible))| Phase {
        from: TimestampMs(*from),
        writers: *writers,
        visible: *visible,
    });
    Timeline::new(phases).unwrap()
}

/// A cutover with this timeline; sealed at an offset of the only partition.
pub(crate) fn cutover(timeline: Timeline, seal: Option<i64>) -> OrgCutover {
    let seal = seal.map(|offset| SealVector(BTreeMap::from([(chain(0), Offset(offset))])));
    OrgCutover {
        version: 4,
        state: CutoverState::Switched,
        timeline,
        seal: seal.map(Arc::new),
        mirror_percent: 0,
        old_place: None,
    }
}

/// Edges on the hour and beside it, and phases between them.
fn random_cutover(rng: &mut fastrand::Rng) -> OrgCutover {
    let mut phases = vec![(i64::MIN, *rng.choice([&OLD, &OLD, &SHADOW, &NEW]).unwrap())];
    let mut hour = 0;
    for _ in 0..rng.usize(0..4) {
        hour += rng.i64(1..20);
        let beside = *rng.choice([&0, &0, &1, &(7 * 60_000 + 3)]).unwrap();
        let at = WINDOW.start().0 + hour * HOUR_MS + beside;
        phases.push((at, *rng.choice([&OLD, &SHADOW, &SWITCHED, &NEW]).unwrap()));
    }
    let seal = rng.bool().then(|| rng.i64(0..RECORDS));
    cutover(timeline(&phases), seal)
}

fn random_records(rng: &mut fastrand::Rng, org: u64, cutover: &OrgCutover) -> Vec<Record> {
    let phases = cutover.timeline.phases();
    let edges: Vec<i64> = phases.iter().skip(1).map(|phase| phase.from.0).collect();
    let end = Window::from_number(WINDOW.number() + WINDOWS).start().0;
    let record = |offset| {
        let ms = match rng.u32(0..3) {
            0 if !edges.is_empty() => edges[rng.usize(..edges.len())] + rng.i64(-1..2),
            _ => WINDOW.start().0 + rng.i64(0..WINDOWS * 24 * 72) * 50_000,
        };
        Record {
            key: key(org, rng.u64(0..3)),
            offset,
            ms: ms.min(end - 1),
            value: match rng.u32(0..6) {
                0 => f64::from_bits(0x7ff8_0000_0000_0000 | rng.u64(0..9)),
                1 => -0.0,
                _ => f64::from(rng.i32(-99..999)) / 10.0,
            },
        }
    };
    (0..RECORDS).map(record).collect()
}

/// Which of the two pipelines has a record's point.
fn has(cutover: &OrgCutover, record: &Record, pipeline: Pipeline) -> bool {
    let phase = cutover.timeline.phase_at(TimestampMs(record.ms));
    let seal = cutover.seal.as_ref().map(|seal| seal.0[&chain(0)].0);
    let is_beyond = seal.is_some_and(|seal| seal <= record.offset);
    match pipeline {
        Pipeline::Old => phase.writers.contain(Pipeline::Old) && !is_beyond,
        Pipeline::New => phase.writers.contain(Pipeline::New) || is_beyond,
    }
}

/// What a pipeline has where it is not to be seen is wrong, so that it shows when it is seen.
fn value_in(cutover: &OrgCutover, record: &Record, pipeline: Pipeline) -> f64 {
    let visible = cutover.timeline.phase_at(TimestampMs(record.ms)).visible;
    let is_new = pipeline == Pipeline::New;
    let amends = is_new && cutover.seal.is_some() && has(cutover, record, Pipeline::New);
    if visible == pipeline || amends {
        record.value
    } else {
        -1e9 - f64::from(i32::try_from(record.offset).unwrap())
    }
}

/// One segment's records: of equal times the last.
fn written_of(cutover: &OrgCutover, records: &[&Record]) -> Vec<Written> {
    let last: BTreeMap<(SeriesKey, i64), &Record> =
        records.iter().map(|it| ((it.key, it.ms), *it)).collect();
    let written = last.into_values().map(|record| Written {
        key: record.key,
        name: None,
        record_ms: record.offset,
        partition: 0,
        offset: record.offset,
        points: vec![(record.ms, value_in(cutover, record, Pipeline::New))],
    });
    written.collect()
}

async fn write_new(
    world: &mut World,
    rng: &mut fastrand::Rng,
    (cutover, records): (&OrgCutover, &[Record]),
) {
    for number in 0..WINDOWS {
        let window = Window::from_number(WINDOW.number() + number);
        let own = records
            .iter()
            .filter(|it| window.span().contains(TimestampMs(it.ms)));
        let all: Vec<&Record> = own.collect();
        if rng.bool() {
            // What a compactor that knew of no timeline wrote beside the others.
            let some: Vec<&Record> = all.iter().filter(|_| rng.bool()).copied().collect();
            let written: Vec<Written> = written_of(cutover, &some);
            if !written.is_empty() {
                world.add_unfiltered(window, &written).await;
            }
        }
        let own = all.iter().filter(|it| has(cutover, it, Pipeline::New));
        let own: Vec<&Record> = own.copied().collect();
        let mut is_first = true;
        for chunk in own.chunks(own.len().div_ceil(rng.usize(1..4)).max(1)) {
            let written = written_of(cutover, chunk);
            if is_first && rng.u32(0..3) > 0 {
                let rollups = [Resolution::FiveMinutes, Resolution::OneHour];
                let rollups = &rollups[..rng.usize(0..3)];
                world.add_base(window, &written, rollups).await;
            } else {
                world.add(window, &written).await;
            }
            is_first = false;
        }
    }
}

/// What the old pipeline has, in the order of records.
fn old_rows(cutover: &OrgCutover, records: &[Record]) -> Vec<(i64, OldRow)> {
    let own = records
        .iter()
        .filter(|record| has(cutover, record, Pipeline::Old));
    let rows = own.map(|record| {
        let row = OldRow {
            key: record.key,
            name: None,
            ms: record.ms,
            value: value_in(cutover, record, Pipeline::Old),
        };
        (record.offset, row)
    });
    rows.collect()
}

/// Two files of Parquet.
async fn in_folder(folder: &mut OldFolder, rows: &[(i64, OldRow)]) -> OldPlaces {
    let half = |is_first: bool| {
        let own = rows
            .iter()
            .filter(move |(offset, _)| (*offset < RECORDS / 2) == is_first);
        own.map(|(_, row)| row.clone()).collect::<Vec<OldRow>>()
    };
    for is_first in [true, false] {
        folder.add(&half(is_first));
    }
    folder.places().await
}

/// What one system would have returned: of equal times the last record's.
fn one_system(records: &[Record], span: TimeSpan) -> BTreeMap<(SeriesKey, i64), f64> {
    let inside = records
        .iter()
        .filter(|record| span.contains(TimestampMs(record.ms)));
    inside
        .map(|record| ((record.key, record.ms), record.value))
        .collect()
}

fn bits_of(points: &BTreeMap<(SeriesKey, i64), f64>) -> Vec<(SeriesKey, i64, u64)> {
    let points = points.iter();
    points
        .map(|((key, ms), value)| (*key, *ms, value.to_bits()))
        .collect()
}

fn buckets_of(
    points: &BTreeMap<(SeriesKey, i64), f64>,
    (span, resolution): (TimeSpan, Resolution),
) -> Vec<Bits> {
    let mut series: BTreeMap<SeriesKey, BTreeMap<i64, f64>> = BTreeMap::new();
    for ((key, ms), value) in points {
        series.entry(*key).or_default().insert(*ms, *value);
    }
    let mut all = Vec::new();
    for (key, points) in series {
        let rollup = rolled(&points, resolution);
        let begun = rollup
            .buckets()
            .filter(|it| span.contains(TimestampMs(it.start_ms)));
        all.extend(begun.map(|bucket| buckets::bits(key, &bucket)));
    }
    all
}

/// A point of an org that nobody asks for: a folder without files is an error.
fn nobody() -> OldRow {
    OldRow {
        key: key(99, 0),
        name: None,
        ms: 0,
        value: 0.0,
    }
}

/// Two orgs with cutovers of their own and one without, in one bucket and one folder.
async fn check_history(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut world, mut folder) = (World::new().await, OldFolder::new());
    let unenrolled = *rng.choice([&Pipeline::Old, &Pipeline::New]).unwrap();
    let mut timelines = Timelines::owned_by(unenrolled);
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    for org in [1, 2, 3] {
        let (cutover, is_enrolled) = match org {
            3 => (cutover(Timeline::owned_by(unenrolled), None), false),
            _ => (random_cutover(&mut rng), true),
        };
        let records = random_records(&mut rng, org, &cutover);
        write_new(&mut world, &mut rng, (&cutover, &records)).await;
        rows.extend(old_rows(&cutover, &records));
        all.extend(records);
        if is_enrolled {
            timelines = timelines.with(OrgId(org), cutover);
        }
    }
    rows.push((0, nobody()));
    let places = if seed.is_multiple_of(2) {
        in_folder(&mut folder, &rows).await
    } else {
        old_bucket::write(&world.bucket, &rows, RECORDS).await
    };
    let load = async |selection| {
        let snapshot = Snapshot::load(&world.bucket, timelines.clone(), selection).await;
        snapshot.unwrap().with_old(places.clone())
    };
    let spans = [TimeSpan::ALL, random_span(&mut rng), random_span(&mut rng)];
    for org in [1, 2, 3] {
        let own: Vec<Record> = all
            .iter()
            .filter(|it| it.key.org.0 == org)
            .copied()
            .collect();
        let snapshot = load(Selection::Org(OrgId(org))).await;
        for span in spans {
            let (found, _) = world::scan(snapshot.clone(), span).await.unwrap();
            let expected = bits_of(&one_system(&own, span));
            assert_eq!(found.points, expected, "seed {seed} org {org} {span:?}");
            for resolution in BUCKETS {
                let points = one_system(&own, TimeSpan::ALL);
                let expected = buckets_of(&points, (span, resolution));
                let (found, _) = buckets::scan(snapshot.clone(), span, resolution).await;
                assert_eq!(
                    found, expected,
                    "seed {seed} org {org} {span:?} {resolution}"
                );
            }
        }
        let series = snapshot.narrowed(Selection::Series(key(org, 1)));
        let (found, _) = world::scan(series, TimeSpan::ALL).await.unwrap();
        let mut expected = bits_of(&one_system(&own, TimeSpan::ALL));
        expected.retain(|(own, ..)| *own == key(org, 1));
        assert_eq!(found.points, expected, "seed {seed} org {org}, one series");
    }
    let (mut found, _) = world::scan(load(Selection::All).await, TimeSpan::ALL)
        .await
        .unwrap();
    found.points.retain(|(key, ..)| key.org.0 != 99);
    assert_eq!(
        found.points,
        bits_of(&one_system(&all, TimeSpan::ALL)),
        "seed {seed}, all orgs"
    );
}

fn random_span(rng: &mut fastrand::Rng) -> TimeSpan {
    let from = WINDOW.start().0 + rng.i64(-3..40) * HOUR_MS + rng.i64(-1..2);
    TimeSpan {
        from: TimestampMs(from),
        to: TimestampMs(from + rng.i64(1..30 * HOUR_MS)),
    }
}

#[tokio::test]
async fn old_and_new_stitched_are_what_one_system_would_have_returned() {
    let first = fastrand::u64(..1 << 40);
    for seed in first..first + 12 {
        check_history(seed).await;
    }
}
