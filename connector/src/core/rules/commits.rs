//! Rules about the offsets that go to Kafka.

use fastrand::Rng;
use skein_config::connector::OnReplacedLog;
use skein_shared::offset::Offset;
use skein_shared::units::Millis;

use crate::core::event::{CommitOutcome, Event};
use crate::core::model::{Worker, World, name, options};
use crate::core::rules::{deliver_all, find, is_append, is_manifest, reading, store_objects};

/// How long a commit is waited for, and how long the next one waits after a failure.
const PATIENCE_MS: u64 = 10_000;
const PAUSE_MS: u64 = 1_000;

/// Brings `records` of the first partition into the ledger; what is then committed is left under way.
fn make_durable(worker: &mut Worker, world: &mut World, records: usize) {
    for _ in 0..records {
        assert!(worker.deliver(world, 0));
    }
    worker.tell(Event::FlushNow);
    store_objects(worker, world);
    for wanted in [is_manifest, is_append] {
        for id in find(worker, wanted) {
            worker.answer(world, id);
        }
    }
}

#[test]
fn a_late_answer_to_a_commit_says_nothing_about_the_next_one() {
    for late in [CommitOutcome::Done, CommitOutcome::Failed(String::new())] {
        let mut world = World::new(&[100]);
        let mut worker = reading(&mut world, options(1));
        make_durable(&mut worker, &mut world, 10);
        let (first, _) = worker.commit.take().expect("it is committed at once");
        make_durable(&mut worker, &mut world, 10);
        assert_eq!(worker.commit, None, "one at a time");
        worker.advance(PATIENCE_MS);
        let (second, offsets) = worker.commit.take().expect("the first is given up");
        assert!(first < second);
        worker.tell(Event::Committed(first, late));
        assert_eq!(worker.core.stats().late_commits, 1);
        assert!(!worker.core.commits_are_done());
        // Nor is the next one waited for any shorter or longer.
        let failed = CommitOutcome::Failed("modelled".to_owned());
        worker.tell(Event::Committed(second, failed));
        worker.advance(PAUSE_MS);
        let (third, again) = worker.commit.clone().expect("nothing was committed so far");
        assert!(second < third);
        assert_eq!(again, offsets);
        worker.finish_commit(&mut world);
        assert!(worker.core.commits_are_done());
        assert_eq!(worker.core.stats().late_commits, 1);
    }
}

#[test]
fn what_was_committed_of_an_earlier_life_of_a_topic_says_nothing_about_the_next() {
    let mut world = World::new(&[100]);
    let mut options = options(1);
    options.settings.on_replaced_log = OnReplacedLog::NewIncarnation;
    options.settings.lookup_timeout = Millis(1_000);
    let mut worker = reading(&mut world, options);
    make_durable(&mut worker, &mut world, 60);
    let (number, _) = worker.commit.take().expect("it is committed at once");
    world.ends[0] = 20;
    worker.tell(Event::OffsetsLost);
    while world.genesis.len() == 1 {
        worker.advance(500);
        worker.settle(&mut world, &mut Rng::with_seed(1));
    }
    worker.tell(Event::Committed(number, CommitOutcome::Done));
    assert_eq!(worker.core.stats().late_commits, 0);
    deliver_all(&mut worker, &world);
    worker.tell(Event::FlushNow);
    worker.settle(&mut world, &mut Rng::with_seed(1));
    assert_eq!(world.committed[&name(0)], Offset(20));
}
