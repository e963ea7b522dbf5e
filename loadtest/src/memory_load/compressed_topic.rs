//! Batches that are many times as large once they are unpacked, on real Kafka: what the client library itself holds.
//!
//! Records that repeat one another are sent compressed; `skein connect` reads them with its memory limited, while the
//! bucket does not answer for longer than the group's session. Those that are alike go to different shards, so that
//! only the batches shrink, and not the state.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures::future::LocalBoxFuture;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::Serialize;
use serde_json::Value;
use skein_config::connector::MEMORY_BESIDE_BUDGET;
use skein_local::apache_kafka::{ApacheKafka, Nodes};
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Mood, Storage};
use skein_shared::units::{ByteCount, Millis};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::error::{Error, Result};
use crate::memory_load::MemoryLoadOptions;
use crate::memory_load::cage::Cage;
use crate::memory_load::scenario::Scenario;

const TOPIC: &str = "compressed";
const PARTITIONS: u32 = 48;
const RECORD_BYTES: usize = 1024;
/// Of a record, those that no other of its run repeats.
const RANDOM_BYTES: usize = 40;
/// Records that are alike follow one another in one partition.
const RUN: u64 = 800;
const SHARDS: u32 = 1000;
/// Objects that are small enough to be put whole, beside the genesis of each partition.
const OBJECTS_BEFORE_STALL: u64 = 200;
const LOOK: Duration = Duration::from_millis(100);

/// What a connector went through, and what it took.
#[derive(Debug, Clone, Serialize)]
pub struct CompressedTopic {
    /// `connector.memory_budget`.
    pub budget_bytes: u64,
    /// Nodes of the cluster: each may have one answer under way to the connector.
    pub nodes: u32,
    /// Records in the topic.
    pub records: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
    /// Bytes that the producer sent for them.
    pub sent_bytes: u64,
    /// Whether the kernel would have killed the connector at the promised bound.
    pub is_caged: bool,
    /// How long the bucket did not answer.
    pub stalled_ms: u64,
    /// Records read, those that were read twice included.
    pub records_read: u64,
    /// Records in the ledger.
    pub durable_records: u64,
    /// How often fetching waited for memory.
    pub pauses: u64,
    /// The most that was ever resident.
    pub peak_bytes: u64,
    /// How the connector ended, unless well.
    pub fault: Option<String>,
}

impl CompressedTopic {
    /// How many times as large the batches are once they are unpacked.
    pub fn ratio(&self) -> u64 {
        self.value_bytes / self.sent_bytes.max(1)
    }

    /// The most that may be resident.
    pub fn promised_bytes(&self) -> u64 {
        self.budget_bytes + MEMORY_BESIDE_BUDGET.0
    }

    /// What does not hold of what is promised.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken: Vec<String> = self.fault.clone().into_iter().collect();
        let (peak, promised) = (self.peak_bytes, self.promised_bytes());
        if peak > promised {
            broken.push(format!(
                "{} MiB were resident, {} are promised",
                peak >> 20,
                promised >> 20
            ));
        }
        if self.pauses == 0 {
            broken.push("fetching never paused: there was too little to prove anything".to_owned());
        }
        if self.durable_records != self.records || self.records_read != self.records {
            broken.push(format!(
                "of {} records {} were read and {} became durable: the member left the group, or did not catch up",
                self.records, self.records_read, self.durable_records
            ));
        }
        broken
    }
}

