//! A store that takes nothing for a while, on the embedded broker and bucket: the connector waits, loses
//! nothing, and goes on by itself.

use std::time::Duration;

use skein_connector::pipeline::{Controls, FlushSignal, Setup, Until, run};
use skein_connector::report::Outcome;
use skein_local::embedded_bucket::{Conditions, Mood, Refusal};
use tokio::sync::watch::Receiver;

use crate::embedded::{Embedded, start};
use crate::fixture::{
    Kept, assert_same, frames_that_count, open_bucket, produce, records, settings,
};

/// Longer than any wait between two tries of a request.
const PATIENCE: Duration = Duration::from_mins(1);

/// Records read, and records in the ledger.
type Progress = Receiver<(u64, u64)>;

struct Running {
    servers: Embedded,
    progress: Progress,
    flush: FlushSignal,
    produced: Vec<Kept>,
}

impl Running {
    /// Brings 100 records while the store serves: the connector has started when they are in the ledger.
    async fn begin(&mut self) {
        let first = records(100, 300);
        produce(&self.servers.place, 4, &first);
        self.produced.extend(first);
        self.reach("read", |(read, _)| *read == 100).await;
        self.flush.raise();
        self.reach("durable", |(_, durable)| *durable == 100).await;
    }

    /// Brings 100 more records while the store is in `mood` and has them flushed once it serves again.
    async fn go_through(&mut self, mood: Mood) {
        let more = records(100, 300);
        self.servers.bucket.set_mood(mood);
        produce(&self.servers.place, 4, &more);
        self.produced.extend(more);
        let all = self.produced.len() as u64;
        self.reach("read", |(read, _)| *read >= all).await;
        let met = self.servers.bucket.mood_met();
        self.flush.raise();
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let meets_it = async {
            while self.servers.bucket.mood_met() == met {
                looks.tick().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, meets_it).await;
        in_time.expect("the flush meets the mood");
        assert!(self.progress.borrow().1 < all, "{mood:?}");
        self.servers.bucket.set_mood(Mood::Serves);
        self.reach("durable", |(_, durable)| *durable == all).await;
    }

    async fn reach(&mut self, what: &str, is_reached: impl FnMut(&(u64, u64)) -> bool) {
        let all = self.produced.len();
        let last = self.progress.clone();
        let reached = tokio::time::timeout(PATIENCE, self.progress.wait_for(is_reached)).await;
        let told = *last.borrow();
        assert!(
            matches!(reached, Ok(Ok(_))),
            "it goes on by itself: {what} {told:?} of {all}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_throttles_or_stalls_ends_nothing_and_loses_nothing() {
    let servers = start(4, Conditions::Honoured);
    let bucket = open_bucket(&servers.place).await;
    let settings = settings(&servers.place, "moody");
    let (told, progress) = tokio::sync::watch::channel((0, 0));
    let controls = Controls {
        progress: Box::new(move |now| {
            let _ = told.send((now.records, now.durable_records));
        }),
        ..Controls::silent()
    };
    let (stop, flush) = (controls.stop.clone(), controls.flush.clone());
    let setup = Setup::of(&settings, bucket.clone(), Until::Asked);
    let running = tokio::spawn(run(setup, controls));
    let mut world = Running {
        servers,
        progress,
        flush,
        produced: Vec::new(),
    };
    world.begin().await;
    world.go_through(Mood::Stalls).await;
    for refusal in Refusal::ALL {
        world.go_through(Mood::Refuses(refusal)).await;
    }
    world
        .go_through(Mood::Throttles {
            serves_one_in: 1_000,
        })
        .await;
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stopped);
    assert_same(world.produced, &frames_that_count(&bucket).await);
}
