//! A worker with an identity of its own (`kafka.member`) that is back within its session.

use std::time::Duration;

use crate::batches::{Sent, arguments_of, borrowed};
use crate::real_services::RealServices;
use crate::skein::{PATIENCE, Running, Skein};

const PARTITIONS: u32 = 8;
const POINTS: u64 = 100_000;
/// How long it may be away.
const SECTIONS: &str = "[kafka.properties]\n\"session.timeout.ms\" = \"45000\"\n\n\
    [connector]\nflush_interval = \"1 s\"\n\n[shards]\nmodulus = 4\n";
/// Longest time until everything that was sent is durable.
const CATCH_UP: Duration = Duration::from_mins(1);

fn start(skein: &Skein, member: &str) -> Running {
    let skein = skein.set(&format!("kafka.member=\"{member}\""));
    skein.start(&["connect"], None)
}

/// How often the group has given it partitions, or taken some away: each rebalance is one of them, also where nothing
/// moves.
fn rebalances(said: &str) -> usize {
    said.matches("partitions assigned").count() + said.matches("partitions given back").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_back_within_its_session_gets_its_partitions_and_moves_no_others() {
    let Some(services) = RealServices::start("static_member", SECTIONS).await else {
        return;
    };
    let topic = services.kafka.create_topic("points", PARTITIONS);
    topic.await.unwrap();
    let skein = services.skein();
    let mut first = start(&skein, "one");
    first.told("added=8 reading=8").await;
    let mut other = start(&skein, "two");
    other.told("added=4 reading=4").await;
    first.told("added=0 reading=4").await;
    let before = rebalances(&other.said());

    let mut sent = Sent::NOTHING;
    for number in 0..3 {
        let arguments = arguments_of(number, POINTS);
        let batch = skein.start(&borrowed(&arguments), None);
        match number {
            // It is killed with what it has not flushed, and then asked to end, which leaves the group no word either.
            1 => first.kill().await,
            2 => {
                first.signal("TERM").await;
                assert_eq!(first.ended(PATIENCE).await.code, Some(0));
            }
            _ => {
                sent.count(&batch.ended(PATIENCE).await.stdout);
                sent.until_durable(&skein, CATCH_UP).await;
                continue;
            }
        }
        first = start(&skein, "one");
        let told = first.told("added=4 reading=4").await;
        assert_eq!(rebalances(&told), 1, "{told}");
        sent.count(&batch.ended(PATIENCE).await.stdout);
        sent.until_durable(&skein, CATCH_UP).await;
    }
    let said = other.said();
    assert_eq!(rebalances(&said), before, "the other is left alone: {said}");
    sent.compare_points(&skein).await;
    first.kill().await;
    other.kill().await;
}
