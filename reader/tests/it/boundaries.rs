//! Around every edge the point of the one side is seen, and never that of the other: the millisecond before it, the edge and
//! the millisecond behind it, of series that one side or both have, as points and in buckets that the edge cuts or begins.

use std::collections::BTreeMap;

use skein_config::cutover::timelines::Timelines;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::ids::{OrgId, SeriesKey};
use skein_shared::timeline::{Pipeline, Timeline};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use crate::buckets::{self, Bits};
use crate::old_folder::{OldFolder, OldRow};
use crate::stitched::{NEW, OLD, SHADOW, SWITCHED, WINDOW, cutover, timeline};
use crate::world::{self, World, Written, key, rolled};

const HOUR_MS: i64 = 3_600_000;

/// What was done to an org, at an edge and a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Switched,
    Voided,
    ReversedForward,
    Contracted,
    /// With what new amends of before the first edge.
    Amended,
}

const STORIES: [Story; 5] = [
    Story::Switched,
    Story::Voided,
    Story::ReversedForward,
    Story::Contracted,
    Story::Amended,
];

/// Which sides have a series.
const HOLDERS: [&[Pipeline]; 3] = [
    &[Pipeline::Old],
    &[Pipeline::New],
    &[Pipeline::Old, Pipeline::New],
];

/// At the begin of every bucket, of one of 5 minutes alone, and inside all.
const EDGES: [i64; 3] = [
    5 * HOUR_MS,
    5 * HOUR_MS + 20 * 60_000,
    5 * HOUR_MS + 7 * 60_000 + 3,
];

/// How much later the second edge is.
const LATER_MS: i64 = 3 * HOUR_MS;

impl Story {
    fn timeline(self, edge: i64) -> Timeline {
        let later = edge + LATER_MS;
        let begin = (i64::MIN, OLD);
        match self {
            Self::Switched => timeline(&[begin, (edge, SWITCHED)]),
            // From the edge on new was visible once; now it is nowhere.
            Self::Voided => timeline(&[begin, (edge, SHADOW)]),
            Self::ReversedForward => timeline(&[begin, (edge, SWITCHED), (later, SHADOW)]),
            Self::Contracted | Self::Amended => timeline(&[begin, (edge, SWITCHED), (later, NEW)]),
        }
    }

    /// Whose point is seen at `ms` of a series that both or one have.
    fn seen(self, edge: i64, ms: i64, holders: &[Pipeline]) -> Option<Pipeline> {
        let later = edge + LATER_MS;
        let visible = match self {
            Self::Voided => Pipeline::Old,
            _ if ms < edge => Pipeline::Old,
            Self::ReversedForward if later <= ms => Pipeline::Old,
            Self::Switched | Self::ReversedForward | Self::Contracted | Self::Amended => {
                Pipeline::New
            }
        };
        let has = |side: &Pipeline| holders.contains(side);
        if self == Self::Amended && visible == Pipeline::Old && has(&Pipeline::New) {
            return Some(Pipeline::New);
        }
        Some(visible).filter(has)
    }
}

/// Around both edges, and where nothing happens.
fn times(edge: i64) -> Vec<i64> {
    let later = edge + LATER_MS;
    let mut times: Vec<i64> = [edge, later]
        .iter()
        .flat_map(|at| [at - 1, *at, at + 1])
        .collect();
    times.extend([edge - 2 * HOUR_MS, edge + HOUR_MS, later + HOUR_MS]);
    times
}

fn value(side: Pipeline, ms: i64) -> f64 {
    let offset = f64::from(i32::try_from(ms - WINDOW.start().0).unwrap());
    match side {
        Pipeline::Old => offset,
        Pipeline::New => -offset,
    }
}

struct Case {
    org: u64,
    story: Story,
    edge: i64,
}

fn cases() -> Vec<Case> {
    let pairs = STORIES
        .iter()
        .flat_map(|story| EDGES.map(|edge| (*story, edge)));
    let cases = (1..).zip(pairs).map(|(org, (story, edge))| Case {
        org,
        story,
        edge: WINDOW.start().0 + edge,
    });
    cases.collect()
}

