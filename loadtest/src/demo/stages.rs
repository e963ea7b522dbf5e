//! The demo's stages, one after the other.

use std::sync::Arc;
use std::time::Instant;

use skein_compactor::run::RunOptions;
use skein_config::Settings;
use skein_config::cutover::timelines::Timelines;
use skein_connector::pipeline::{Controls, Setup, Until};
use skein_reader::inspect::verify::verify;
use skein_reader::segment_scan::{Scan, ScanOptions};
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::bucket::Bucket;
use skein_shared::error_kind::ErrorKind;
use skein_shared::ids::TopicName;
use skein_shared::ledger::Ledger;
use skein_shared::process_use::peak_memory_bytes;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{TimeSpan, TimestampMs};
use tokio::runtime::Handle;

use crate::demo::compare::{Comparison, Differences};
use crate::demo::plant::{self, Plant};
use crate::demo::progress::{Stage, StageProgress};
use crate::demo::report::{DemoReport, StageReport};
use crate::demo::{DemoOptions, kind_bytes};
use crate::error::{Error, Result};
use crate::generator::{Expectation, Generator};
use crate::producer::{Backlog, LedgerEnds, ProduceOptions, ProduceReport, produce_generated};

/// Progress of reading is told every so many points.
const PROGRESS_POINTS: u64 = 250_000;

pub(super) struct Stages {
    options: DemoOptions,
    settings: Settings,
    bucket: Bucket,
    generator: Arc<Generator>,
    expectation: Option<Expectation>,
    report: DemoReport,
}

impl Stages {
    pub(super) fn new(
        options: DemoOptions,
        settings: Settings,
        bucket: Bucket,
        generator: Arc<Generator>,
    ) -> Self {
        let report = DemoReport {
            points: options.load.points,
            series: options.load.series.into(),
            orgs: options.load.orgs,
            directory: options.directory.clone(),
            ..DemoReport::default()
        };
        Self {
            options,
            settings,
            bucket,
            generator,
            expectation: None,
            report,
        }
    }

    /// Sends everything that the generator has.
    pub(super) async fn produce(&mut self) -> Result<()> {
        let started = Instant::now();
        self.tell(Stage::Produce, 0, "points");
        let work = ProduceWork {
            settings: self.settings.clone(),
            bucket: self.bucket.clone(),
            generator: Arc::clone(&self.generator),
            options: self.options.clone(),
            runtime: Handle::current(),
        };
        let produced = tokio::task::spawn_blocking(move || work.run())
            .await
            .map_err(|error| Error::Ended(error.to_string()))?
            .map_err(|error| self.too_many_points(error))?;
        self.check_cancelled()?;
        self.report.records = produced.records;
        self.report.points_sent = produced.points;
        self.report.payload_bytes = produced.value_bytes;
        self.expectation = produced.expected;
        self.tell(Stage::Produce, self.report.points, "points");
        self.end(Stage::Produce, started);
        Ok(())
    }

    /// The demo sends everything before it consumes, so what it can send is bounded.
    fn too_many_points(&self, error: Error) -> Error {
        if !matches!(error, Error::BacklogFull { .. }) {
            return error;
        }
        Error::Setting {
            key: "points",
            value: self.report.points.to_string(),
            allowed: "fewer: the embedded broker keeps 4 MiB in each of its partitions".to_owned(),
        }
    }

