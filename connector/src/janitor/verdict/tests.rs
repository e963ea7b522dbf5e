//! Fence before delete, case by case.

use skein_shared::format::frame::LastRecord;
use skein_shared::ids::{Chain, Incarnation, PartitionId, SourceName, Tenure, TopicName, WorkerId};
use skein_shared::offset::Span;
use uuid::Uuid;

use super::*;

const PATIENCE: Millis = Millis::seconds(3600);

fn flush(worker: u128) -> FlushId {
    FlushId {
        worker: WorkerId(Uuid::from_u128(worker)),
        counter: 1,
    }
}

fn entry(kind: EntryKind) -> LedgerEntry {
    LedgerEntry {
        chain: Chain {
            source: SourceName::new("s").unwrap(),
            topic: TopicName::new("t").unwrap(),
            incarnation: Incarnation(0),
            partition: PartitionId(0),
        },
        span: Span::new(Offset(10), Offset(20)),
        kind,
        frames: 10,
        times: None,
        last: None::<LastRecord>,
    }
}

fn flushed(worker: u128) -> LedgerEntry {
    entry(EntryKind::Flushed {
        flush: flush(worker),
        tenure: Tenure(1),
    })
}

#[track_caller]
fn check(manifest: Manifest, worker: Worker, age: Millis, expected: Verdict) {
    let thing = Thing::Object;
    let evidence = Evidence {
        thing,
        manifest,
        worker,
        age,
    };
    assert_eq!(verdict(&evidence, PATIENCE), expected, "{evidence:?}");
}

#[test]
fn nothing_is_removed_by_age_or_silence_alone() {
    for age in [Millis(0), PATIENCE, Millis(u64::MAX)] {
        for worker in [Worker::Tells, Worker::Silent] {
            for manifest in [
                Manifest::Absent,
                Manifest::Written(vec![Fate::Counts]),
                Manifest::Written(vec![Fate::Open]),
                Manifest::Written(vec![Fate::Lost, Fate::Open]),
                Manifest::Written(vec![Fate::Lost, Fate::Counts, Fate::Lost]),
                Manifest::Written(vec![Fate::Lost, Fate::Unknown]),
                Manifest::Damaged,
            ] {
                let evidence = Evidence {
                    thing: Thing::Object,
                    manifest,
                    worker,
                    age,
                };
                assert_ne!(
                    verdict(&evidence, PATIENCE),
                    Verdict::Remove,
                    "{evidence:?}"
                );
            }
        }
    }
}

#[test]
fn a_flush_is_declared_void_only_when_its_worker_is_silent_and_the_thing_is_old() {
    let keep = Verdict::Keep;
    let absent = || Manifest::Absent;
    check(
        absent(),
        Worker::Tells,
        PATIENCE,
        keep(Because::WorkerTells),
    );
    check(
        absent(),
        Worker::Silent,
        Millis(PATIENCE.0 - 1),
        keep(Because::Young),
    );
    check(absent(), Worker::Silent, PATIENCE, Verdict::DeclareVoid);
}

#[test]
fn what_is_damaged_permits_nothing_however_old_and_silent() {
    let (thing, worker) = (Thing::Upload, Worker::Silent);
    let evidence = Evidence {
        thing,
        manifest: Manifest::Damaged,
        worker,
        age: Millis(u64::MAX),
    };
    let keep = Verdict::Keep(Because::Damaged);
    assert_eq!(verdict(&evidence, PATIENCE), keep);
    let unknown = Manifest::Written(vec![Fate::Lost, Fate::Unknown]);
    check(unknown, worker, Millis(u64::MAX), keep);
}

#[test]
fn what_is_void_or_lost_for_ever_is_removed_also_from_a_worker_that_lives() {
    for worker in [Worker::Tells, Worker::Silent] {
        let young = Millis(0);
        check(Manifest::Void, worker, young, Verdict::Remove);
        let lost = Manifest::Written(vec![Fate::Lost, Fate::Lost]);
        check(lost, worker, young, Verdict::Remove);
    }
}

#[test]
fn an_upload_that_is_still_open_when_its_flush_is_finished_is_nobodys() {
    for fate in [Fate::Counts, Fate::Open, Fate::Lost] {
        let evidence = |thing| Evidence {
            thing,
            manifest: Manifest::Written(vec![fate]),
            worker: Worker::Tells,
            age: Millis(0),
        };
        let verdict = |thing| verdict(&evidence(thing), PATIENCE);
        assert_eq!(verdict(Thing::Upload), Verdict::Remove);
        assert_eq!(
            verdict(Thing::Object) == Verdict::Remove,
            fate == Fate::Lost
        );
    }
    let unfinished = Evidence {
        thing: Thing::Upload,
        manifest: Manifest::Absent,
        worker: Worker::Tells,
        age: PATIENCE,
    };
    let kept = Verdict::Keep(Because::WorkerTells);
    assert_eq!(verdict(&unfinished, PATIENCE), kept);
}

#[test]
fn a_span_is_lost_once_the_chain_holds_its_first_offset_otherwise() {
    let fate = |end, at_from: Option<&LedgerEntry>| fate(flush(1), Offset(10), end, at_from);
    let lost = entry(EntryKind::LostSpan {
        reason: "retention".to_owned(),
    });
    assert_eq!(fate(Some(Offset(20)), Some(&flushed(1))), Fate::Counts);
    assert_eq!(fate(Some(Offset(20)), Some(&flushed(2))), Fate::Lost);
    assert_eq!(fate(Some(Offset(20)), Some(&lost)), Fate::Lost);
    // The chain ends before, or just there: the worker may still be on its way.
    assert_eq!(fate(Some(Offset(5)), None), Fate::Open);
    assert_eq!(fate(Some(Offset(10)), None), Fate::Open);
    assert_eq!(fate(None, None), Fate::Open);
    // An entry from before 10 to 11 or beyond: none will ever begin at 10.
    assert_eq!(fate(Some(Offset(11)), None), Fate::Lost);
}
