//! Apache Kafka and `SeaweedFS` start, serve, and leave nothing behind.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use skein_local::apache_kafka::{ApacheKafka, Nodes};
use skein_local::child::ServerProcess;
use skein_local::seaweedfs::SeaweedFs;
use skein_local::skipped;

use crate::client::{BUCKET, client_of, code};
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(20);

fn is_open(address: &str) -> bool {
    std::net::TcpStream::connect(address).is_ok()
}

async fn serves_a_topic(nodes: Nodes, brokers: usize) {
    let kafka = match ApacheKafka::start(nodes).await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skipped::report("apache_kafka", &unavailable),
    };
    kafka.create_topic("points", 3).await.unwrap();
    assert!(kafka.create_topic("points", 3).await.is_err(), "it exists");
    let bootstrap = kafka.bootstrap().to_owned();
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer = config
        .set("bootstrap.servers", &bootstrap)
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some("points"), PATIENCE).unwrap();
    assert_eq!(metadata.brokers().len(), brokers);
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    drop(kafka);
    assert!(!bootstrap.split(',').any(is_open), "a broker still listens");
}

#[tokio::test]
async fn one_kafka_node_serves_a_topic_and_stops() {
    serves_a_topic(Nodes::One, 1).await;
}

#[tokio::test]
async fn three_kafka_nodes_serve_a_topic_and_stop() {
    serves_a_topic(Nodes::Three, 3).await;
}

/// Records that a topic holds, with the value of each.
fn read_all(brokers: &str, topic: &str, count: usize) -> Vec<Vec<u8>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    let mut values = Vec::new();
    while values.len() < count && Instant::now() < end {
        // While a leader is elected there are errors, which pass.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
            values.push(message.payload().unwrap().to_vec());
        }
    }
    values.sort();
    values
}

fn produce(broker: &str, topic: &str, values: std::ops::Range<u32>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for value in values {
        let value = value.to_be_bytes();
        let record = BaseRecord::<(), [u8]>::to(topic).payload(&value);
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_mins(1)).unwrap();
}

#[tokio::test]
async fn what_one_broker_took_is_read_from_the_others_after_another_is_killed() {
    let mut kafka = match ApacheKafka::start(Nodes::Three).await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skipped::report("three_brokers", &unavailable),
    };
    kafka.create_topic("points", 6).await.unwrap();
    let [first, second, third] = <[String; 3]>::try_from(kafka.brokers()).unwrap();
    produce(&first, "points", 0..500);
    kafka.kill(&second);
    assert!(!is_open(&second), "it still listens");
    let wanted = |count: u32| (0..count).map(|value| value.to_be_bytes().to_vec());
    let values = read_all(&third, "points", 500);
    assert!(values.into_iter().eq(wanted(500)), "not what was produced");
    // Two of three go on taking records.
    produce(&third, "points", 500..600);
    let values = read_all(&first, "points", 600);
    assert!(values.into_iter().eq(wanted(600)), "not what was produced");
}

#[tokio::test]
async fn seaweedfs_serves_its_bucket_to_the_right_key_and_stops() {
    let seaweed = match SeaweedFs::start(BUCKET).await {
        Ok(seaweed) => seaweed,
        Err(unavailable) => return skipped::report("seaweedfs", &unavailable),
    };
    let endpoint = seaweed.endpoint();
    let client = client_of(&endpoint, seaweed.access_key(), seaweed.secret_key());
    client.head_bucket().bucket(BUCKET).send().await.unwrap();
    let put = || {
        client
            .put_object()
            .bucket(BUCKET)
            .key("k")
            .if_none_match("*")
    };
    put()
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    assert_eq!(code(put().send().await), "PreconditionFailed");
    let stranger = client_of(&endpoint, seaweed.access_key(), "guess");
    let list = stranger.list_objects_v2().bucket(BUCKET).send().await;
    assert_eq!(
        list.unwrap_err().raw_response().unwrap().status().as_u16(),
        403
    );
    let (_, port) = endpoint.rsplit_once(':').unwrap();
    let socket = PathBuf::from(format!("/tmp/seaweedfs-s3-{port}.sock"));
    assert!(socket.exists(), "it listens for itself elsewhere");
    drop(seaweed);
    assert!(!socket.exists(), "it left its socket behind");
    assert!(
        !is_open(endpoint.trim_start_matches("http://")),
        "it still listens"
    );
}

/// Set for the inner run of [`a_server_dies_with_a_killed_owner`].
const OWNER: &str = "SKEIN_TEST_OWNER_DIRECTORY";

#[tokio::test]
async fn a_server_dies_with_a_killed_owner() {
    let directory = tempfile::tempdir().unwrap();
    let mut owner = owner(directory.path().to_owned());
    let pid = directory.path().join("server/pid");
    let pid = until("the server starts", || {
        let text = std::fs::read_to_string(&pid).ok()?;
        text.ends_with('\n').then_some(text)
    })
    .await;
    let server = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(server.exists());
    let place = directory.path().join("server");
    owner.kill().unwrap();
    owner.wait().unwrap();
    until("the server ends", || (!server.exists()).then_some(())).await;
    until("its directory goes", || (!place.exists()).then_some(())).await;
}

/// This test binary again, running only the test below.
fn owner(directory: PathBuf) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "real_servers::owns_a_server_until_killed",
            "--ignored",
        ])
        .env(OWNER, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "only run as the owner that another test kills"]
fn owns_a_server_until_killed() {
    let directory = PathBuf::from(std::env::var_os(OWNER).unwrap()).join("server");
    std::fs::create_dir(&directory).unwrap();
    let command = ["sh", "-c", "echo $$ >pid; exec tail -f /dev/null"].map(str::to_owned);
    let mut server = ServerProcess::start("tail", &directory, &command).unwrap();
    let waited = server.wait_until(Duration::from_mins(1), |_| false);
    panic!("nobody killed the owner: {waited:?}");
}
