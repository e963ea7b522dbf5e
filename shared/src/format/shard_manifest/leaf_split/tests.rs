use proptest::prelude::*;

use super::*;
use crate::format::digest::ContentDigest;
use crate::format::segment_writer::SegmentSummary;
use crate::format::shard_manifest::{Layer, ManifestRoot};
use crate::ids::{MetricId, OrgId, SeriesKey, ShardId, WriteId};
use crate::timeline::OwnershipFilter;
use crate::window::{Resolution, TimestampMs};

fn segment(window: i64, generation: u64, number: usize) -> SegmentEntry {
    let series = SeriesKey {
        org: OrgId(1),
        metric: MetricId(2),
    };
    SegmentEntry {
        key: format!("segment-{window}-{generation}-{number}"),
        window: Window::from_number(window),
        resolution: Resolution::Raw,
        layer: Layer::Base,
        rollup_of: None,
        generation: Generation(generation),
        write_id: WriteId::random(),
        summary: SegmentSummary {
            size_bytes: 9,
            tail_bytes: 7,
            crc32c: 5,
            digest: ContentDigest::EMPTY,
            points: 3,
            raw_points: 3,
            series: 1,
            first_timestamp: TimestampMs(0),
            last_timestamp: TimestampMs(1),
            first_series: series,
            last_series: series,
        },
        deletes_applied: 0,
        filter: OwnershipFilter::Owned,
    }
}

fn seal(generation: u64, windows: &[i64]) -> SealRef {
    SealRef {
        key: format!("seal-{generation}"),
        crc32c: 1,
        windows: windows.iter().copied().map(Window::from_number).collect(),
        generation: Generation(generation),
    }
}

fn list(number: usize) -> QuarantineRef {
    QuarantineRef {
        key: format!("list-{number}"),
        records: 1,
        crc32c: 2,
    }
}

/// Names the leaves that are missing, as a commit does; answers them.
fn store(manifest: &mut ShardManifest) -> Vec<ManifestLeaf> {
    let leaves = manifest.new_leaves();
    for leaf in &leaves {
        manifest.leaves.retain(|known| known.scope != leaf.scope);
        manifest.leaves.push(LeafRef {
            key: format!("leaf-{}-{:?}", manifest.generation, leaf.scope),
            crc32c: 0,
            scope: leaf.scope,
            content: leaf.content(),
        });
    }
    leaves
}

/// A year of days with four segments each, one closed a generation, and `lists` quarantine lists.
fn a_year(lists: usize) -> ShardManifest {
    let mut manifest = ShardManifest::empty(ShardId::Quarantine);
    for day in 0..365_u64 {
        let window = day.cast_signed();
        let segments = (0..4).map(|number| segment(window, day + 1, number));
        manifest.segments.extend(segments);
        manifest.seals.push(seal(day + 1, &[window]));
    }
    manifest.quarantine = (0..lists).map(list).collect();
    manifest.generation = Generation(390);
    manifest
}

#[test]
fn a_commit_writes_what_is_new_and_not_what_is_old() {
    let mut manifest = a_year(1_000);
    let whole = manifest.encode(WriteId::random()).len();
    let leaves = store(&mut manifest);
    let root = manifest.encode(WriteId::random()).len();
    assert_eq!(leaves.len(), 11 + 7, "eleven months, seven times 128 lists");
    assert!(
        root * 8 < whole,
        "{root} of {whole} bytes are written again"
    );

    manifest.generation = Generation(391);
    manifest.segments.push(segment(365, 391, 0));
    assert_eq!(store(&mut manifest), [], "nothing else has changed");
    assert_eq!(manifest.carried_leaves().count(), leaves.len());
}

#[test]
fn windows_that_change_return_to_the_manifest_until_they_rest() {
    let mut manifest = a_year(0);
    manifest.generation = Generation(400);
    store(&mut manifest);
    let scope = LeafScope::of_window(Window::from_number(40));
    manifest.generation = Generation(401);
    manifest.segments.push(segment(40, 401, 0));
    assert!(manifest.carried_leaves().all(|leaf| leaf.scope != scope));
    assert_eq!(store(&mut manifest), []);
    manifest.generation = Generation(401 + COLD_GENERATIONS - 1);
    assert!(store(&mut manifest).iter().all(|leaf| leaf.scope != scope));
    manifest.generation = Generation(401 + COLD_GENERATIONS);
    assert!(store(&mut manifest).iter().any(|leaf| leaf.scope == scope));
}

#[test]
fn a_manifest_is_not_read_without_its_leaves() {
    let mut manifest = a_year(0);
    let mut leaves = store(&mut manifest);
    let bytes = manifest.encode(WriteId::random());
    assert!(ShardManifest::decode(&bytes).is_err());
    let root = || ManifestRoot::decode(&bytes).unwrap().1;
    assert!(root().join(leaves[1..].to_vec()).is_err(), "one is missing");
    let twice = [leaves.clone(), leaves[..1].to_vec()].concat();
    assert!(root().join(twice).is_err(), "one is there twice");
    leaves[3].segments[0].summary.points += 1;
    assert!(root().join(leaves).is_err(), "one says something else");
}

/// A history of commits: each adds segments to some windows, removes some, and may add quarantine lists.
fn steps() -> impl Strategy<Value = Vec<(Vec<i64>, Vec<i64>, usize, u64)>> {
    let windows = || prop::collection::vec(-70_i64..70, 0..40);
    prop::collection::vec((windows(), windows(), 0_usize..90, 1_u64..40), 1..12)
}

proptest! {
    #[test]
    fn leaves_change_nothing_of_what_a_manifest_says(steps in steps()) {
        let mut manifest = ShardManifest::empty(ShardId::Quarantine);
        let mut stored = BTreeMap::new();
        for (added, removed, lists, generations) in steps {
            manifest.generation.0 += generations;
            let generation = manifest.generation.0;
            let removed: BTreeSet<_> = removed.into_iter().map(Window::from_number).collect();
            manifest.segments.retain(|segment| !removed.contains(&segment.window));
            let new = added.iter().enumerate();
            manifest.segments.extend(new.map(|(n, window)| segment(*window, generation, n)));
            manifest.segments.sort_by_key(|s| (s.window, s.generation));
            if !added.is_empty() {
                manifest.seals.push(seal(generation, &added));
            }
            let known = manifest.quarantine.len();
            manifest.quarantine.extend((known..known + lists).map(list));

            for leaf in store(&mut manifest) {
                let bytes = leaf.encode(WriteId::random());
                let (_, read) = ManifestLeaf::decode(&bytes).unwrap();
                prop_assert_eq!(&read, &leaf);
                stored.insert((leaf.scope, leaf.content()), read);
            }
            let (_, root) = ManifestRoot::decode(&manifest.encode(WriteId::random())).unwrap();
            let named = root.leaves().iter();
            let leaves = named.map(|leaf| stored[&(leaf.scope, leaf.content)].clone()).collect();
            let read = root.join(leaves).unwrap();
            manifest.leaves.clone_from(&read.leaves);
            prop_assert_eq!(&read, &manifest);
        }
    }

    #[test]
    fn any_damage_of_a_leaf_is_refused(at: prop::sample::Index, flip in 1_u8..) {
        let leaf = &a_year(0).new_leaves()[0];
        let mut bytes = leaf.encode(WriteId::random()).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(ManifestLeaf::decode(&bytes).is_err());
        prop_assert!(ManifestLeaf::decode(&bytes[..at]).is_err());
    }
}
