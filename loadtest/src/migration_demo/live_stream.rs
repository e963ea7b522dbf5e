//! Points as they come from a living system: most in time, some late, some twice.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skein_config::kafka::KafkaSettings;
use skein_shared::ids::{OrgId, TopicName};
use skein_shared::payload::Payload;
use skein_shared::series::{SERIES_METADATA_KEY, Series};
use skein_shared::window::TimestampMs;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::generator::OutgoingRecord;
use crate::migration_demo::sent_points::SentPoints;
use crate::producer::{ProduceOptions, ProduceReport, produce_each};

/// Time between two rounds of payloads, and between two points of a series.
const ROUND: Duration = Duration::from_millis(200);
const STEP_MS: i64 = 50;
/// How late a late point is at most.
const LATEST_MS: u64 = 3_000;
/// Of so many payloads one is late, and one comes twice.
const ONE_LATE_IN: u64 = 8;
const ONE_DOUBLE_IN: u64 = 8;
/// Series of each org.
const METRICS: [&str; 4] = ["requests_total", "cpu_usage", "queue_length", "up"];
/// Records that wait for the producer.
const WAITING: usize = 1024;

/// Where points go, and what they are made of.
#[derive(Debug, Clone)]
pub(super) struct StreamSetup {
    pub(super) kafka: KafkaSettings,
    pub(super) topic: TopicName,
    pub(super) orgs: Vec<OrgId>,
    pub(super) seed: u64,
    pub(super) sent: SentPoints,
    pub(super) stop: CancellationToken,
}

/// Sends points until it is stopped, and then what was held back.
pub(super) async fn run(setup: StreamSetup) -> Result<ProduceReport> {
    let (records, waiting) = mpsc::channel(WAITING);
    let (kafka, topic) = (setup.kafka.clone(), setup.topic.clone());
    let sending = tokio::task::spawn_blocking(move || send(&kafka, topic, waiting));
    make(setup, records).await;
    sending
        .await
        .map_err(|error| Error::Ended(error.to_string()))?
}

fn send(
    kafka: &KafkaSettings,
    topic: TopicName,
    mut waiting: mpsc::Receiver<OutgoingRecord>,
) -> Result<ProduceReport> {
    let options = ProduceOptions {
        kafka,
        topic,
        partitions: None,
        backlog: None,
        cancel: CancellationToken::new(),
        progress: |_| {},
    };
    produce_each(options, || waiting.blocking_recv())
}

async fn make(setup: StreamSetup, records: mpsc::Sender<OutgoingRecord>) {
    let mut rounds = tokio::time::interval(ROUND);
    let mut makers = Makers::new(&setup);
    loop {
        tokio::select! {
            () = setup.stop.cancelled() => break,
            _ = rounds.tick() => {}
        }
        let at = now();
        let due = makers.round(at);
        if pass_on(&due, (&setup.sent, at), &records).await.is_err() {
            return;
        }
    }
    let held = makers.held();
    // A producer that has ended says why itself.
    let _ = pass_on(&held, (&setup.sent, now()), &records).await;
}

async fn pass_on(
    payloads: &[Payload],
    (sent, now): (&SentPoints, TimestampMs),
    records: &mpsc::Sender<OutgoingRecord>,
) -> std::result::Result<(), mpsc::error::SendError<OutgoingRecord>> {
    for payload in payloads {
        sent.note(payload);
        let mut record = OutgoingRecord::default();
        record.set_payload(payload);
        record.timestamp = now;
        records.send(record).await?;
    }
    Ok(())
}

/// What makes the points of all series.
struct Makers {
    random: fastrand::Rng,
    series: Vec<Maker>,
    held: BTreeMap<TimestampMs, Vec<Payload>>,
}

struct Maker {
    org: OrgId,
    series: Series,
    next_ms: i64,
    value: f64,
}

impl Makers {
    fn new(setup: &StreamSetup) -> Self {
        let begun = now().0;
        let next_ms = begun - begun.rem_euclid(STEP_MS);
        let makers = setup.orgs.iter().flat_map(|org| {
            METRICS.iter().map(move |name| Maker {
                org: *org,
                series: Series::new(*name, BTreeMap::new()).expect("the names are right"),
                next_ms,
                value: 0.0,
            })
        });
        Self {
            random: fastrand::Rng::with_seed(setup.seed),
            series: makers.collect(),
            held: BTreeMap::new(),
        }
    }

    /// The payloads that are sent now.
    fn round(&mut self, now: TimestampMs) -> Vec<Payload> {
        let mut due = Vec::new();
        let later = self.held.split_off(&TimestampMs(now.0 + 1));
        let held = std::mem::replace(&mut self.held, later);
        due.extend(held.into_values().flatten());
        for maker in &mut self.series {
            let payload = maker.payload(now, &mut self.random);
            if payload.timestamps.is_empty() {
                continue;
            }
            let wait_ms = self.random.u64(1..=LATEST_MS).cast_signed();
            let later = TimestampMs(now.0 + wait_ms);
            if self.random.u64(0..ONE_LATE_IN) == 0 {
                self.held.entry(later).or_default().push(payload);
                continue;
            }
            if self.random.u64(0..ONE_DOUBLE_IN) == 0 {
                self.held.entry(later).or_default().push(payload.clone());
            }
            due.push(payload);
        }
        due
    }

    /// All that waits.
    fn held(&mut self) -> Vec<Payload> {
        std::mem::take(&mut self.held)
            .into_values()
            .flatten()
            .collect()
    }
}

impl Maker {
    fn payload(&mut self, now: TimestampMs, random: &mut fastrand::Rng) -> Payload {
        let mut payload = Payload {
            org: self.org,
            metric: self.series.id(),
            timestamps: Vec::new(),
            values: Vec::new(),
            metadata: vec![(SERIES_METADATA_KEY.to_owned(), self.series.to_string())],
        };
        while self.next_ms <= now.0 {
            self.value += f64::from(random.u8(0..10)) / 4.0;
            payload.timestamps.push(TimestampMs(self.next_ms));
            payload.values.push(self.value);
            self.next_ms += STEP_MS;
        }
        payload
    }
}

/// The time on this machine's clock, as a producer takes it.
fn now() -> TimestampMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).expect("the clock is not millions of years ahead"))
}