/// Starts Kafka and a bucket, fills a topic and has it read.
///
/// # Errors
/// Kafka cannot be had, or a record not be sent. What the connector does wrong stands in what is measured.
pub fn run<'a>(
    options: &'a MemoryLoadOptions,
    (nodes, budget, session): (Nodes, Option<ByteCount>, Millis),
    directory: &'a Path,
) -> LocalBoxFuture<'a, Result<CompressedTopic>> {
    Box::pin(async move {
        let kafka = ApacheKafka::start(nodes)
            .await
            .map_err(skein_local::Error::from)?;
        let created = kafka.create_topic(TOPIC, PARTITIONS).await;
        created.map_err(|reason| kafka_failed(&kafka, "create a topic", reason))?;
        let budget = budget.unwrap_or_else(|| Scenario::floor(SHARDS, PARTITIONS));
        let records = budget.0 * 4 / RECORD_BYTES as u64;
        let brokers = kafka.bootstrap().to_owned();
        let sending = tokio::task::spawn_blocking(move || send(&brokers, records));
        let sent = sending
            .await
            .map_err(|error| Error::Ended(error.to_string()))?;
        let sent_bytes = sent.map_err(|reason| kafka_failed(&kafka, "send", reason))?;
        let storage = Storage::Directory(directory.to_owned());
        let bucket = EmbeddedBucket::start(BucketOptions::new(storage))?;
        bucket.create_bucket("skein")?;
        let mut measured = CompressedTopic {
            budget_bytes: budget.0,
            nodes: u32::try_from(kafka.brokers().len()).unwrap_or(u32::MAX),
            records,
            value_bytes: records * RECORD_BYTES as u64,
            sent_bytes,
            is_caged: false,
            stalled_ms: 0,
            records_read: 0,
            durable_records: 0,
            pauses: 0,
            peak_bytes: 0,
            fault: None,
        };
        let cage = Cage::new(measured.promised_bytes());
        measured.is_caged = cage.is_closed();
        measured
            .connect(options, &cage, (&kafka, &bucket), session)
            .await?;
        Ok(measured)
    })
}

impl CompressedTopic {
    /// Has the topic read to its end, and takes note of how that went.
    async fn connect(
        &mut self,
        options: &MemoryLoadOptions,
        cage: &Cage,
        (kafka, bucket): (&ApacheKafka, &EmbeddedBucket),
        session: Millis,
    ) -> Result<()> {
        let set = settings(kafka, bucket, ByteCount(self.budget_bytes));
        let session_ms = session.0.to_string();
        let mut command = cage.command(&options.binary);
        for assignment in set.iter().chain(&options.set) {
            command.args(["--set", assignment]);
        }
        let mut child = command
            .args(["loadtest", "memory-connect", "--until-end"])
            .args(["--format", "json"])
            .env("SKEIN_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", &session_ms)
            .env("SKEIN_KAFKA__PROPERTIES__MAX_POLL_INTERVAL_MS", &session_ms)
            .env("SKEIN_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "1000")
            .env("SKEIN_LOG", "error")
            .env("AWS_ACCESS_KEY_ID", bucket.access_key())
            .env("AWS_SECRET_ACCESS_KEY", bucket.secret_key())
            // It ends when this pipe does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| process_failed(error.to_string()))?;
        let over = AtomicBool::new(false);
        let ended = async {
            let ended = tokio::time::timeout(options.patience, output_of(&mut child)).await;
            over.store(true, Ordering::Relaxed);
            ended
        };
        let (ended, stalled) = tokio::join!(ended, stall(bucket, options.stall, &over));
        self.stalled_ms = u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX);
        match ended {
            Err(_) => self.fault = Some(format!("it did not end within {:?}", options.patience)),
            Ok(Err(error)) => self.fault = Some(error.to_string()),
            Ok(Ok((status, _))) if !status.success() => {
                self.fault = Some(format!("it ended with {status}"));
            }
            Ok(Ok((_, report))) => self.read(&report),
        }
        // One that has ended is not there any more, which is as good; the cage opens only once it is empty.
        let _ = child.kill().await;
        Ok(())
    }

    fn read(&mut self, report: &[u8]) {
        let Ok(report) = serde_json::from_slice::<Value>(report) else {
            self.fault = Some("its report is no JSON".to_owned());
            return;
        };
        let number = |key: &str| report[key].as_u64().unwrap_or(0);
        self.records_read = number("records");
        self.durable_records = number("durable_records");
        self.pauses = number("pauses");
        self.peak_bytes = number("peak_memory_bytes");
    }
}

