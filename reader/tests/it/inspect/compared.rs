//! Equal input is proven by positions: what only one side has read is set aside, and all else counts.

use std::collections::BTreeSet;

use skein_config::cutover::timelines::Timelines;
use skein_reader::diff::class_history::ClassHistory;
use skein_reader::diff::comparison::{Sides, compare};
use skein_reader::diff::definition::{Definition, Sample};
use skein_reader::diff::journal::Journal;
use skein_reader::diff::report::{Cost, Report, ReportInput, publish, write};
use skein_reader::diff::side::{Positions, Side, Table, TablePoint};
use skein_reader::diff::verdict::Ended;
use skein_shared::cutover::ComparisonName;
use skein_shared::format::diff_verdict::{DiffSides, DiffVerdict, Verdict};
use skein_shared::format::object_key::CutoverKey;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::offset::Offset;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use super::world::{BASE_MS, POINTS, RECORDS, World, chain, times};

/// Org 4 has the records 0, 3 and 6 of each round: every record ten points.
const ORG: u64 = 4;

fn records_of_org() -> impl Iterator<Item = (u32, i64)> {
    let rounds = (0..2 * RECORDS).filter(|offset| [0, 3, 6].contains(&(offset % RECORDS)));
    rounds.flat_map(|offset| [(0, offset), (1, offset)])
}

/// An old side that has read each partition up to an offset.
fn old_up_to(ends: [i64; 2]) -> Table {
    let mut table = Table::new("old");
    for (partition, offset) in records_of_org() {
        if offset < ends[partition as usize] {
            let key = SeriesKey {
                org: OrgId(ORG),
                metric: MetricId(u64::from(partition)),
            };
            let series = table.series.entry(key).or_default();
            series
                .points
                .extend(times(offset).into_iter().map(|at| TablePoint::new(at, 1.5)));
        }
    }
    let positions = [0, 1].map(|partition| (chain(partition), Offset(ends[partition as usize])));
    table.positions = Some(Positions::from(positions));
    table
}

fn definition() -> Definition {
    Definition {
        comparison: "proven".to_owned(),
        sides: DiffSides::OldNew.name().to_owned(),
        orgs: vec![ORG],
        from_ms: TimeSpan::ALL.from.0,
        to_ms: TimeSpan::ALL.to.0,
        resolution: Resolution::Raw,
        sample: Sample::ALL,
        rechecks: 1,
        backoff_ms: 1,
        declared: Vec::new(),
        wanted_percent: 70,
    }
}

async fn compared(world: &World, old: Table, definition: Definition) -> (Report, DiffVerdict) {
    let sides = Sides {
        left: Side::Table(old.into()),
        right: Side::Segments(world.bucket.clone()),
        of: DiffSides::OldNew,
        bucket: world.bucket.clone(),
        timelines: Timelines::new_owns_everything(),
    };
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(dir.path(), definition, ("old", "new")).unwrap();
    compare(&mut journal, &sides, None, &|| false, &mut |_| {})
        .await
        .unwrap();
    let input = ReportInput {
        sides: &sides,
        history: &ClassHistory::default(),
        noise_floor: None,
        ended: Ended::Whole,
        cost: Cost::default(),
        now: TimestampMs(BASE_MS),
    };
    let (report, digest) = write(&journal, &input).unwrap();
    publish(&world.bucket, &journal, &input, digest)
        .await
        .unwrap();
    let key = CutoverKey::DiffVerdict {
        org: OrgId(ORG),
        comparison: ComparisonName::new("proven").unwrap(),
    };
    let stored = world.bucket.get(&key.to_string()).await.unwrap();
    (report, DiffVerdict::decode(&stored).unwrap().1)
}

#[tokio::test]
async fn sides_that_have_read_the_same_are_proven_and_a_gate_can_read_it() {
    let world = World::build().await;
    let (report, verdict) = compared(&world, old_up_to([20, 20]), definition()).await;
    assert_eq!(report.verdict, "pass", "{:?}", report.reasons);
    let all = (records_of_org().count() * POINTS) as u64;
    assert_eq!((report.counts.equal, report.counts.set_aside), (all, 0));
    assert_eq!(
        (verdict.verdict, verdict.counts.equal),
        (Verdict::Pass, all)
    );
    assert_eq!((verdict.windows, verdict.org), ((1, 1), OrgId(ORG)));
    assert!(report.input[0].is_comparable);
}

#[tokio::test]
async fn points_of_records_that_one_side_has_not_read_are_set_aside_and_the_rest_is_proven() {
    let world = World::build().await;
    // Two records of the org lie between 12 and 20.
    let (report, verdict) = compared(&world, old_up_to([12, 20]), definition()).await;
    assert_eq!(report.verdict, "pass", "{:?}", report.reasons);
    let aside = (2 * POINTS) as u64;
    let all = (records_of_org().count() * POINTS) as u64;
    assert_eq!(
        (report.counts.set_aside, report.counts.equal),
        (aside, all - aside)
    );
    assert_eq!(report.input[0].known.records_between, 2);
    assert_eq!(verdict.counts.set_aside, aside);
    // The same lack is a difference where the side says that it has read the records.
    let mut lacking = old_up_to([12, 20]);
    lacking.positions = old_up_to([20, 20]).positions;
    let (report, _) = compared(&world, lacking, definition()).await;
    assert_eq!(
        (report.verdict.as_str(), report.counts.missing_left),
        ("fail", aside)
    );
    // Where most of it is set aside, too little was compared.
    let mut strict = definition();
    strict.wanted_percent = 95;
    let (report, _) = compared(&world, old_up_to([12, 20]), strict).await;
    assert_eq!(report.verdict, "inconclusive");
    let words = report.reasons.join(";");
    assert!(words.contains("20 points are set aside"), "{words}");
}

#[tokio::test]
async fn what_state_does_not_hold_yet_cannot_be_proven() {
    let world = World::build().await;
    let (report, _) = compared(&world, old_up_to([25, 20]), definition()).await;
    assert_eq!(report.verdict, "inconclusive");
    let words = report.reasons.join(";");
    assert!(
        words.contains("ends at offset 20, one side has read up to 25"),
        "{words}"
    );
    let mut unknown = old_up_to([20, 20]);
    unknown
        .positions
        .as_mut()
        .unwrap()
        .insert(chain(9), Offset(3));
    let (report, _) = compared(&world, unknown, definition()).await;
    assert_eq!(report.verdict, "inconclusive");
    assert!(
        report
            .reasons
            .join(";")
            .contains("does not know src/points/0/9")
    );
}

#[tokio::test]
async fn damaged_state_between_the_positions_proves_nothing() {
    let world = World::build().await;
    let mut objects = BTreeSet::new();
    for object in world.bucket.list("", None).await.unwrap() {
        if object.key.contains("/state/") {
            objects.insert(object.key);
        }
    }
    for key in objects {
        let mut bytes = world.bucket.get(&key).await.unwrap().to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let id = skein_shared::ids::WriteId::random();
        world.bucket.put(&key, bytes.into(), id).await.unwrap();
    }
    let (report, _) = compared(&world, old_up_to([12, 20]), definition()).await;
    assert_eq!(report.verdict, "inconclusive");
    assert!(
        report
            .reasons
            .join(";")
            .contains("state between the positions")
    );
}
