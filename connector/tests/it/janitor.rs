//! The janitor on a bucket in which workers left things behind.

use bytes::Bytes;
use skein_connector::janitor::{JanitorOptions, JanitorReport, Mode, Scope, run};
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_shared::bucket::{Bucket, Created};
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::flush_manifest::{FlushBody, FlushContents, FlushManifest, FlushedSpan};
use skein_shared::format::frame::Stream;
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::object_key::{Hour, ObjectKey};
use skein_shared::format::state_object::MadeWith;
use skein_shared::format::worker_status::WorkerStatus;
use skein_shared::ids::{
    Chain, FlushId, Incarnation, PartitionId, ShardId, SourceName, Tenure, TopicName, WorkerId,
    WriteId,
};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::status_log;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Place, open_bucket};

struct World {
    _server: EmbeddedBucket,
    bucket: Bucket,
}

fn flush(counter: u64) -> FlushId {
    FlushId {
        worker: WorkerId::random(),
        counter,
    }
}

fn chain() -> Chain {
    Chain {
        source: SourceName::new("s").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(0),
    }
}

fn key(flush: FlushId, number: u32) -> String {
    let key = ObjectKey::State {
        shard: ShardId::Quarantine,
        hour: Hour::of(TimestampMs(1_700_000_000_000)),
        flush,
        number,
    };
    key.to_string()
}

impl World {
    async fn new() -> Self {
        let server = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
        server.create_bucket("skein").unwrap();
        let place = Place {
            brokers: String::new(),
            endpoint: server.endpoint(),
            keys: (
                server.access_key().to_owned(),
                server.secret_key().to_owned(),
            ),
            properties: &[],
        };
        let bucket = open_bucket(&place).await;
        let genesis = Genesis {
            chain: chain(),
            start: Offset(0),
            policy: StartPolicy::Earliest,
        };
        let ledger = Ledger::new(bucket.clone());
        ledger.create_genesis(&genesis).await.unwrap();
        Self {
            _server: server,
            bucket,
        }
    }

    /// An object of 4 bytes and an upload with one part of 1,000.
    async fn leave_behind(&self, flush: FlushId) {
        let body = Bytes::from_static(b"four");
        let object = key(flush, 0);
        let put = self.bucket.put(&object, body, WriteId::random());
        put.await.unwrap();
        let id = WriteId::random();
        let upload = self.bucket.start_multipart(&key(flush, 1), id).await;
        let part = Bytes::from(vec![7; 1_000]);
        upload.unwrap().upload_part(1, part).await.unwrap();
    }

    async fn create_manifest(&self, flush: FlushId, span: Span) -> Created {
        let stream = Stream {
            chain: chain(),
            tenure: Tenure(1),
        };
        let contents = FlushContents {
            objects: Vec::new(),
            spans: vec![FlushedSpan {
                stream,
                span,
                hole: None,
                frames: 1,
                digest: ContentDigest::EMPTY,
            }],
            made_with: MadeWith::this_build(0),
        };
        let body = FlushBody::Written(contents);
        let id = WriteId::random();
        let bytes = FlushManifest { flush, body }.encode(id);
        let key = ObjectKey::Flush(flush).to_string();
        self.bucket.create(&key, bytes, id).await.unwrap()
    }

    async fn append(&self, flush: FlushId, span: Span) {
        let entry = LedgerEntry {
            chain: chain(),
            span,
            kind: EntryKind::Flushed {
                flush,
                tenure: Tenure(1),
            },
            frames: 1,
            times: None,
            last: None,
        };
        let ledger = Ledger::new(self.bucket.clone());
        ledger.append(&entry, WriteId::random()).await.unwrap();
    }

    async fn tell(&self, worker: WorkerId) {
        let status = WorkerStatus {
            worker,
            as_of: self.bucket.now().await.unwrap(),
            claims: Vec::new(),
        };
        let written = status_log::write(&self.bucket, &status, WriteId::random());
        written.await.unwrap();
    }

    async fn sweep(&self, mode: Mode, patience: Millis) -> JanitorReport {
        let options = JanitorOptions {
            patience,
            mode,
            scope: Scope::Everything,
            start_after: None,
        };
        run(&self.bucket, &options, &CancellationToken::new())
            .await
            .unwrap()
    }

    /// How many objects and uploads of a flush there are.
    async fn left(&self, flush: FlushId) -> (usize, usize) {
        let object = self.bucket.head(&key(flush, 0)).await.unwrap();
        let uploads = self.bucket.open_uploads("").await.unwrap();
        let of_flush = |key: &str| key == self::key(flush, 1) || key == self::key(flush, 0);
        let uploads = uploads.iter().filter(|upload| of_flush(&upload.key));
        (usize::from(object.is_some()), uploads.count())
    }
}

/// Nothing is too young for it.
const NO_PATIENCE: Millis = Millis(0);
const HOUR: Millis = Millis::seconds(3600);

#[tokio::test]
async fn an_unfinished_flush_of_a_silent_worker_is_fenced_and_then_taken_away() {
    let world = World::new().await;
    let dead = flush(1);
    world.leave_behind(dead).await;
    let young = world.sweep(Mode::Act, HOUR).await;
    assert_eq!((young.uploads, young.objects, young.kept), (0, 0, 2));

    let dry = world.sweep(Mode::DryRun, NO_PATIENCE).await;
    assert_eq!((dry.uploads, dry.upload_bytes), (1, 1_000));
    assert_eq!((dry.objects, dry.object_bytes), (1, 4));
    assert_eq!(dry.flushes_voided, 1);
    assert_eq!(world.left(dead).await, (1, 1), "a dry run changes nothing");

    assert_eq!(world.sweep(Mode::Act, NO_PATIENCE).await, dry);
    assert_eq!(world.left(dead).await, (0, 0));
    // It was only slow after all: it cannot finish what is gone.
    let late = world.create_manifest(dead, Span::new(Offset(0), Offset(5)));
    assert_eq!(late.await, Created::Taken);
    // And what it still writes is taken away the next time, without any patience.
    world.leave_behind(dead).await;
    let next = world.sweep(Mode::Act, HOUR).await;
    assert_eq!((next.uploads, next.objects, next.flushes_voided), (1, 1, 0));
}