async fn write(world: &mut World, folder: &mut OldFolder, case: &Case) {
    let (mut rows, mut written) = (Vec::new(), Vec::new());
    for (metric, holders) in (0..).zip(HOLDERS) {
        let key = key(case.org, metric);
        let mut times = times(case.edge);
        times.sort_unstable();
        let points = |side| times.iter().map(move |ms| (*ms, value(side, *ms)));
        if holders.contains(&Pipeline::Old) {
            rows.extend(points(Pipeline::Old).map(|(ms, value)| OldRow {
                key,
                name: None,
                ms,
                value,
            }));
        }
        if holders.contains(&Pipeline::New) {
            written.push(Written {
                key,
                name: None,
                record_ms: 10,
                partition: 0,
                offset: 1000 + i64::try_from(metric).unwrap(),
                points: points(Pipeline::New).collect(),
            });
        }
    }
    folder.add(&rows);
    let rollups = [Resolution::FiveMinutes, Resolution::OneHour];
    world.add_base(WINDOW, &written, &rollups).await;
}

fn expected(case: &Case) -> BTreeMap<SeriesKey, BTreeMap<i64, f64>> {
    let mut expected: BTreeMap<SeriesKey, BTreeMap<i64, f64>> = BTreeMap::new();
    for (metric, holders) in (0..).zip(HOLDERS) {
        for ms in times(case.edge) {
            if let Some(side) = case.story.seen(case.edge, ms, holders) {
                let series = expected.entry(key(case.org, metric)).or_default();
                series.insert(ms, value(side, ms));
            }
        }
    }
    expected
}

fn buckets_of(
    expected: &BTreeMap<SeriesKey, BTreeMap<i64, f64>>,
    resolution: Resolution,
) -> Vec<Bits> {
    let mut all = Vec::new();
    for (key, points) in expected {
        let rollup = rolled(points, resolution);
        all.extend(rollup.buckets().map(|bucket| buckets::bits(*key, &bucket)));
    }
    all
}

#[tokio::test]
async fn at_an_edge_each_millisecond_is_its_owners_as_points_and_in_buckets() {
    let (mut world, mut folder) = (World::new().await, OldFolder::new());
    let mut timelines = Timelines::owned_by(Pipeline::New);
    for case in cases() {
        write(&mut world, &mut folder, &case).await;
        let seal = (case.story == Story::Amended).then_some(1000);
        let cutover = cutover(case.story.timeline(case.edge), seal);
        timelines = timelines.with(OrgId(case.org), cutover);
    }
    let places = folder.places().await;
    for case in cases() {
        let (org, story, edge) = (case.org, case.story, case.edge);
        let selection = Selection::Org(OrgId(org));
        let snapshot = Snapshot::load(&world.bucket, timelines.clone(), selection).await;
        let snapshot = snapshot.unwrap().with_old(places.clone());
        let expected = expected(&case);
        let (found, _) = world::scan(snapshot.clone(), TimeSpan::ALL).await.unwrap();
        let series = expected.iter();
        let points = series.flat_map(|(key, points)| {
            points
                .iter()
                .map(|(ms, value)| (*key, *ms, value.to_bits()))
        });
        let points: Vec<(SeriesKey, i64, u64)> = points.collect();
        assert_eq!(found.points, points, "{story:?} {edge}");
        for at in times(edge) {
            let only = TimeSpan {
                from: TimestampMs(at),
                to: TimestampMs(at + 1),
            };
            let (found, _) = world::scan(snapshot.clone(), only).await.unwrap();
            let here = points.iter().filter(|(_, ms, _)| *ms == at).copied();
            assert_eq!(
                found.points,
                here.collect::<Vec<_>>(),
                "{story:?} {edge} at {at}"
            );
        }
        for resolution in buckets::BUCKETS {
            let (found, summary) = buckets::scan(snapshot.clone(), TimeSpan::ALL, resolution).await;
            let wanted = buckets_of(&expected, resolution);
            assert_eq!(found, wanted, "{story:?} {edge} {resolution}");
            let has_whole = story != Story::Voided && resolution < Resolution::OneDay;
            assert_eq!(
                summary.from_rollups > 0,
                has_whole,
                "{story:?} {edge} {resolution}"
            );
        }
    }
}
