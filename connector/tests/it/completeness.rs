//! Up to which time everything is durable, as the bucket tells it.

use std::time::Duration;

use skein_config::Settings;
use skein_connector::pipeline::{Controls, FlushSignal, Setup, Until, run};
use skein_connector::report::ConnectReport;
use skein_local::embedded_bucket::Conditions;
use skein_shared::bucket::Bucket;
use skein_shared::completeness::{Behind, Standing};
use skein_shared::ids::Chain;
use skein_shared::ledger::Ledger;
use skein_shared::status_log::{self, Gathered, gather};
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::embedded::{Embedded, start};
use crate::fixture::{Kept, connect, open_bucket, produce, records, settings};

const DELAY: Millis = Millis::seconds(5);
const YEAR_2100: i64 = 4_102_444_800_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// A connector that tells often and flushes only when it is asked to.
struct Running {
    task: JoinHandle<skein_connector::Result<ConnectReport>>,
    stop: CancellationToken,
    flush: FlushSignal,
}

fn telling(servers: &Embedded, source: &str) -> Settings {
    let mut settings = settings(&servers.place, source);
    settings.connector.status_interval = Millis(200);
    settings
}

fn start_worker(settings: &Settings, bucket: &Bucket) -> Running {
    let controls = Controls::silent();
    Running {
        stop: controls.stop.clone(),
        flush: controls.flush.clone(),
        task: tokio::spawn(run(
            Setup::of(settings, bucket.clone(), Until::Asked),
            controls,
        )),
    }
}

