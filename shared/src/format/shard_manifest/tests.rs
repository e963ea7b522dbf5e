use proptest::prelude::*;

use super::*;
use crate::format::damage::{DamageId, DamageState, Decision};
use crate::ids::{Incarnation, MetricId, PartitionId, SeriesKey, SourceName, TopicName};
use crate::timeline::OwnershipFilter;
use crate::units::{ByteCount, Millis};
use crate::window::TimestampMs;

fn chain(topic: u8, partition: u32) -> Chain {
    Chain {
        source: SourceName::new("kafka").unwrap(),
        topic: TopicName::new(format!("points-{topic}")).unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

fn entry(number: u64, window: i64, points: u64) -> SegmentEntry {
    let series = |number| SeriesKey {
        org: OrgId(number),
        metric: MetricId(u64::MAX - number),
    };
    let mut digest = ContentDigest::EMPTY;
    digest.add_hash(u128::from(points) << 70);
    SegmentEntry {
        key: format!("segment-{number}"),
        window: Window::from_number(window),
        resolution: Resolution::Raw,
        layer: match number % 3 {
            0 => Layer::Base,
            steps => Layer::Overlay { steps },
        },
        rollup_of: None,
        generation: Generation(number),
        write_id: WriteId::random(),
        summary: SegmentSummary {
            size_bytes: points * 2,
            tail_bytes: 77,
            crc32c: 5,
            digest,
            points,
            raw_points: points,
            series: 3,
            first_timestamp: TimestampMs(window * 86_400_000),
            last_timestamp: TimestampMs(window * 86_400_000 + 99),
            first_series: series(number),
            last_series: series(number + 1),
        },
        deletes_applied: number / 2,
        filter: match number % 3 {
            1 => OwnershipFilter::Everything,
            _ => OwnershipFilter::Owned,
        },
    }
}

/// A rollup of `raw`.
fn rollup(raw: &SegmentEntry, resolution: Resolution) -> SegmentEntry {
    let mut rollup = raw.clone();
    rollup.key = format!("{}-{resolution}", raw.key);
    rollup.resolution = resolution;
    rollup.rollup_of = Some(raw.key.clone());
    rollup.summary.points = 1 + raw.summary.points / 30;
    rollup
}

fn limits(sizes: [u32; 7]) -> Limits {
    let [payload, points, entries, metadata, windows, past, future] = sizes;
    Limits {
        payload_bytes: ByteCount(payload.into()),
        points,
        metadata_entries: entries,
        metadata_bytes: ByteCount(metadata.into()),
        windows: windows.into(),
        past: Millis(past.into()),
        future: Millis(future.into()),
    }
}

fn damage((id, [from, to, at], state): (u64, [i64; 3], u8)) -> DamageRef {
    let decision = Decision {
        actor: "me".into(),
        reason: "why".into(),
        time: TimestampMs(at),
        generation: Generation(7),
    };
    DamageRef {
        id: DamageId(id),
        list: "q".into(),
        object: "o".into(),
        at: id / 2,
        bytes: id / 3,
        frames: id / 5,
        times: TimeSpan {
            from: TimestampMs(from),
            to: TimestampMs(to),
        },
        state: match state {
            0 => DamageState::Undecided,
            1 => DamageState::Accepted(decision),
            _ => DamageState::Released(decision),
        },
    }
}

prop_compose! {
    fn manifest()(
        generation in 1_u64..,
        positions in proptest::collection::btree_map((0_u8..3, 0_u32..40), 0..i64::MAX, 0..20),
        segments in proptest::collection::vec((1_u64..99, -9_i64..9, 0_u64..1 << 40), 0..5),
        counts in any::<[u32; 6]>(),
        damages in proptest::collection::vec((any::<u64>(), any::<[i64; 3]>(), 0_u8..3), 0..4),
        deleted in proptest::collection::btree_map(any::<u64>(), any::<u64>(), 0..4),
        sizes in any::<[u32; 7]>(),
        (expiry, complete_to) in (expiry::tests::expiry(), any::<Option<i64>>()),
    ) -> ShardManifest {
        let [records, quarantined_records, points_in, duplicates, not_owned, damaged_frames] =
            counts.map(u64::from);
        let by_deletes = damaged_frames / 2;
        ShardManifest {
            shard: ShardId::Shared { modulus: 64, remainder: 3 },
            generation: Generation(generation),
            fills: positions
                .iter()
                .map(|((topic, partition), offset)| {
                    let chain = chain(*topic, *partition);
                    (Hole { chain, from: Offset(offset / 2) }, Offset(*offset))
                })
                .collect(),
            positions: positions
                .into_iter()
                .map(|((topic, partition), offset)| (chain(topic, partition), Offset(offset)))
                .collect(),
            segments: segments
                .into_iter()
                .map(|(n, window, points)| entry(n, window, points))
                .flat_map(|raw| [rollup(&raw, Resolution::FiveMinutes), raw])
                .collect(),
            kept_from: Generation(counts[0].into()),
            void_before: Generation(counts[1].into()),
            earlier_limits: vec![LimitsEpoch {
                limits: limits(sizes.map(|size| size / 2)),
                positions: BTreeMap::from([(chain(1, 1), Offset(counts[2].into()))]),
                fills: BTreeMap::new(),
            }],
            versions: ManifestVersions { shard_map: 2, timeline: 1, encoder: 0, limits: limits(sizes) },
            quarantine: vec![QuarantineRef { key: "q".into(), records: 2, crc32c: 9 }],
            seals: vec![SealRef {
                key: "s".into(),
                crc32c: 3,
                windows: [-3, 4].map(Window::from_number).into(),
                generation: Generation(counts[1].into()),
            }],
            counts: ConservationCounts {
                records,
                quarantined_records,
                points_in,
                duplicates,
                not_owned,
                damaged_frames,
                deleted: by_deletes,
                expired: by_deletes / 3,
            },
            damages: damages.into_iter().map(damage).collect(),
            account: (records > 3).then(|| AccountRef {
                key: "a".into(),
                crc32c: 7,
            }),
            deletes_applied: by_deletes / 2,
            deleted,
            leaves: Vec::new(),
            expiry,
            complete_to: complete_to.map(TimestampMs),
        }
    }
}

proptest! {
    #[test]
    fn every_manifest_reads_back(manifest in manifest()) {
        let write_id = WriteId::random();
        let bytes = manifest.encode(write_id);
        prop_assert_eq!(ShardManifest::decode(&bytes).unwrap(), (write_id, manifest));
    }

    #[test]
    fn any_damage_is_refused(manifest in manifest(), at: prop::sample::Index, flip in 1_u8..) {
        let bytes = manifest.encode(WriteId::random());
        let at = at.index(bytes.len());
        let mut damaged = bytes.to_vec();
        damaged[at] ^= flip;
        prop_assert!(ShardManifest::decode(&damaged).is_err());
        prop_assert!(ShardManifest::decode(&bytes[..at]).is_err());
    }
}

#[test]
fn a_chain_that_was_never_read_stands_at_the_start() {
    let mut manifest = ShardManifest::empty(ShardId::Quarantine);
    assert_eq!(manifest.previous(), None);
    assert_eq!(manifest.position(&chain(0, 1)), Offset(0));
    manifest.positions.insert(chain(0, 1), Offset(7));
    assert_eq!(manifest.position(&chain(0, 1)), Offset(7));
}

#[test]
fn rollups_do_not_count_as_points() {
    let mut manifest = ShardManifest::empty(ShardId::Quarantine);
    let (one, two) = (entry(1, 0, 10), entry(2, 0, 7));
    manifest.segments = vec![one.clone(), two.clone()];
    let (points, digest) = (manifest.live_points(), manifest.live_digest());
    let hours = rollup(&one, Resolution::OneHour);
    manifest.segments.push(hours.clone());
    assert_eq!(
        (manifest.live_points(), manifest.live_digest()),
        (points, digest)
    );
    assert_eq!(points, 17);
    assert!(manifest.raw_segments().eq([&one, &two]));
    assert!(manifest.rollups().eq([&hours]));
    assert_eq!(manifest.rollup_of(&one, Resolution::OneHour), Some(&hours));
    assert_eq!(manifest.rollup_of(&one, Resolution::OneDay), None);
    assert_eq!(manifest.rollup_of(&two, Resolution::OneHour), None);
}

#[test]
fn a_rollup_that_does_not_cover_its_raw_segment_is_found() {
    let mut manifest = ShardManifest::empty(ShardId::Quarantine);
    let raw = entry(1, 0, 10);
    let mut hours = rollup(&raw, Resolution::OneHour);
    assert_eq!(
        manifest.raw_by_key().check_rollup(&hours),
        Err(RollupMismatch::NotLive)
    );
    manifest.segments = vec![raw];
    assert_eq!(manifest.raw_by_key().check_rollup(&hours), Ok(()));
    hours.summary.raw_points = 9;
    let (covered, points) = (9, 10);
    let other = RollupMismatch::OtherPoints { covered, points };
    assert_eq!(manifest.raw_by_key().check_rollup(&hours), Err(other));
    hours.window = Window::from_number(1);
    assert_eq!(
        manifest.raw_by_key().check_rollup(&hours),
        Err(RollupMismatch::OtherWindow)
    );
}

#[test]
fn a_rollup_may_outlive_its_points_only_where_they_expired() {
    let mut manifest = ShardManifest::empty(ShardId::Quarantine);
    let raw = entry(1, 0, 10);
    let hours = rollup(&raw, Resolution::OneHour);
    manifest.expiry.empty(raw.window);
    assert!(manifest.outlives_points(&hours));
    assert_eq!(manifest.raw_by_key().check_rollup(&hours), Ok(()));
    // Of an org that came later and keeps its points.
    manifest.segments = vec![raw];
    assert!(!manifest.outlives_points(&hours));
    assert_eq!(manifest.raw_by_key().check_rollup(&hours), Ok(()));
    let other = rollup(&entry(2, 1, 10), Resolution::OneHour);
    assert!(!manifest.outlives_points(&other));
    assert_eq!(
        manifest.raw_by_key().check_rollup(&other),
        Err(RollupMismatch::NotLive)
    );
}

#[test]
fn a_segment_is_asked_only_for_its_orgs_and_times() {
    let segment = entry(5, 1, 10);
    let span = |from, to| TimeSpan {
        from: TimestampMs(from),
        to: TimestampMs(to),
    };
    assert!(segment.may_hold(OrgId(5), TimeSpan::ALL));
    assert!(segment.may_hold(OrgId(6), span(86_400_099, 86_400_100)));
    assert!(!segment.may_hold(OrgId(7), TimeSpan::ALL));
    assert!(!segment.may_hold(OrgId(5), span(0, 86_400_000)));
    assert!(!segment.may_hold(OrgId(5), span(86_400_100, 99_999_999)));
}

#[test]
fn conservation_counts_what_must_be_live() {
    let mut counts = ConservationCounts {
        points_in: 10,
        duplicates: 3,
        not_owned: 1,
        deleted: 2,
        expired: 3,
        ..ConservationCounts::default()
    };
    assert_eq!(counts.expected_points(), Some(1));
    counts.add(ConservationCounts {
        deleted: 5,
        ..ConservationCounts::default()
    });
    assert_eq!(counts.expected_points(), None);
}
