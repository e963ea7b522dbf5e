//! What a commit of a shard writes.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::damage::{
    Damage, DamageId, DamageRef, DamageState, Decision, LostOffsets,
};
use skein_shared::format::quarantine::{QuarantineList, QuarantinedRecord};
use skein_shared::format::seal::Seal;
use skein_shared::format::segment_writer::SegmentSummary;
use skein_shared::format::shard_manifest::{
    AccountRef, ConservationCounts, Deleted, Expiry, FirstKept, Layer, LeafRef, LeafScope,
    LimitsEpoch, ManifestLeaf, ManifestRoot, ManifestVersions, QuarantineRef, SealRef,
    SegmentEntry, ShardManifest,
};
use skein_shared::ids::{Chain, Generation, Hole, OrgId, Position};
use skein_shared::offset::Offset;
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::{Resolution, TimeSpan, Window};

use super::Golden;
use super::fixed::{
    WINDOW, at, chain, digest, flush, hole, key, limits, shared_shard, span, stream, write_id,
};

pub(super) fn goldens() -> Vec<Golden> {
    let leaf = |name, sample| {
        Golden::of_envelope(name, sample, ManifestLeaf::encode, ManifestLeaf::decode)
    };
    let seal = Seal {
        shard: shared_shard(),
        expected_generation: Generation(9),
        positions: positions(),
        fills: fills(),
    };
    vec![
        Golden::of_envelope(
            "shard-manifest-1",
            manifest(),
            ShardManifest::encode,
            |bytes| {
                let (write_id, root) = ManifestRoot::decode(bytes)?;
                let leaves = vec![windows_leaf(), quarantine_leaf(0)];
                Ok((write_id, root.join(leaves)?))
            },
        ),
        leaf("manifest-leaf-windows-1", windows_leaf()),
        leaf("manifest-leaf-unfiltered-1", unfiltered_leaf()),
        leaf("manifest-leaf-quarantine-1", quarantine_leaf(2)),
        Golden::of_envelope(
            "quarantine-1",
            quarantine(),
            QuarantineList::encode,
            QuarantineList::decode,
        ),
        Golden::of_envelope("seal-1", seal, Seal::encode, Seal::decode),
    ]
}

/// Half of it in two leaves, half of it by itself.
fn manifest() -> ShardManifest {
    let named = |leaf: &ManifestLeaf| LeafRef {
        key: "00ff/leaf/of-this".into(),
        crc32c: 0x0a0b_0c0d,
        scope: leaf.scope,
        content: leaf.content(),
    };
    let beyond = Window::from_number(WINDOW.number() + 40);
    let mut segments = vec![base(), overlay(), rollup()];
    let later = segments.clone().into_iter();
    segments.extend(later.map(|segment| SegmentEntry {
        window: beyond,
        ..segment
    }));
    let mut seal = seal_ref();
    seal.windows.insert(beyond);
    ShardManifest {
        shard: shared_shard(),
        generation: Generation(9),
        positions: positions(),
        fills: fills(),
        kept_from: Generation(5),
        void_before: Generation(6),
        earlier_limits: vec![LimitsEpoch {
            limits: limits(),
            positions: positions(),
            fills: fills(),
        }],
        segments,
        versions: versions(),
        quarantine: (1..=130).map(quarantine_ref).collect(),
        counts: counts(),
        seals: vec![seal],
        damages: damage_refs(),
        deletes_applied: 3,
        deleted: deleted(),
        leaves: vec![named(&windows_leaf()), named(&quarantine_leaf(0))],
        expiry: expiry(),
        complete_to: Some(at(70)),
        account: Some(AccountRef {
            key: "00ff/account/of-this".into(),
            crc32c: 0xacc0_0acc,
        }),
    }
}

fn expiry() -> Expiry {
    let first = |days| Some(Window::from_number(WINDOW.number() - days));
    let cut = |everyone| FirstKept {
        everyone,
        orgs: BTreeMap::from([(OrgId(7), first(10)), (OrgId(300), first(3))]),
    };
    let cuts = BTreeMap::from([
        (Resolution::Raw, cut(first(30))),
        (Resolution::OneHour, cut(None)),
    ]);
    let mut expiry = Expiry::default().advanced(&cuts);
    expiry.empty(Window::from_number(WINDOW.number() - 40));
    expiry.empty(Window::from_number(WINDOW.number() - 39));
    expiry.changed_at = Generation(8);
    expiry.as_of = Some(at(69));
    expiry
}

/// With an overlay that holds points of another pipeline.
fn unfiltered_leaf() -> ManifestLeaf {
    let mut leaf = windows_leaf();
    for segment in &mut leaf.segments {
        if segment.layer != Layer::Base {
            segment.filter = OwnershipFilter::Everything;
        }
    }
    leaf
}

fn windows_leaf() -> ManifestLeaf {
    ManifestLeaf {
        shard: shared_shard(),
        scope: LeafScope::of_window(WINDOW),
        segments: vec![base(), overlay(), rollup()],
        seals: vec![seal_ref()],
        quarantine: Vec::new(),
    }
}

