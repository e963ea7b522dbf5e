use super::*;
use skein_shared::format::compact_result::DeltaDeletes;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::segment_writer::SegmentSummary;
use skein_shared::format::shard_manifest::{ConservationCounts, ManifestVersions};
use skein_shared::ids::{
    Chain, Incarnation, MetricId, OrgId, PartitionId, SeriesKey, ShardId, SourceName, TopicName,
};
use skein_shared::timeline::OwnershipFilter;
use skein_shared::window::Resolution;

fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("s").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

fn advance(partition: u32, to: i64) -> Delta {
    let advance = Advance {
        from: None,
        to: Offset(to),
    };
    Delta {
        advances: BTreeMap::from([(chain(partition), advance)]),
        fill_advances: BTreeMap::new(),
        replaced: BTreeMap::new(),
        added: Vec::new(),
        quarantine: Vec::new(),
        seal: None,
        counts: ConservationCounts::default(),
        orgs: None,
        versions: ManifestVersions::default(),
        damages: Vec::new(),
        deletes: DeltaDeletes::default(),
        complete_to: None,
    }
}

fn first() -> ShardManifest {
    ShardManifest::empty(ShardId::Dedicated(OrgId(7)))
}

#[test]
fn a_delta_that_touches_other_chains_is_issued_again_at_the_next_number() {
    let theirs = apply(&first(), &advance(1, 10)).unwrap();
    let ours = apply(&theirs, &advance(2, 5)).unwrap();
    assert_eq!(ours.generation, Generation(2));
    assert_eq!(ours.position(&chain(1)), Offset(10));
    assert_eq!(ours.position(&chain(2)), Offset(5));
}

#[test]
fn a_delta_over_input_that_another_has_committed_is_superseded() {
    let theirs = apply(&first(), &advance(1, 10)).unwrap();
    let error = apply(&theirs, &advance(1, 12)).unwrap_err();
    assert!(matches!(error, Error::Superseded { .. }), "{error}");
    assert_eq!(error.kind(), skein_shared::ErrorKind::Fenced);
}

#[test]
fn a_merge_of_a_window_that_has_changed_is_superseded() {
    let mut delta = advance(1, 10);
    delta
        .replaced
        .insert(Window::from_number(3), vec!["gone".into()]);
    assert!(matches!(
        apply(&first(), &delta),
        Err(Error::Superseded { .. })
    ));
}

#[test]
fn a_delta_that_knows_nothing_of_a_delete_that_is_done_is_superseded() {
    let mut theirs = advance(1, 10);
    theirs.deletes.in_force = 3;
    theirs.deletes.applied = 2;
    let base = apply(&first(), &theirs).unwrap();
    assert_eq!(base.deletes_applied, 2);
    let mut ours = advance(2, 5);
    ours.deletes.in_force = 1;
    let error = apply(&base, &ours).unwrap_err();
    assert!(matches!(error, Error::Superseded { .. }), "{error}");
    ours.deletes.in_force = 2;
    assert_eq!(apply(&base, &ours).unwrap().deletes_applied, 2);
}

fn segment(layer: Layer, deletes_applied: u64) -> SegmentEntry {
    let series = SeriesKey {
        org: OrgId(7),
        metric: MetricId(1),
    };
    SegmentEntry {
        key: "live".into(),
        window: Window::from_number(3),
        resolution: Resolution::Raw,
        layer,
        rollup_of: None,
        generation: Generation(1),
        write_id: WriteId::random(),
        summary: SegmentSummary {
            size_bytes: 1,
            tail_bytes: 1,
            crc32c: 0,
            digest: ContentDigest::EMPTY,
            points: 0,
            raw_points: 0,
            series: 1,
            first_timestamp: Window::from_number(3).start(),
            last_timestamp: Window::from_number(3).start(),
            first_series: series,
            last_series: series,
        },
        deletes_applied,
        filter: OwnershipFilter::Owned,
    }
}

#[test]
fn what_was_made_with_more_deletes_is_not_merged_without_them() {
    let mut base = first();
    base.segments = vec![segment(Layer::Overlay { steps: 1 }, 2)];
    let mut delta = advance(1, 10);
    delta.replaced = BTreeMap::from([(Window::from_number(3), vec!["live".into()])]);
    delta.deletes.in_force = 1;
    let error = apply(&base, &delta).unwrap_err();
    assert!(error.to_string().contains("more deletes"), "{error}");
    delta.deletes.in_force = 2;
    apply(&base, &delta).unwrap();
}

#[test]
fn points_made_before_their_window_expired_are_not_taken_in_after_it() {
    let mut theirs = first();
    theirs.generation = Generation(5);
    theirs.expiry.changed_at = Generation(5);
    theirs.expiry.empty(Window::from_number(3));
    let mut ours = advance(1, 10);
    ours.added = vec![segment(Layer::Overlay { steps: 1 }, 0)];
    ours.deletes.made_on = Generation(4);
    let error = apply(&theirs, &ours).unwrap_err();
    assert!(matches!(error, Error::Superseded { .. }), "{error}");
    ours.deletes.made_on = Generation(5);
    apply(&theirs, &ours).unwrap();
    ours.deletes.made_on = Generation(4);
    ours.added[0].window = Window::from_number(4);
    apply(&theirs, &ours).unwrap();
}

#[test]
fn a_shard_knows_up_to_when_it_was_complete() {
    let mut delta = advance(1, 10);
    delta.complete_to = Some(Window::from_number(4).start());
    let base = apply(&first(), &delta).unwrap();
    assert_eq!(base.complete_to, delta.complete_to);
    let later = apply(&base, &advance(2, 10)).unwrap();
    assert_eq!(later.complete_to, delta.complete_to);
}

#[test]
fn a_window_gets_no_second_base() {
    let mut base = first();
    base.segments = vec![segment(Layer::Base, 0)];
    let mut delta = advance(1, 10);
    delta.seal = Some(SealRef {
        key: "seal".into(),
        crc32c: 0,
        windows: [Window::from_number(3)].into(),
        generation: Generation(0),
    });
    let error = apply(&base, &delta).unwrap_err();
    assert!(error.to_string().contains("another base"), "{error}");
    delta.replaced = BTreeMap::from([(Window::from_number(3), vec!["live".into()])]);
    apply(&base, &delta).unwrap();
}

#[test]
fn a_delta_that_loses_a_point_is_refused() {
    let mut delta = advance(1, 10);
    delta.counts.points_in = 3;
    delta.counts.duplicates = 2;
    let error = apply(&first(), &delta).unwrap_err();
    assert!(matches!(error, Error::Unconserved { .. }), "{error}");
}
