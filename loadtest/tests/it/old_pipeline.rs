//! The old pipeline against the embedded services.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skein_config::Settings;
use skein_config::cutover::settings::Unenrolled;
use skein_config::load::{Layers, load};
use skein_loadtest::Error;
use skein_loadtest::generator::{Generator, GeneratorSettings};
use skein_loadtest::old_pipeline::{OldControls, OldReport, OldSetup, Until, run};
use skein_loadtest::producer::{ProduceOptions, produce_csv, produce_generated};
use skein_local::embedded_broker::EmbeddedBroker;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_reader::old_files::OldFiles;
use skein_shared::ErrorKind;
use skein_shared::bucket::{Bucket, BucketSettings, Created, Credentials, Encryption};
use skein_shared::cutover::{CutoverState, Edges, Standing, UndoCost};
use skein_shared::format::cutover_version::{Change, CutoverVersion};
use skein_shared::format::delete_entry::{EntryHash, Statement};
use skein_shared::format::object_key::{OldKey, Prefix};
use skein_shared::format::old_progress::OldProgress;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::{Chain, MetricId, OrgId, SeriesKey, TopicName};
use skein_shared::payload::Limits;
use skein_shared::retry::RetryPolicy;
use skein_shared::timeline::{Phase, Pipeline, Timeline, Writers};
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::{TimeSpan, TimestampMs};
use skein_shared::{ack_log, fleet_log, old_log};
use tokio_util::sync::CancellationToken;

const PARTITIONS: u32 = 4;

struct World {
    _broker: EmbeddedBroker,
    _server: EmbeddedBucket,
    settings: Settings,
    bucket: Bucket,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn start() -> Self {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create_topic("points", PARTITIONS).unwrap();
        let server = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
        server.create_bucket("skein").unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let bucket = runtime.block_on(Bucket::open(&BucketSettings {
            bucket: "skein".to_owned(),
            prefix: String::new(),
            endpoint: Some(server.endpoint()),
            region: "us-east-1".to_owned(),
            path_style: true,
            credentials: Credentials::Static {
                access_key: server.access_key().to_owned(),
                secret_key: server.secret_key().to_owned(),
            },
            encryption: Encryption::BucketDefault,
            authorities: None,
            retry: RetryPolicy::default(),
        }));
        let mut settings = load(&Layers::default()).unwrap();
        broker.bootstrap().clone_into(&mut settings.kafka.brokers);
        settings.kafka.topics = vec!["points".to_owned()];
        settings.cutover.unenrolled = Unenrolled::Old;
        settings.cutover.poll = Millis(20);
        Self {
            _broker: broker,
            _server: server,
            settings,
            bucket: bucket.unwrap(),
            runtime,
        }
    }

    fn producing(&self) -> ProduceOptions<'_> {
        ProduceOptions {
            kafka: &self.settings.kafka,
            topic: TopicName::new("points").unwrap(),
            partitions: None,
            backlog: None,
            cancel: CancellationToken::new(),
            progress: |_| {},
        }
    }

    fn send(&self, csv: &str) {
        let now = TimestampMs(2_000_000);
        let limits = Limits::default();
        let csv = format!("org,metric,timestamp,value\n{csv}");
        produce_csv(self.producing(), csv.as_bytes(), limits, now).unwrap();
    }

    fn setup(&self, until: Until) -> OldSetup {
        OldSetup::of(&self.settings, self.bucket.clone(), until)
    }

    fn run_to_end(&self) -> OldReport {
        let running = run(self.setup(Until::End), OldControls::silent());
        self.runtime.block_on(running).unwrap()
    }

    fn progress(&self) -> BTreeMap<Chain, OldProgress> {
        let newest = old_log::progress(&self.bucket);
        self.runtime.block_on(newest).unwrap()
    }

    fn points(&self, series: SeriesKey, span: TimeSpan) -> Vec<(i64, u64)> {
        self.runtime.block_on(async {
            let files = OldFiles::open(&self.bucket).await.unwrap();
            let mut points = SeriesBuffer::default();
            files.read(series, span, &mut points).await.unwrap();
            let bits = points.values.iter().map(|value| value.to_bits());
            points.timestamps_ms.iter().copied().zip(bits).collect()
        })
    }

    /// Every point of every series is what the generator says, and there is nothing besides.
    fn check_all(&self, generator: &Generator) {
        for plan in generator.plans() {
            let mut expected = generator.expected(plan);
            let (mut times, mut values) = (Vec::new(), Vec::new());
            while expected.next_into(&mut times, &mut values) {}
            let bits = values.iter().map(|value| value.to_bits());
            let expected: Vec<_> = times.into_iter().zip(bits).collect();
            let found = self.points(plan.key, TimeSpan::ALL);
            assert!(
                found == expected,
                "{:?} is not what was generated",
                plan.key
            );
            let middle = &expected[expected.len() / 3..expected.len() / 2];
            let span = TimeSpan {
                from: TimestampMs(middle[0].0),
                to: TimestampMs(middle[middle.len() - 1].0 + 1),
            };
            assert!(
                self.points(plan.key, span) == middle,
                "{:?} {span:?}",
                plan.key
            );
        }
    }

    fn publish(&self, org: u64, phases: &[Phase]) {
        let version = CutoverVersion {
            org: OrgId(org),
            version: 1,
            previous: EntryHash::default(),
            change: Change {
                verb: "create".to_owned(),
                from: CutoverState::Off,
                stated: Statement {
                    actor: "ada".to_owned(),
                    reason: "a test".to_owned(),
                    ticket: None,
                },
                at: TimestampMs(0),
            },
            state: CutoverState::Contracting,
            standing: Standing::Going,
            timeline: Timeline::new(phases.iter().copied()).unwrap(),
            edges: Edges::default(),
            seal: None,
            mirror_percent: 0,
            evidence: Vec::new(),
            undo: UndoCost::Metadata,
            old_place: None,
        };
        let versions = [(version, EntryHash::default())];
        let published = fleet_log::publish(&self.bucket, Pipeline::Old, &versions);
        self.runtime.block_on(published).unwrap();
    }
}