/// Waits for a process' end, and gives how it ended and what it said.
async fn output_of(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut said = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_end(&mut said).await?;
    }
    Ok((child.wait().await?, said))
}

/// Once objects have come, the bucket does not answer for this long: until then there is nothing to wait for.
async fn stall(bucket: &EmbeddedBucket, long: Duration, over: &AtomicBool) -> Duration {
    let has_data = || {
        let puts = bucket.request_counts().of("PutObject");
        puts > OBJECTS_BEFORE_STALL + u64::from(PARTITIONS)
    };
    while !has_data() {
        if over.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        tokio::time::sleep(LOOK).await;
    }
    bucket.set_mood(Mood::Stalls);
    let stalled = Instant::now();
    tokio::time::sleep(long).await;
    bucket.set_mood(Mood::Serves);
    stalled.elapsed()
}

fn settings(kafka: &ApacheKafka, bucket: &EmbeddedBucket, budget: ByteCount) -> Vec<String> {
    vec![
        format!("kafka.brokers=\"{}\"", kafka.bootstrap()),
        format!("kafka.topics=[\"{TOPIC}\"]"),
        "bucket.url=\"s3://skein/memory\"".to_owned(),
        format!("bucket.endpoint=\"{}\"", bucket.endpoint()),
        "bucket.path_style=true".to_owned(),
        format!("shards.modulus={SHARDS}"),
        format!("connector.memory_budget=\"{} MiB\"", budget.0 >> 20),
    ]
}

/// Sends records that zstd makes about 20 times smaller; gives the bytes that went over the wire.
fn send(brokers: &str, records: u64) -> std::result::Result<u64, String> {
    let text = |error: rdkafka::error::KafkaError| error.to_string();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.type", "zstd")
        .set("compression.level", "3")
        .set("batch.size", "900000")
        .set("batch.num.messages", "800")
        .set("linger.ms", "200")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .map_err(text)?;
    let mut rng = Rng::with_seed(20);
    let mut value = vec![b'a'; RECORD_BYTES];
    let mut looked_at = zstd::bulk::Compressor::new(3).map_err(|e| e.to_string())?;
    let mut sample = Vec::new();
    for number in 0..records {
        if number % RUN == 0 {
            rng.fill(&mut value);
        }
        let org = number % u64::from(SHARDS);
        let [low, high] = [org % 128 + 128, org / 128].map(|part| u8::try_from(part).unwrap_or(0));
        value[..3].copy_from_slice(&[8, low, high]);
        rng.fill(&mut value[3..3 + RANDOM_BYTES]);
        if number < RUN {
            sample.extend_from_slice(&value);
        }
        let partition = i32::try_from(number / RUN % u64::from(PARTITIONS)).unwrap_or(0);
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(TOPIC).partition(partition).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            if !error.to_string().contains("QueueFull") {
                return Err(error.to_string());
            }
            producer.poll(LOOK);
            record = back;
        }
    }
    producer.flush(Duration::from_mins(2)).map_err(text)?;
    // The client does not tell what it sent; batches are made of records that are all alike.
    let compressed = looked_at.compress(&sample).map_err(|e| e.to_string())?;
    let of_sample = compressed.len() as u64 * records * RECORD_BYTES as u64;
    Ok(of_sample / (sample.len() as u64).max(1))
}

fn kafka_failed(kafka: &ApacheKafka, operation: &'static str, reason: String) -> Error {
    Error::Kafka {
        operation,
        topic: TOPIC.to_owned(),
        brokers: kafka.bootstrap().to_owned(),
        reason,
    }
}

fn process_failed(reason: String) -> Error {
    Error::Process {
        command: "connect --until-end".to_owned(),
        reason,
    }
}