#[tokio::test]
async fn a_worker_that_tells_keeps_what_it_has_not_finished() {
    let world = World::new().await;
    let alive = flush(1);
    world.leave_behind(alive).await;
    world.tell(alive.worker).await;
    let report = world.sweep(Mode::Act, Millis::seconds(30)).await;
    assert_eq!(
        (report.uploads, report.objects, report.flushes_voided),
        (0, 0, 0)
    );
    assert_eq!(world.left(alive).await, (1, 1));
}

#[tokio::test]
async fn what_counts_or_may_count_stays_whoever_is_silent() {
    let world = World::new().await;
    let (counts, may_count) = (flush(1), flush(2));
    for (flush, span) in [
        (counts, Span::new(Offset(0), Offset(10))),
        (may_count, Span::new(Offset(10), Offset(20))),
    ] {
        world.leave_behind(flush).await;
        let created = world.create_manifest(flush, span).await;
        assert_eq!(created, Created::Ours);
    }
    world.append(counts, Span::new(Offset(0), Offset(10))).await;
    let report = world.sweep(Mode::Act, NO_PATIENCE).await;
    assert_eq!((report.objects, report.kept), (0, 2));
    // Uploads that are open although their flushes are finished were begun twice.
    assert_eq!(report.uploads, 2);
    assert_eq!(world.left(counts).await, (1, 0));
    assert_eq!(world.left(may_count).await, (1, 0));
}

#[tokio::test]
async fn a_flush_whose_every_span_another_one_covers_is_taken_away() {
    let world = World::new().await;
    let (winner, loser, passed_over) = (flush(1), flush(2), flush(3));
    for (flush, from) in [(winner, 0), (loser, 0), (passed_over, 5)] {
        world.leave_behind(flush).await;
        let span = Span::new(Offset(from), Offset(10));
        assert_eq!(world.create_manifest(flush, span).await, Created::Ours);
    }
    world.append(winner, Span::new(Offset(0), Offset(10))).await;
    let report = world.sweep(Mode::Act, HOUR).await;
    assert_eq!((report.objects, report.kept), (2, 1));
    assert_eq!(world.left(winner).await.0, 1);
    assert_eq!(world.left(loser).await.0, 0);
    assert_eq!(world.left(passed_over).await.0, 0);
}

#[tokio::test]
async fn a_damaged_manifest_or_entry_keeps_what_it_decides_about_and_the_run_goes_on() {
    let world = World::new().await;
    // The ones before and behind the damaged ones, in whatever order their keys have.
    let dead: Vec<FlushId> = (1..9).map(flush).collect();
    let (unreadable, undecided) = (flush(20), flush(21));
    for flush in dead.iter().chain([&unreadable, &undecided]) {
        world.leave_behind(*flush).await;
    }
    let manifest = ObjectKey::Flush(unreadable).to_string();
    let chain = chain();
    let from = Offset(0);
    let entry = ObjectKey::LedgerEntry { chain, from }.to_string();
    for damaged in [&manifest, &entry] {
        let garbage = Bytes::from_static(b"no envelope");
        let put = world.bucket.put(damaged, garbage, WriteId::random());
        put.await.unwrap();
    }
    let span = Span::new(Offset(0), Offset(10));
    assert_eq!(world.create_manifest(undecided, span).await, Created::Ours);
    let report = world.sweep(Mode::Act, NO_PATIENCE).await;
    assert_eq!((report.objects, report.flushes_voided), (8, 8));
    for flush in dead {
        assert_eq!(world.left(flush).await, (0, 0));
    }
    assert_eq!(world.left(unreadable).await, (1, 1));
    // Its manifest says that it is finished, so that its upload was begun twice.
    assert_eq!(world.left(undecided).await, (1, 0));
    let damaged: Vec<&String> = report.damaged.keys().collect();
    let mut expected = [&manifest, &entry];
    expected.sort();
    assert_eq!(damaged, expected, "each once");
}

#[tokio::test]
async fn a_run_that_is_cut_short_says_where_to_go_on() {
    let world = World::new().await;
    let dead = flush(1);
    world.leave_behind(dead).await;
    let options = |start_after| JanitorOptions {
        patience: NO_PATIENCE,
        mode: Mode::Act,
        scope: Scope::Everything,
        start_after,
    };
    let cancel = CancellationToken::new();
    cancel.cancel();
    let cut = run(&world.bucket, &options(None), &cancel).await.unwrap();
    assert_eq!(cut.cut_short_at.as_deref(), Some(""));
    assert_eq!(world.left(dead).await, (1, 1));
    let fresh = CancellationToken::new();
    let behind = options(Some(key(dead, 0)));
    let rest = run(&world.bucket, &behind, &fresh).await.unwrap();
    assert_eq!((rest.objects, rest.cut_short_at), (0, None));
    let all = run(&world.bucket, &options(cut.cut_short_at), &fresh).await;
    assert_eq!(all.unwrap().objects, 1);
}