fn small() -> Generator {
    Generator::new(GeneratorSettings {
        orgs: 3,
        series: 30,
        points: 30 * 400,
        payload_points: 20,
        late_permille: 100,
        duplicate_permille: 200,
        out_of_order_permille: 100,
        poison: 5,
        ..GeneratorSettings::default()
    })
    .unwrap()
}

/// Waits for what another thread brings about.
fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_there() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn what_is_read_back_out_of_many_flushes_is_what_was_generated() {
    let (world, generator) = (World::start(), small());
    let sent = produce_generated(world.producing(), &generator).unwrap();
    let setup = OldSetup {
        // So that each partition is flushed every few records.
        memory: ByteCount(u64::from(PARTITIONS) * 60_000),
        ..world.setup(Until::End)
    };
    let told = Arc::new(AtomicU64::new(0));
    let listener = Arc::clone(&told);
    let controls = OldControls {
        progress: Box::new(move |_| {
            listener.fetch_add(1, Ordering::SeqCst);
        }),
        ..OldControls::silent()
    };
    let report = world.runtime.block_on(run(setup, controls)).unwrap();
    world.check_all(&generator);
    assert_eq!((report.records, report.refused_records), (sent.records, 5));
    assert_eq!(report.points_in, sent.points);
    assert_eq!(report.points + report.duplicates, report.points_in);
    assert!(report.flushes > 2 * u64::from(PARTITIONS), "{report:?}");
    assert!(told.load(Ordering::SeqCst) > 0);

    // All of it is accounted for, and a series is known by what its records said.
    let progress = world.progress();
    let total = |count: fn(&OldProgress) -> i64| progress.values().map(count).sum::<i64>();
    assert_eq!(total(|it| it.to.0), sent.records.cast_signed());
    let org = generator.plans()[0].key.org;
    let series = world.runtime.block_on(async {
        let files = OldFiles::open(&world.bucket).await.unwrap();
        files.series(org).await.unwrap()
    });
    let plans = generator.plans().iter().filter(|plan| plan.key.org == org);
    let keys: Vec<SeriesKey> = plans.map(|plan| plan.key).collect();
    assert_eq!(series.iter().map(|it| it.key).collect::<Vec<_>>(), keys);
    assert!(series.iter().any(|it| !it.metadata.is_empty()));
}

