//! What a replay of one org reads, counted in bytes. State is written as fills, without Kafka.

use std::sync::Arc;

use skein_connector::replay::block_index::{ShardFilter, index};
use skein_connector::replay::fill_writer::{FillWriter, write};
use skein_connector::replay::ordered_records::OrderedRecords;
use skein_connector::replay::passage::{FlushStep, Passage, passages};
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_shared::bucket::Bucket;
use skein_shared::fills::{Filled, Fills};
use skein_shared::format::flush_manifest::FlushBody;
use skein_shared::format::frame::{HeadersRef, RecordRef, RecordTimestamp, Stream};
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::replay_job::{OnGone, Only, ReplayInto, ReplayJob};
use skein_shared::format::varint;
use skein_shared::ids::{
    Chain, Hole, Incarnation, JobId, OrgId, PartitionId, SourceName, TopicName, WorkerId, WriteId,
};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};
use skein_shared::shard_map::{Routing, ShardMap};
use skein_shared::window::TimestampMs;

use crate::fixture::{Place, open_bucket};

struct World {
    _server: EmbeddedBucket,
    bucket: Bucket,
    map: ShardMap,
    job: ReplayJob,
    state_bytes: u64,
}

/// Writes `count` records whose orgs are what `org_of` says, and plans to replay those of `org`.
async fn world(modulus: u32, count: i64, org_of: impl Fn(i64) -> u64, org: u64) -> World {
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
    let map = ShardMap::new(Routing {
        modulus,
        dedicated: [].into(),
    });
    let chain = Chain {
        source: SourceName::new("bytes").unwrap(),
        topic: TopicName::new("points").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(0),
    };
    let span = Span::new(Offset(0), Offset(count));
    lose(&bucket, &chain, span).await;
    let hole = Hole {
        chain: chain.clone(),
        from: Offset(0),
    };
    let state_bytes = fill(&bucket, &map, (&hole, span), org_of).await;
    let job = ReplayJob {
        job: JobId(1),
        created: TimestampMs(0),
        into: ReplayInto::State,
        spans: [(chain, span)].into(),
        fills: [(hole, span.to)].into(),
        only: Only {
            org: Some(OrgId(org)),
            ..Only::default()
        },
        on_gone: OnGone::Refuse,
        left_out: None,
    };
    World {
        _server: server,
        bucket,
        map,
        job,
        state_bytes,
    }
}

/// Fills a hole with records of these orgs; gives the bytes of the objects.
async fn fill(
    bucket: &Bucket,
    map: &ShardMap,
    (hole, span): (&Hole, Span),
    org_of: impl Fn(i64) -> u64,
) -> u64 {
    let worker = (WorkerId::random(), 0);
    let mut writer = FillWriter::new(hole, worker, (map, 8 << 20), TimestampMs(0));
    let mut rng = fastrand::Rng::with_seed(7);
    for n in span.from.0..span.to.0 {
        let mut value = vec![8];
        varint::put_u64(&mut value, org_of(n));
        value.extend(std::iter::repeat_with(|| rng.u8(..)).take(240));
        writer.append(&RecordRef {
            offset: Offset(n),
            timestamp: RecordTimestamp::Created(TimestampMs(n)),
            key: None,
            value: Some(&value),
            headers: HeadersRef::EMPTY,
        });
    }
    let ready = writer.finish(span);
    let FlushBody::Written(contents) = &ready.manifest.body else {
        panic!("a fill is never void");
    };
    let state_bytes = contents
        .objects
        .iter()
        .map(|object| object.object_bytes)
        .sum();
    let filled = write(bucket, &Fills::new(bucket.clone()), &ready)
        .await
        .unwrap();
    assert_eq!(filled, Filled::Ours);
    state_bytes
}

async fn lose(bucket: &Bucket, chain: &Chain, span: Span) {
    let ledger = Ledger::new(bucket.clone());
    let genesis = Genesis {
        chain: chain.clone(),
        start: span.from,
        policy: StartPolicy::Earliest,
    };
    ledger.create_genesis(&genesis).await.unwrap();
    let lost = LedgerEntry {
        chain: chain.clone(),
        span,
        kind: EntryKind::LostSpan {
            reason: "test".into(),
        },
        frames: 0,
        times: None,
        last: None,
    };
    ledger.append(&lost, WriteId::random()).await.unwrap();
}