    /// Takes everything out of Kafka into state objects.
    pub(super) async fn connect(&mut self) -> Result<()> {
        let started = Instant::now();
        let setup = Setup::of(&self.settings, self.bucket.clone(), Until::EndAtAssignment);
        let (listener, total) = (Arc::clone(&self.options.progress), self.report.records);
        let controls = Controls {
            stop: self.options.cancel.clone(),
            progress: Box::new(move |progress| {
                listener(StageProgress {
                    stage: Stage::Connect,
                    done: progress.records,
                    total,
                    unit: "records",
                });
            }),
            ..Controls::silent()
        };
        let connected = skein_connector::pipeline::run(setup, controls).await?;
        self.check_cancelled()?;
        self.report.state_objects = connected.objects;
        self.report.state_bytes = connected.object_bytes;
        self.report
            .quarantined
            .clone_from(&connected.quarantined_records);
        for stopped in &connected.stopped_partitions {
            let (topic, partition, reason) = (&stopped.topic, stopped.partition, &stopped.reason);
            let what = format!("topic `{topic}` partition `{partition}` was stopped: {reason}");
            self.report.find(Stage::Connect, what);
        }
        if connected.durable_records != self.report.records {
            let (durable, sent) = (connected.durable_records, self.report.records);
            let what = format!("{durable} records are in the ledger, {sent} were sent");
            self.report.find(Stage::Connect, what);
        }
        self.end(Stage::Connect, started);
        Ok(())
    }

    /// Plants damage that the compactor meets.
    pub(super) async fn plant_in_state(&self, plant: Plant) -> Result<()> {
        match plant {
            Plant::Flip => Ok(()),
            Plant::Drop => plant::drop_entry(&self.bucket).await,
            Plant::Dup => plant::double_entry(&self.bucket).await,
        }
    }

    /// Plants damage that readers meet.
    pub(super) async fn plant_in_segments(&self, plant: Plant) -> Result<()> {
        match plant {
            Plant::Drop | Plant::Dup => Ok(()),
            Plant::Flip => {
                let snapshot = self.snapshot().await?;
                let segments = snapshot.segments(TimeSpan::ALL);
                let largest = segments
                    .iter()
                    .max_by_key(|(_, entry)| entry.summary.size_bytes);
                let (_, entry) = largest.ok_or(Error::NothingToDamage)?;
                plant::flip_bit(&self.bucket, &entry.key).await
            }
        }
    }