/// Looks until what the bucket tells is as wished.
async fn until(bucket: &Bucket, wished: impl Fn(&Gathered) -> bool) -> Gathered {
    let look = async {
        loop {
            let gathered = gather(bucket).await.unwrap();
            if wished(&gathered) {
                return gathered;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, look).await.expect("it comes to that")
}

fn watermark(gathered: &Gathered) -> Option<TimestampMs> {
    gathered.completeness(DELAY).watermark()
}

fn is_behind_by(gathered: &Gathered, chain: &Chain, offsets: u64) -> bool {
    match gathered.completeness(DELAY).chains.get(chain) {
        Some(Standing::UpTo(reached)) => reached.behind == Behind::Offsets(Some(offsets)),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_idle_or_at_their_end_are_complete_up_to_the_buckets_clock() {
    let servers = start(4, Conditions::Honoured);
    // Records from 2023 in three partitions; nothing ever in the fourth.
    produce(&servers.place, 3, &records(300, 100));
    let bucket = open_bucket(&servers.place).await;
    let before = bucket.now().await.unwrap();
    connect(&settings(&servers.place, "idle"), &bucket).await;
    let gathered = gather(&bucket).await.unwrap();
    let completeness = gathered.completeness(DELAY);
    assert_eq!(completeness.chains.len(), 4, "{completeness:?}");
    let watermark = completeness.watermark().unwrap();
    assert!(before.0 - 5_000 <= watermark.0 && watermark.0 <= gathered.now.0 - 5_000);
    assert_eq!(gathered.statuses.len(), 1);
    assert_eq!(gathered.statuses[0].claims.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_worker_holds_the_watermark_and_another_one_moves_it_on() {
    let servers = start(4, Conditions::Honoured);
    produce(&servers.place, 4, &records(100, 100));
    let bucket = open_bucket(&servers.place).await;
    let settings = telling(&servers, "stalled");
    let worker = start_worker(&settings, &bucket);
    // It goes forward by itself while nothing comes.
    let first = until(&bucket, |told| {
        told.statuses.len() == 1 && watermark(told).is_none()
    })
    .await;
    // Asked again and again: it may not have read anything yet.
    let told = until(&bucket, |told| {
        worker.flush.raise();
        watermark(told).is_some()
    })
    .await;
    assert!(first.now <= told.now);
    let later = watermark(&told).unwrap();
    until(&bucket, |told| {
        watermark(told) > Some(TimestampMs(later.0 + 1_000))
    })
    .await;
    worker.stop.cancel();
    worker.task.await.unwrap().unwrap();

    // Now nobody tells: it stands, whatever the clock says.
    let last = gather(&bucket).await.unwrap();
    let stands = watermark(&last).unwrap();
    let as_of = last.statuses[0].as_of;
    assert_eq!(stands.0, as_of.0 - 5_000);
    let waited = until(&bucket, |told| told.now.0 >= last.now.0 + 3_000).await;
    assert_eq!(watermark(&waited), Some(stands));

    let again = connect(&settings, &bucket).await;
    assert_eq!(again.records, 0);
    let moved = gather(&bucket).await.unwrap();
    assert_eq!(moved.statuses.len(), 2);
    assert!(watermark(&moved) > Some(stands));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_timestamp_from_the_year_2100_closes_nothing_while_records_are_to_come() {
    let servers = start(4, Conditions::Honoured);
    let bucket = open_bucket(&servers.place).await;
    let settings = telling(&servers, "future");
    let mut produced = records(40, 100);
    produced[20].timestamp = YEAR_2100;
    produce(&servers.place, 4, &produced);
    let worker = start_worker(&settings, &bucket);
    let chains = until(&bucket, |told| told.chains.len() == 4).await.chains;
    let poisoned = chains.keys().find(|chain| chain.partition.0 == 0).unwrap();
    until(&bucket, |told| told.statuses.len() == 1).await;
    let flushed = |told: &Gathered| told.chains.values().all(|end| end.offset.0 == 10);
    until(&bucket, |told| {
        worker.flush.raise();
        flushed(told)
    })
    .await;
    // At its end it is complete up to the clock, whatever its records say.
    until(&bucket, |told| {
        watermark(told) > Some(TimestampMs(told.now.0 - 30_000))
    })
    .await;
    // With one more record to come, up to the newest record that can be believed.
    let one: [Kept; 1] = [records(1, 100).remove(0)];
    produce(&servers.place, 4, &one);
    let behind = until(&bucket, |told| is_behind_by(told, poisoned, 1)).await;
    let newest = 1_700_000_000_000 + 36_000;
    assert_eq!(watermark(&behind), Some(TimestampMs(newest - 5_000)));
    until(&bucket, |told| {
        worker.flush.raise();
        watermark(told) > Some(TimestampMs(told.now.0 - 30_000))
    })
    .await;
    worker.stop.cancel();
    worker.task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_partition_holds_nothing_back() {
    let servers = start(4, Conditions::Honoured);
    produce(&servers.place, 4, &records(40, 100));
    let bucket = open_bucket(&servers.place).await;
    connect(&settings(&servers.place, "gone"), &bucket).await;
    let statuses = status_log::statuses(&bucket).await.unwrap();
    status_log::remove(&bucket, statuses[0].worker)
        .await
        .unwrap();
    // Another worker tells of one partition of them only.
    let mut told = statuses[0].clone();
    told.claims.truncate(1);
    status_log::write(&bucket, &told, skein_shared::ids::WriteId::random())
        .await
        .unwrap();
    let unknown = gather(&bucket).await.unwrap();
    assert_eq!(watermark(&unknown), None);
    assert_eq!(unknown.completeness(DELAY).held_back_by().len(), 3);
    let ledger = Ledger::new(bucket.clone());
    for chain in ledger.chains().await.unwrap().into_iter().skip(1) {
        let end = ledger.end(&chain, None).await.unwrap().unwrap().offset;
        let reason = "topic deleted".to_owned();
        let retirement = skein_shared::format::retirement::Retirement { chain, end, reason };
        status_log::retire(&bucket, &retirement).await.unwrap();
        status_log::retire(&bucket, &retirement).await.unwrap();
    }
    let known = gather(&bucket).await.unwrap();
    assert_eq!(watermark(&known), Some(TimestampMs(told.as_of.0 - 5_000)));
}