/// Reads the org's records; gives their offsets, the bytes that were fetched for them, and the blocks.
async fn read(world: &World) -> (Vec<i64>, u64, usize) {
    let before = world.bucket.requests().received_bytes;
    let shards = ShardFilter::new(&world.job.only, Some(&world.map));
    let (steps, gone) = passages(&world.bucket, &world.job).await.unwrap();
    assert_eq!(gone, []);
    let (mut offsets, mut blocks) = (Vec::new(), 0);
    for step in &steps {
        let found = index(&world.bucket, step, &world.job.only, &shards)
            .await
            .unwrap();
        blocks += found.blocks.len();
        let passages: Arc<[Passage]> = step.passages.clone().into();
        let mut records =
            OrderedRecords::new(&world.bucket, passages, world.job.only, found.blocks);
        while let Some(batch) = records.next_batch().await.unwrap() {
            offsets.extend(batch.iter().map(|record| record.offset.0));
        }
    }
    (
        offsets,
        world.bucket.requests().received_bytes - before,
        blocks,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_org_of_ten_thousand_reads_less_than_two_percent_of_the_bytes() {
    // Mixed as badly as can be: every block has records of all orgs of its shard.
    let scattered = |n: i64| (n.cast_unsigned() * 7919) % 10_000;
    let world = world(64, 250_000, scattered, 4242).await;
    let (offsets, bytes, _) = read(&world).await;
    let expected: Vec<i64> = (0..250_000).filter(|n| scattered(*n) == 4242).collect();
    assert_eq!(offsets, expected);
    let share = bytes * 10_000 / world.state_bytes;
    assert!(
        share < 200,
        "{bytes} of {} bytes: {share} in 10,000",
        world.state_bytes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_lack_a_rare_org_of_a_busy_shard_are_passed_over() {
    let orgs = |n: i64| match n % 50_000 {
        123 => 501,
        other => other.cast_unsigned() % 200 * 2,
    };
    let world = world(1, 200_000, orgs, 501).await;
    let (offsets, bytes, blocks) = read(&world).await;
    assert_eq!(offsets, [123, 50_123, 100_123, 150_123]);
    // About fifty blocks, of which four hold it.
    assert!((4..=10).contains(&blocks), "{blocks} blocks");
    assert!(
        bytes < world.state_bytes / 4,
        "{bytes} of {}",
        world.state_bytes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_missing_is_a_part_that_is_gone_and_hides_no_other() {
    let world = world(4, 2000, |n| n.cast_unsigned() % 4, 1).await;
    let listed = world.bucket.list("", None).await.unwrap();
    let of_shard = |shard: &str| {
        let key = listed.iter().find(|object| object.key.contains(shard));
        key.unwrap().key.clone()
    };
    world
        .bucket
        .delete(&of_shard("/org-mod-4-1/"))
        .await
        .unwrap();
    let (steps, _) = passages(&world.bucket, &world.job).await.unwrap();
    let [step]: &[FlushStep; 1] = steps.as_slice().try_into().unwrap();
    let stream: &Stream = &step.passages[0].stream;
    let of_org = ShardFilter::new(&world.job.only, Some(&world.map));
    let found = index(&world.bucket, step, &world.job.only, &of_org)
        .await
        .unwrap();
    assert_eq!((found.blocks.len(), found.gone.len()), (0, 1));
    assert_eq!(found.gone[0].chain, stream.chain);
    assert!(
        found.gone[0].why.contains("org-mod-4-1"),
        "{}",
        found.gone[0]
    );
    let all = ShardFilter::new(&Only::default(), None);
    let found = index(&world.bucket, step, &Only::default(), &all)
        .await
        .unwrap();
    assert_eq!((found.blocks.len(), found.gone.len()), (3, 1));
}