    /// Builds the segments; answers whether they were built, or damage was found instead.
    pub(super) async fn compact(&mut self) -> Result<bool> {
        let started = Instant::now();
        let listener = Arc::clone(&self.options.progress);
        let options = RunOptions {
            limits: self.settings.limits.limits(),
            timelines: self.timelines().await?,
        };
        let compacted = skein_compactor::run::run(
            &self.settings.compactor,
            &self.bucket,
            options,
            self.options.cancel.clone(),
            Arc::new(move |progress| {
                listener(StageProgress {
                    stage: Stage::Compact,
                    done: progress.bytes,
                    total: progress.bytes_total,
                    unit: "bytes",
                });
            }),
        )
        .await;
        self.end(Stage::Compact, started);
        let compacted = match compacted {
            Ok(compacted) => compacted,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.report.find(Stage::Compact, error.to_string());
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.report.segments = compacted.steps.segments;
        self.report.segment_bytes = compacted.steps.segment_bytes;
        self.report.duplicates = compacted.steps.counts.duplicates;
        self.check_quarantine(compacted.steps.counts.quarantined_records);
        Ok(true)
    }

    /// Reads every series back and compares it.
    pub(super) async fn read(&mut self) -> Result<()> {
        let started = Instant::now();
        let snapshot = self.snapshot().await?;
        self.report.bytes_per_point =
            kind_bytes::bytes_per_point(&snapshot, &self.generator).await?;
        let read = self.compare(snapshot).await;
        self.end(Stage::Read, started);
        let differences = match read {
            Ok(differences) => differences,
            Err(Error::Reader(error)) if error.kind() == ErrorKind::Corrupt => {
                self.report.find(Stage::Read, error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for difference in &differences.first {
            self.report.find(Stage::Read, difference.as_str());
        }
        self.report.finding_count += differences.count() - differences.first.len() as u64;
        Ok(())
    }

    /// Checks every object.
    pub(super) async fn verify(&mut self) -> Result<()> {
        let started = Instant::now();
        let listener = Arc::clone(&self.options.progress);
        let mut told = move |progress: skein_reader::inspect::verify::Progress| {
            listener(StageProgress {
                stage: Stage::Verify,
                done: progress.bytes_done,
                total: progress.bytes_total,
                unit: "bytes",
            });
        };
        // Everything has ended: nothing may still be under way.
        let verified = verify(&self.bucket, TimestampMs(i64::MAX), &mut told).await?;
        self.end(Stage::Verify, started);
        for finding in &verified.findings {
            self.report.find(Stage::Verify, finding.to_string());
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> DemoReport {
        let requests = self.bucket.requests();
        self.report.write_requests = requests.writes();
        self.report.read_requests = requests.reads();
        self.report.peak_memory_bytes = peak_memory_bytes();
        self.report
    }

    async fn compare(&mut self, snapshot: Snapshot) -> Result<Differences> {
        let options = ScanOptions {
            span: TimeSpan::ALL,
            metadata: MetadataFetch::Skip,
        };
        let generator = Arc::clone(&self.generator);
        let mut comparison = Comparison::new(&generator);
        let mut scan = Scan::start(snapshot, options).await?;
        let mut told = 0;
        while let Some(piece) = scan.next().await? {
            comparison.take(piece.key, piece.timestamps_ms, piece.values);
            self.report.points_read += piece.values.len() as u64;
            if self.report.points_read - told >= PROGRESS_POINTS {
                told = self.report.points_read;
                self.tell(Stage::Read, told, "points");
                self.check_cancelled()?;
            }
        }
        let differences = comparison.finish();
        let digest = scan.summary().digest;
        let expected = self
            .expectation
            .as_ref()
            .map(|expectation| expectation.digest);
        if differences.count() == 0 && expected.is_some_and(|expected| expected != digest) {
            let what = format!("the digest is `{digest}` although every point is equal");
            self.report.find(Stage::Read, what);
        }
        Ok(differences)
    }

    /// The connector keeps what it cannot route, the compactor what it cannot decode.
    fn check_quarantine(&mut self, by_compactor: u64) {
        let expected = self.expectation.as_ref().map(|e| e.quarantined.clone());
        let expected = expected.unwrap_or_default();
        let by_connector: u64 = self.report.quarantined.values().sum();
        let (sum, found) = (expected.values().sum::<u64>(), by_connector + by_compactor);
        if sum != found {
            let what = format!("{found} records are in quarantine, {sum} had to be");
            self.report.find(Stage::Compact, what);
        }
        self.report.quarantined = expected;
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        let timelines = self.timelines().await?;
        Ok(Snapshot::load(&self.bucket, timelines, Selection::All).await?)
    }

    async fn timelines(&self) -> Result<Timelines> {
        let unenrolled = self.settings.cutover.unenrolled.pipeline();
        Ok(Timelines::load(&self.bucket, unenrolled).await?)
    }

    fn tell(&self, stage: Stage, done: u64, unit: &'static str) {
        (self.options.progress)(StageProgress {
            stage,
            done,
            total: self.report.points,
            unit,
        });
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people needs no more than 53 bits"
    )]
    fn end(&mut self, stage: Stage, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        self.report.stages.push(StageReport {
            stage,
            seconds,
            points_per_second: self.report.points as f64 / seconds.max(1e-9),
        });
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.options.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

/// What the producing thread takes along.
struct ProduceWork {
    settings: Settings,
    bucket: Bucket,
    generator: Arc<Generator>,
    options: DemoOptions,
    runtime: Handle,
}

impl ProduceWork {
    fn run(self) -> Result<ProduceReport> {
        let kafka = &self.settings.kafka;
        let topic = kafka.topics.first().cloned().unwrap_or_default();
        let ends = LedgerEnds {
            ledger: Ledger::new(self.bucket),
            source: kafka.source_name(),
            runtime: self.runtime,
        };
        let options = ProduceOptions {
            kafka,
            topic: TopicName::new(topic).map_err(Error::Ended)?,
            partitions: None,
            backlog: Some(Backlog::new(kafka.backlog_limit, ends)),
            cancel: self.options.cancel,
            progress: |_| {},
        };
        produce_generated(options, &self.generator)
    }
}
