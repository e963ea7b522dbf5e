//! Rules of `status`.

use std::collections::BTreeMap;

use skein_reader::inspect::status::{Depth, StatusOptions, StatusReport, status};
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::format::retirement::Retirement;
use skein_shared::format::worker_status::{Claim, WorkerStatus};
use skein_shared::ids::{Chain, WorkerId, WriteId};
use skein_shared::ledger::{Appended, Ledger};
use skein_shared::offset::{Offset, Span};
use skein_shared::status_log;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use crate::inspect::world::{BASE_MS, World, chain};

const OPTIONS: StatusOptions = StatusOptions {
    watermark_delay: Millis::seconds(60),
    stale_after: Millis::seconds(600),
    depth: Depth::Gaps,
};

/// Both chains of the world end here.
const END: i64 = 20;

fn claim(partition: u32, log_end: i64) -> Claim {
    Claim {
        chain: chain(partition),
        position: Offset(END),
        log_end: Some(Offset(log_end)),
        stopped: None,
    }
}

async fn tell(world: &World, age_ms: i64, claims: Vec<Claim>) -> TimestampMs {
    let now = world.bucket.now().await.unwrap();
    // Of two workers the one that told later is listed later.
    let worker: WorkerId = format!("{:032x}", i64::MAX - age_ms).parse().unwrap();
    let status = WorkerStatus {
        worker,
        as_of: TimestampMs(now.0 - age_ms),
        claims,
    };
    let written = status_log::write(&world.bucket, &status, WriteId::random());
    written.await.unwrap();
    status.as_of
}

async fn report(world: &World) -> StatusReport {
    report_with(world, &BTreeMap::new()).await
}

async fn report_with(world: &World, kafka_ends: &BTreeMap<Chain, Offset>) -> StatusReport {
    let report = status(&world.bucket, &OPTIONS, kafka_ends).await.unwrap();
    assert_eq!(report.partitions.len(), 2);
    report
}

#[tokio::test]
async fn partitions_that_are_read_need_nobody_and_give_a_watermark() {
    let world = World::build().await;
    let as_of = tell(&world, 5_000, vec![claim(0, END), claim(1, END + 7)]).await;
    let report = report(&world).await;
    assert_eq!(report.needs, []);
    let [idle, behind] = &report.partitions[..] else {
        panic!("two partitions")
    };
    assert_eq!((idle.state, behind.state), ("at end", "behind"));
    assert_eq!((idle.lag_records, behind.lag_records), (Some(0), Some(7)));
    assert_eq!(idle.lag_ms, Some(0));
    assert!(behind.lag_ms > Some(1_000_000), "its records are from 2023");
    assert_eq!((idle.ledger_end, idle.kafka_end), (END, Some(END)));
    assert!(idle.flush_age_ms.unwrap() < 120_000);
    assert!((5_000..30_000).contains(&idle.told_age_ms.unwrap()));
    let watermark = |ms: i64| Some(TimestampMs(ms - 60_000).to_string());
    assert_eq!(idle.watermark, watermark(as_of.0));
    assert_eq!(behind.watermark, watermark(BASE_MS));
    assert_eq!(report.watermark, watermark(BASE_MS));
    assert_eq!(report.held_back_by, ["src/points/0/1"]);
    assert_eq!(report.workers.len(), 2, "one has no partition");
}

#[tokio::test]
async fn kafkas_own_word_on_its_ends_is_believed_first() {
    let world = World::build().await;
    tell(&world, 5_000, vec![claim(0, END), claim(1, END)]).await;
    let ends = [(chain(0), Offset(END + 3))].into();
    let report = report_with(&world, &ends).await;
    assert_eq!(report.partitions[0].lag_records, Some(3));
    assert_eq!(report.partitions[1].lag_records, Some(0));
}

#[tokio::test]
async fn a_partition_that_is_stopped_or_read_by_nobody_needs_a_person() {
    let world = World::build().await;
    let silent = report(&world).await;
    assert_eq!(silent.watermark, None);
    assert_eq!(silent.held_back_by.len(), 2);
    assert_eq!(silent.needs.len(), 2, "{:?}", silent.needs);

    let stopped = Claim {
        stopped: Some("records lost, raise the retention".to_owned()),
        ..claim(1, END)
    };
    tell(&world, 700_000, vec![claim(0, END), stopped]).await;
    let report = report(&world).await;
    assert_eq!(report.partitions[1].state, "stopped");
    let needs: Vec<String> = report.needs.iter().map(ToString::to_string).collect();
    assert!(
        needs[0].starts_with("src/points/0/0: no worker has told of it for "),
        "{needs:?}"
    );
    assert!(needs[1].contains("raise the retention"), "{needs:?}");

    // Who reads it since then speaks for it.
    tell(&world, 1_000, vec![claim(0, END), claim(1, END)]).await;
    assert_eq!(self::report(&world).await.needs, []);
}

#[tokio::test]
async fn a_retired_partition_needs_nobody() {
    let world = World::build().await;
    tell(&world, 1_000, vec![claim(0, END)]).await;
    assert_eq!(report(&world).await.needs.len(), 1);
    let retirement = Retirement {
        chain: chain(1),
        end: Offset(END),
        reason: "gone".to_owned(),
    };
    status_log::retire(&world.bucket, &retirement)
        .await
        .unwrap();
    let report = report(&world).await;
    assert_eq!(report.needs, []);
    assert_eq!(report.partitions[1].state, "retired");
    assert!(report.watermark.is_some());
}

#[tokio::test]
async fn offsets_that_were_lost_are_shown_and_a_broken_chain_needs_a_person() {
    let world = World::build().await;
    let lost = |from, to| LedgerEntry {
        chain: chain(0),
        span: Span::new(Offset(from), Offset(to)),
        kind: EntryKind::LostSpan {
            reason: "retention".to_owned(),
        },
        frames: 0,
        times: None,
        last: None,
    };
    let ledger = Ledger::new(world.bucket.clone());
    let appended = ledger.append(&lost(END, 25), WriteId::random()).await;
    assert_eq!(appended.unwrap(), Appended::Ours);
    let told = Claim {
        position: Offset(25),
        ..claim(0, 25)
    };
    tell(&world, 1_000, vec![told, claim(1, END)]).await;
    let sound = report(&world).await;
    assert_eq!(sound.needs, []);
    let gaps = sound.partitions[0].gaps.as_ref().unwrap();
    assert_eq!((gaps[0].from, gaps[0].to), (END, 25));
    assert_eq!(sound.partitions[1].gaps.as_ref().unwrap().len(), 0);

    let appended = ledger.append(&lost(30, 31), WriteId::random()).await;
    assert_eq!(appended.unwrap(), Appended::Ours);
    let broken = report(&world).await;
    assert!(
        broken
            .needs
            .iter()
            .any(|need| need.what.contains("[25, 30)")),
        "{broken:?}"
    );
}