fn quarantine_leaf(number: u64) -> ManifestLeaf {
    ManifestLeaf {
        shard: shared_shard(),
        scope: LeafScope::Quarantine(number),
        segments: Vec::new(),
        seals: Vec::new(),
        quarantine: (1..=128).map(quarantine_ref).collect(),
    }
}

fn quarantine() -> QuarantineList {
    QuarantineList {
        shard: shared_shard(),
        expected_generation: Generation(9),
        records: vec![QuarantinedRecord {
            position: Position {
                chain: chain("points", 5),
                offset: Offset(4_123),
            },
            flush: flush(12),
            object_key: "00ff/state/of-this".into(),
            reason_code: 7,
            reason: "3 timestamps and 2 values".into(),
        }],
        damages: vec![Damage {
            flush: flush(12),
            object_key: "00ff/state/of-that".into(),
            at: 88,
            bytes: 1_000,
            frames: 40,
            times: times(),
            lost: vec![LostOffsets {
                stream: stream(5),
                span: span(4_130, 4_140),
            }],
            error: "crc32c does not match".into(),
        }],
    }
}

fn positions() -> BTreeMap<Chain, Offset> {
    BTreeMap::from([
        (chain("more", 1), Offset(20)),
        (chain("points", 5), Offset(4_200)),
        (chain("points", 6), Offset(4_201)),
    ])
}

fn fills() -> BTreeMap<Hole, Offset> {
    BTreeMap::from([(hole(5), Offset(4_050)), (hole(6), Offset(4_051))])
}

fn times() -> TimeSpan {
    TimeSpan {
        from: at(-9),
        to: at(9),
    }
}

pub(super) fn versions() -> ManifestVersions {
    ManifestVersions {
        shard_map: 3,
        timeline: 2,
        encoder: 7,
        limits: limits(),
    }
}

pub(super) fn counts() -> ConservationCounts {
    ConservationCounts {
        records: 1_001,
        quarantined_records: 1_002,
        points_in: 1_003,
        duplicates: 1_004,
        not_owned: 1_005,
        damaged_frames: 1_006,
        deleted: 1_007,
        expired: 1_008,
    }
}

pub(super) fn deleted() -> Deleted {
    Deleted::from([(2, 20), (4, 40)])
}

pub(super) fn quarantine_ref(number: u32) -> QuarantineRef {
    QuarantineRef {
        key: format!("00ff/quarantine/{number}"),
        records: 3,
        crc32c: 0xc0ff_ee00 + number,
    }
}

pub(super) fn seal_ref() -> SealRef {
    SealRef {
        key: "00ff/seal/of-this".into(),
        crc32c: 0x5ea1_5ea1,
        windows: BTreeSet::from([WINDOW, Window::from_number(WINDOW.number() + 1)]),
        generation: Generation(8),
    }
}

pub(super) fn damage_refs() -> Vec<DamageRef> {
    let decision = Decision {
        actor: "an operator".into(),
        reason: "there is no copy".into(),
        time: at(60),
        generation: Generation(7),
    };
    let damage = |id, state| DamageRef {
        id: DamageId(id),
        list: "00ff/quarantine/1".into(),
        object: "00ff/state/of-that".into(),
        at: 88,
        bytes: 1_000,
        frames: 40,
        times: times(),
        state,
    };
    vec![
        damage(0x0101, DamageState::Undecided),
        damage(0x0202, DamageState::Accepted(decision.clone())),
        damage(0x0303, DamageState::Released(decision)),
    ]
}

pub(super) fn base() -> SegmentEntry {
    segment("00ff/segment/base", Layer::Base)
}

pub(super) fn overlay() -> SegmentEntry {
    segment("00ff/segment/overlay", Layer::Overlay { steps: 3 })
}

fn rollup() -> SegmentEntry {
    let raw = segment("00ff/segment/rollup", Layer::Base);
    SegmentEntry {
        resolution: Resolution::OneHour,
        rollup_of: Some(base().key),
        summary: SegmentSummary {
            raw_points: 1_004,
            ..raw.summary
        },
        ..raw
    }
}

fn segment(key: &str, layer: Layer) -> SegmentEntry {
    SegmentEntry {
        key: key.to_owned(),
        window: WINDOW,
        resolution: Resolution::Raw,
        layer,
        rollup_of: None,
        generation: Generation(8),
        write_id: write_id(),
        summary: summary(),
        deletes_applied: 3,
        filter: OwnershipFilter::Owned,
    }
}

fn summary() -> SegmentSummary {
    SegmentSummary {
        size_bytes: 100_001,
        tail_bytes: 1_002,
        crc32c: 0x600d_600d,
        digest: digest(7),
        points: 1_003,
        raw_points: 1_003,
        series: 1_005,
        first_timestamp: at(1),
        last_timestamp: at(2),
        first_series: self::key(3, 4),
        last_series: self::key(5, 6),
    }
}
