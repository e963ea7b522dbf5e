//! One of three brokers is killed under connectors that read from it, and under a producer.

use std::time::Duration;

use crate::batches::{Sent, arguments_of, borrowed};
use crate::http::{free_address, status_when};
use crate::real_services::RealServices;
use crate::skein::PATIENCE;

const PARTITIONS: u32 = 12;
const POINTS: u64 = 400_000;
const SECTIONS: &str = "[connector]\nflush_interval = \"1 s\"\n\n[shards]\nmodulus = 4\n";
/// Longest time until everything that was sent is durable.
const CATCH_UP: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_while_a_broker_is_killed_arrives_once_and_lag_returns_to_zero() {
    let Some(mut services) = RealServices::start_replicated("broker_killed", SECTIONS).await else {
        return;
    };
    let topic = services.kafka.create_topic("points", PARTITIONS);
    topic.await.unwrap();
    let skein = services.skein();
    let address = free_address();
    let mut worker = skein
        .set(&format!("http.listen=\"{address}\""))
        .start(&["connect"], None);
    worker.told("reading=12").await;
    let mut sent = Sent::NOTHING;
    let arguments = arguments_of(0, POINTS);
    let batch = skein.start(&borrowed(&arguments), None);
    let has_read = |status: &serde_json::Value| status["counts"]["records"].as_u64() > Some(0);
    status_when(address, has_read).await;
    // Of twelve partitions every broker leads some.
    let victim = services.kafka.brokers().remove(1);
    services.kafka.kill(&victim);
    sent.count(&batch.ended(PATIENCE).await.stdout);
    sent.until_durable(&skein, CATCH_UP).await;
    let is_level = |status: &serde_json::Value| status["lag"]["records"] == 0;
    let status = status_when(address, is_level).await;
    assert_eq!(
        status["counts"]["durable_records"], sent.records,
        "{status}"
    );
    assert_eq!(status["stopped"], serde_json::json!([]), "{status}");
    sent.compare_points(&skein).await;
    worker.kill().await;
}
