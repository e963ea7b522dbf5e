use std::collections::BTreeMap;

use skein_shared::format::digest::ContentDigest;
use skein_shared::ids::SeriesKey;
use skein_shared::payload::{Limits, PayloadView, org_of};

use super::*;

fn settings() -> GeneratorSettings {
    GeneratorSettings {
        seed: 7,
        orgs: 5,
        series: 43,
        points: 43 * 700 + 11,
        late_permille: 150,
        duplicate_permille: 400,
        out_of_order_permille: 150,
        poison: 9,
        ..GeneratorSettings::default()
    }
}

/// Which of two values of one point wins: record timestamp, place in the sending, place in the payload.
type Order = (TimestampMs, usize, usize);

/// Winner of each point, by bits of its value.
type Winners = BTreeMap<(SeriesKey, i64), (Order, u64)>;

/// Merges everything that is sent by the rule of duplicates, as slowly and plainly as possible.
fn merge_all(generator: &Generator) -> (Winners, BTreeMap<&str, u64>) {
    let (mut points, mut refused) = (BTreeMap::new(), BTreeMap::new());
    let mut record = OutgoingRecord::default();
    let mut records = generator.records();
    let mut place = 0;
    while records.next_into(&mut record) {
        place += 1;
        let header = record.org_header.as_deref().map(str::as_bytes);
        let parsed = org_of(Some(&record.value), header).and_then(|_| {
            let view =
                PayloadView::parse(&record.value, &Limits::default(), Some(record.timestamp))?;
            view.check_org(header)?;
            Ok(view)
        });
        let view = match parsed {
            Ok(view) => view,
            Err(refusal) => {
                *refused.entry(refusal.name()).or_default() += 1;
                continue;
            }
        };
        let series = SeriesKey {
            org: view.org(),
            metric: view.series().metric,
        };
        assert_eq!(record.key, outgoing::key_of(series));
        assert_eq!(record.points, view.point_count() as u64);
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        view.points().decode_into(&mut timestamps, &mut values);
        for (i, (timestamp, value)) in timestamps.iter().zip(values).enumerate() {
            let order = (record.timestamp, place, i);
            let slot = points
                .entry((series, *timestamp))
                .or_insert((order, value.to_bits()));
            if slot.0 <= order {
                *slot = (order, value.to_bits());
            }
        }
    }
    (points, refused)
}

#[test]
fn the_oracle_is_what_the_rule_of_duplicates_makes_of_the_records() {
    let generator = Generator::new(settings()).unwrap();
    let (points, refused) = merge_all(&generator);
    let mut expected = BTreeMap::new();
    for plan in generator.plans() {
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        let mut series = generator.expected(plan);
        while series.next_into(&mut timestamps, &mut values) {}
        assert!(timestamps.is_sorted_by(|a, b| a < b), "{}", plan.text);
        assert_eq!(values.len() as u64, plan.points);
        for (timestamp, value) in timestamps.into_iter().zip(values) {
            expected.insert((plan.key, timestamp), value.to_bits());
        }
    }
    assert_eq!(expected.len() as u64, settings().points);
    assert!(
        points
            .into_iter()
            .map(|(at, (_, bits))| (at, bits))
            .eq(expected.clone())
    );

    let expectation = generator.expectation();
    assert_eq!(refused, expectation.quarantined);
    assert_eq!(refused.len(), 4, "every kind of poison is there");
    let mut digest = ContentDigest::EMPTY;
    for ((series, timestamp), bits) in expected {
        digest.add_point(series, timestamp, f64::from_bits(bits));
    }
    assert_eq!(
        (expectation.points, expectation.digest),
        (settings().points, digest)
    );
}

#[test]
fn the_same_seed_gives_the_same_records_and_another_seed_others() {
    let bytes = |seed| {
        let generator = Generator::new(GeneratorSettings { seed, ..settings() }).unwrap();
        let mut record = OutgoingRecord::default();
        let (mut all, mut records) = (Vec::new(), generator.records());
        while records.next_into(&mut record) {
            all.push((record.key, record.timestamp, record.value.clone()));
        }
        all
    };
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
}

#[test]
fn every_disorder_and_every_kind_happens() {
    let generator = Generator::new(settings()).unwrap();
    let mut names: Vec<String> = Vec::new();
    for plan in generator.plans() {
        for chunk in 0..plan.chunk_count(&settings()) {
            let arrival = format!(
                "{:?}",
                arrival::Arrival::of(&settings(), plan.number, chunk)
            );
            names.push(arrival.split(' ').next().unwrap().to_owned());
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 8, "{names:?}");
    let noise = generator
        .plans()
        .iter()
        .filter(|plan| plan.kind == Kind::Noise)
        .count();
    assert!(noise * 10 >= generator.plans().len() * 3, "{noise}");
    assert_eq!(
        generator.expectation().points_by_kind.len(),
        Kind::ALL.len()
    );
}

#[test]
fn settings_out_of_bounds_are_named() {
    let refused = |change: fn(&mut GeneratorSettings)| {
        let mut settings = settings();
        change(&mut settings);
        Generator::new(settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.orgs = 0).contains("orgs=`0`"));
    assert!(refused(|s| s.series = 9).contains("series=`9`"));
    assert!(refused(|s| s.points = 42).contains("points=`42`"));
    assert!(refused(|s| s.interval = Millis(9)).contains("interval=`9`"));
    assert!(refused(|s| s.payload_points = 0).contains("payload_points=`0`"));
    assert!(refused(|s| s.late_permille = 1001).contains("share"));
    assert!(refused(|s| (s.points, s.series, s.orgs) = (u64::MAX, 1, 1)).contains("1000 years"));
}
