//! Connectors on real servers that are killed, stopped beyond their session and rebalanced under load. After
//! each blow all that was sent is there once, and nothing else.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use crate::batches::{Sent, arguments_of, borrowed};
use crate::real_services::RealServices;
use crate::skein::{Running, Skein};

/// How many blows; the test command's default is small.
const CYCLES_VARIABLE: &str = "SKEIN_CHAOS_CYCLES";
const DEFAULT_CYCLES: u64 = 3;
/// Decides every blow and its moment; printed, so that a run can be repeated.
const SEED_VARIABLE: &str = "SKEIN_CHAOS_SEED";

const WORKERS: usize = 2;
const PARTITIONS: u32 = 16;
const BATCH_POINTS: u64 = 300_000;

/// The least that the broker allows.
const SESSION: Duration = Duration::from_secs(6);
/// How long after the last fault everything has to be durable (SK-15).
const CATCH_UP: Duration = Duration::from_mins(2);

const SECTIONS: &str = "[kafka.properties]\n\"session.timeout.ms\" = \"6000\"\n\
    \"heartbeat.interval.ms\" = \"1000\"\n\n\
    [connector]\nflush_interval = \"1 s\"\nflush_records = 3000\n\n\
    [shards]\nmodulus = 8\ndedicated = [1000]\n";

/// What happens to a worker.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// `kill -9`, and another takes its place.
    Kill,
    /// Stopped for longer than its session, so that the other gets its partitions; then it goes on.
    Stall,
    /// A third joins and leaves again: two rebalances.
    Visit,
    /// Asked to end, and another takes its place.
    Replace,
}

/// The servers, the workers, and what they must have made durable.
struct Fleet {
    skein: Skein,
    workers: Vec<Running>,
    rng: Rng,
    sent: Sent,
}

fn from_environment(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_stalled_and_rebalanced_under_load_lose_and_double_nothing() {
    let Some(services) = RealServices::start("chaos", SECTIONS).await else {
        return;
    };
    services
        .kafka
        .create_topic("points", PARTITIONS)
        .await
        .unwrap();
    let seed = from_environment(SEED_VARIABLE).unwrap_or_else(|| fastrand::u64(..));
    let cycles = from_environment(CYCLES_VARIABLE).unwrap_or(DEFAULT_CYCLES);
    eprintln!("repeat with {SEED_VARIABLE}={seed} {CYCLES_VARIABLE}={cycles}");
    let mut fleet = Fleet::start(services.skein(), seed);
    for cycle in 0..cycles {
        let started = Instant::now();
        let blow = fleet.choose_blow();
        fleet.strike(cycle, blow).await;
        fleet.catch_up(cycle, blow).await;
        eprintln!("cycle {cycle} {blow:?}: {:?}", started.elapsed());
        if cycle % 10 == 9 || cycle + 1 == cycles {
            fleet.sent.compare_points(&fleet.skein).await;
        }
    }
    for worker in fleet.workers {
        worker.kill().await;
    }
}

impl Fleet {
    fn start(skein: Skein, seed: u64) -> Self {
        let workers = (0..WORKERS).map(|_| skein.start(&["connect"], None));
        Self {
            workers: workers.collect(),
            skein,
            rng: Rng::with_seed(seed),
            sent: Sent::NOTHING,
        }
    }

    fn choose_blow(&mut self) -> Blow {
        match self.rng.u8(0..4) {
            0 => Blow::Kill,
            1 => Blow::Stall,
            2 => Blow::Visit,
            _ => Blow::Replace,
        }
    }

    /// Sends a batch, and strikes a worker while it is on its way.
    async fn strike(&mut self, cycle: u64, blow: Blow) {
        let arguments = arguments_of(cycle, BATCH_POINTS);
        let batch = self.skein.start(&borrowed(&arguments), None);
        let moment = Duration::from_millis(self.rng.u64(0..4000));
        let victim = self.rng.usize(0..self.workers.len());
        sleep(moment).await;
        match blow {
            Blow::Kill => {
                let fresh = self.skein.start(&["connect"], None);
                std::mem::replace(&mut self.workers[victim], fresh)
                    .kill()
                    .await;
            }
            Blow::Stall => {
                self.workers[victim].signal("STOP").await;
                sleep(SESSION + Duration::from_secs(2)).await;
                self.workers[victim].signal("CONT").await;
            }
            Blow::Visit => {
                let visitor = self.skein.start(&["connect"], None);
                sleep(Duration::from_millis(self.rng.u64(500..4000))).await;
                self.end(visitor).await;
            }
            Blow::Replace => {
                let fresh = self.skein.start(&["connect"], None);
                let leaving = std::mem::replace(&mut self.workers[victim], fresh);
                self.end(leaving).await;
            }
        }
        self.sent.count(&batch.ended(CATCH_UP).await.stdout);
    }

    /// SIGTERM is answered by a last flush and a good end.
    async fn end(&self, worker: Running) {
        worker.signal("TERM").await;
        let ended = worker.ended(CATCH_UP).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    /// Waits until everything sent is durable; at no moment may the bucket hold a fault, or a worker have ended.
    async fn catch_up(&mut self, cycle: u64, blow: Blow) {
        let deadline = Instant::now() + CATCH_UP;
        loop {
            for worker in &mut self.workers {
                let ended = worker.exit_code();
                assert_eq!(ended, None, "cycle {cycle} {blow:?}: {}", worker.said());
            }
            let verified = self.skein.report(&["verify"]).await;
            let findings = &verified["findings"];
            assert_eq!(
                *findings,
                serde_json::json!([]),
                "cycle {cycle} {blow:?}: {verified}"
            );
            let records = verified["checked"]["records"].as_u64().unwrap();
            assert!(
                records <= self.sent.records,
                "cycle {cycle} {blow:?}: {verified}"
            );
            if records == self.sent.records {
                return;
            }
            if Instant::now() >= deadline {
                self.post_mortem().await;
                panic!(
                    "cycle {cycle} {blow:?}: {records} of {} records are durable",
                    self.sent.records
                );
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Prints what a person would look at: how each partition stands, and what each worker has said.
    async fn post_mortem(&self) {
        let status = self.skein.run(&["status"]).await;
        eprintln!("{}{}", status.stdout, status.stderr);
        for (index, worker) in self.workers.iter().enumerate() {
            eprintln!("worker {index} said:\n{}", worker.said());
        }
    }
}