#[test]
fn the_next_process_goes_on_where_one_was_killed_between_its_files_and_its_progress() {
    let (world, generator) = (World::start(), small());
    produce_generated(world.producing(), &generator).unwrap();
    let first = world.run_to_end();
    // What a process leaves that is killed there: the files, and not the progress that makes them count.
    let newest = world.progress();
    let (mut chains, mut one) = (newest.keys(), newest.values());
    let is_begun = |progress: &OldProgress| progress.number == 1;
    assert!(newest.len() == PARTITIONS as usize && one.all(is_begun));
    for chain in chains.by_ref() {
        let key = OldKey::Progress {
            chain: chain.clone(),
            number: 1,
        };
        let key = key.to_string();
        let removed = world.bucket.delete(&key);
        world.runtime.block_on(removed).unwrap();
    }
    let key = generator.plans()[0].key;
    assert_eq!(world.points(key, TimeSpan::ALL), [], "nothing counts yet");

    let second = world.run_to_end();
    assert_eq!(second.records, first.records, "it reads everything again");
    let listed = old_log::files(&world.bucket, Prefix::OLD_FILES);
    let files = world.runtime.block_on(listed).unwrap();
    assert_eq!(files.len() as u64, first.files + second.files);
    world.check_all(&generator);
    // Nothing is left to do for a third.
    let third = world.run_to_end();
    assert_eq!((third.records, third.files), (0, 0));
}

#[test]
fn a_process_that_finds_another_at_its_partition_ends_and_nothing_is_lost() {
    let (world, generator) = (World::start(), small());
    let sent = produce_generated(world.producing(), &generator).unwrap();
    let records = Arc::new(AtomicU64::new(0));
    let listener = Arc::clone(&records);
    let controls = OldControls {
        progress: Box::new(move |report| listener.store(report.records, Ordering::SeqCst)),
        ..OldControls::silent()
    };
    let stop = controls.stop.clone();
    let running = world
        .runtime
        .spawn(run(world.setup(Until::Asked), controls));
    wait_for("every record", || {
        records.load(Ordering::SeqCst) == sent.records
    });
    let (_, begun) = world.progress().pop_first().unwrap();
    let other = OldProgress {
        number: begun.number + 1,
        ..begun
    };
    let appended = old_log::append(&world.bucket, &other);
    let appended = world.runtime.block_on(appended).unwrap();
    assert_eq!(appended, Created::Ours);
    stop.cancel();
    let error = world.runtime.block_on(running).unwrap().unwrap_err();
    assert!(matches!(error, Error::OldPartitionTaken { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Fenced);

    world.run_to_end();
    world.check_all(&generator);
}

#[test]
fn an_org_is_written_up_to_its_edge_by_the_points_own_times_also_when_the_edge_comes_while_it_runs()
{
    const EDGE: i64 = 1_000_000;
    let world = World::start();
    let series = |org| SeriesKey {
        org: OrgId(org),
        metric: MetricId(1),
    };
    let times = |org| -> Vec<i64> {
        let points = world.points(series(org), TimeSpan::ALL);
        points.into_iter().map(|(ms, _)| ms).collect()
    };
    // Org 7 is cut over while the process runs and has not flushed yet; org 8 never is.
    let rows = |ms: i64| format!("7,1,{ms},1\n8,1,{ms},1\n");
    world.send(&[EDGE - 1, EDGE, EDGE + 1].map(rows).concat());
    let controls = OldControls::silent();
    let stop = controls.stop.clone();
    let running = world
        .runtime
        .spawn(run(world.setup(Until::Asked), controls));
    let acks = || world.runtime.block_on(ack_log::all(&world.bucket)).unwrap();
    let says = |fleet| acks().first().is_some_and(|ack| ack.fleet == fleet);
    wait_for("the first acknowledgement", || says(0));
    let phase = |from, writers, visible| Phase {
        from,
        writers,
        visible,
    };
    world.publish(
        7,
        &[
            phase(TimeSpan::ALL.from, Writers::Both, Pipeline::Old),
            phase(
                TimestampMs(EDGE),
                Writers::Only(Pipeline::New),
                Pipeline::New,
            ),
        ],
    );
    wait_for("the second acknowledgement", || says(1));
    stop.cancel();
    world.runtime.block_on(running).unwrap().unwrap();
    world.run_to_end();
    assert_eq!(acks(), [], "who has ended is waited for no more");
    assert_eq!(times(7), [EDGE - 1]);
    assert_eq!(times(8), [EDGE - 1, EDGE, EDGE + 1]);
    let newest = world.progress().into_values();
    let left: Vec<_> = newest.flat_map(|it| it.not_written_to).collect();
    assert_eq!(left, [(OrgId(7), TimestampMs(EDGE + 1))]);

    // However late: what lies before the edge is the old pipeline's.
    world.send(&[EDGE - 2, EDGE + 2].map(rows).concat());
    let report = world.run_to_end();
    assert_eq!((report.points, report.not_owned), (3, 1));
    assert_eq!(times(7), [EDGE - 2, EDGE - 1]);
    assert_eq!(times(8), [EDGE - 2, EDGE - 1, EDGE, EDGE + 1, EDGE + 2]);
}
