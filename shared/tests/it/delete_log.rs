//! The deletes in the bucket: one after the other, whoever makes them, and never less than were made.

use skein_shared::ErrorKind;
use skein_shared::bucket::{Bucket, Created};
use skein_shared::delete_log::{self, NewDelete};
use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, EntryHash, Statement};
use skein_shared::format::delete_positions::DeletePositions;
use skein_shared::format::delete_receipt::{DeleteReceipt, ShardReceipt};
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{
    Chain, Generation, Incarnation, OrgId, PartitionId, ShardId, SourceName, TopicName, WriteId,
};
use skein_shared::ledger::{Appended, Ledger};
use skein_shared::offset::{Offset, Span};
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::bucket::stores::open_embedded;

fn delete_of(org: u64) -> NewDelete {
    NewDelete {
        selector: DeleteSelector {
            org: OrgId(org),
            metric: None,
            span: TimeSpan::ALL,
        },
        stated: Statement {
            actor: "ann".into(),
            reason: "asked".into(),
            ticket: None,
        },
        deadline_after: Millis(5000),
    }
}

fn chain(partition: u32) -> Chain {
    Chain {
        source: SourceName::new("a").unwrap(),
        topic: TopicName::new("t").unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

async fn begin(bucket: &Bucket, partition: u32) {
    let genesis = Genesis {
        chain: chain(partition),
        start: Offset(4),
        policy: StartPolicy::Earliest,
    };
    let ledger = Ledger::new(bucket.clone());
    ledger.create_genesis(&genesis).await.unwrap();
}

async fn make_durable(bucket: &Bucket, partition: u32, [from, to]: [i64; 2]) {
    let entry = LedgerEntry {
        chain: chain(partition),
        span: Span::new(Offset(from), Offset(to)),
        kind: EntryKind::LostSpan {
            reason: "test".into(),
        },
        frames: 0,
        times: None,
        last: None,
    };
    let ledger = Ledger::new(bucket.clone());
    let appended = ledger.append(&entry, WriteId::random()).await.unwrap();
    assert_eq!(appended, Appended::Ours);
}

#[tokio::test]
async fn deletes_that_are_made_at_once_get_a_number_each_and_name_one_another() {
    let (_server, bucket) = open_embedded().await;
    let made = (0..6).map(|org| delete_log::append(&bucket, delete_of(org)));
    let made = futures::future::try_join_all(made).await.unwrap();
    let log = delete_log::load(&bucket).await.unwrap();
    assert_eq!(log.newest(), 6);
    let mut numbers: Vec<u64> = made.iter().map(|entry| entry.number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=6));
    for entry in made {
        assert_eq!(entry.deadline.0, entry.at.0 + 5000);
        assert_eq!(log.entry(entry.number), Some(&entry));
    }
    let later = delete_log::load_after(&bucket, 4).await.unwrap();
    assert_eq!(later.entries, log.entries[4..]);
}

#[tokio::test]
async fn a_delete_reaches_as_far_as_the_ledger() {
    let (_server, bucket) = open_embedded().await;
    begin(&bucket, 0).await;
    begin(&bucket, 3).await;
    make_durable(&bucket, 3, [4, 9]).await;
    let entry = delete_log::append(&bucket, delete_of(1)).await.unwrap();
    let ends = [(chain(0), Offset(4)), (chain(3), Offset(9))];
    assert!(entry.positions.unwrap().into_iter().eq(ends));
}

#[tokio::test]
async fn what_is_durable_before_the_positions_of_a_delete_are_kept_is_deleted_and_nothing_later() {
    let (_server, bucket) = open_embedded().await;
    begin(&bucket, 0).await;
    // Whoever made this one has gone before it kept the positions.
    let alone = DeleteEntry {
        number: 1,
        selector: delete_of(1).selector,
        positions: None,
        stated: Statement::default(),
        at: TimestampMs(5),
        deadline: TimestampMs(9),
        previous: EntryHash::default(),
    };
    let (key, id) = (ObjectKey::Delete(1).to_string(), WriteId::random());
    let created = bucket.create(&key, alone.encode(id), id).await;
    assert_eq!(created.unwrap(), Created::Ours);
    make_durable(&bucket, 0, [4, 9]).await;
    let log = delete_log::load(&bucket).await.unwrap();
    assert_eq!(log.entries, [alone], "reading keeps nothing");
    for partition in [0, 7] {
        let end = log.entries[0].end_of(&chain(partition));
        assert_eq!(end, Offset(i64::MAX), "until then it takes everything");
    }

    let completed = delete_log::load_complete(&bucket).await.unwrap();
    make_durable(&bucket, 0, [9, 12]).await;
    let log = delete_log::load(&bucket).await.unwrap();
    assert_eq!(log, completed);
    assert_eq!(log.entries[0].end_of(&chain(0)), Offset(9));
    assert_eq!(log.entries[0].end_of(&chain(7)), Offset(0));
    let next = delete_log::append(&bucket, delete_of(2)).await.unwrap();
    assert_eq!((next.number, next.end_of(&chain(0))), (2, Offset(12)));
    assert_eq!(delete_log::load(&bucket).await.unwrap().newest(), 2);
}

#[tokio::test]
async fn the_next_delete_completes_the_one_before_it() {
    let (_server, bucket) = open_embedded().await;
    begin(&bucket, 0).await;
    delete_log::append(&bucket, delete_of(1)).await.unwrap();
    let apart = ObjectKey::DeletePositions(1).to_string();
    bucket.delete(&apart).await.unwrap();
    delete_log::append(&bucket, delete_of(2)).await.unwrap();
    let log = delete_log::load(&bucket).await.unwrap();
    assert!(log.entries.iter().all(|entry| entry.positions.is_some()));
}

#[tokio::test]
async fn positions_that_are_missing_or_changed_are_found() {
    let (_server, bucket) = open_embedded().await;
    begin(&bucket, 0).await;
    for org in 1..=2 {
        delete_log::append(&bucket, delete_of(org)).await.unwrap();
    }
    let apart = ObjectKey::DeletePositions(1).to_string();
    bucket.delete(&apart).await.unwrap();
    for forged in [None, Some(Offset(3))] {
        if let Some(end) = forged {
            let positions = DeletePositions {
                number: 1,
                positions: [(chain(0), end)].into(),
            };
            let id = WriteId::random();
            bucket.put(&apart, positions.encode(id), id).await.unwrap();
        }
        let error = delete_log::load(&bucket).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let text = error.to_string();
        assert!(text.contains("or other positions"), "{text}");
    }
}

#[tokio::test]
async fn a_missing_or_changed_delete_is_found() {
    let (_server, bucket) = open_embedded().await;
    for org in 1..=3 {
        delete_log::append(&bucket, delete_of(org)).await.unwrap();
    }
    let key = ObjectKey::Delete(2).to_string();
    let sound = bucket.get(&key).await.unwrap();
    bucket.delete(&key).await.unwrap();
    let error = delete_log::load(&bucket).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("delete 2 is missing"), "{error}");

    // Another delete of the same number, well formed.
    let mut log = delete_log::load_after(&bucket, 2).await.unwrap();
    let mut forged = log.entries.pop().unwrap();
    forged.number = 2;
    let id = WriteId::random();
    let created = bucket.create(&key, forged.encode(id), id).await;
    assert_eq!(created.unwrap(), Created::Ours);
    let error = delete_log::load(&bucket).await.unwrap_err();
    assert!(
        error.to_string().contains("after another delete"),
        "{error}"
    );

    let mut damaged = sound.to_vec();
    damaged[40] ^= 1;
    bucket
        .put(&key, damaged.into(), WriteId::random())
        .await
        .unwrap();
    let error = delete_log::load(&bucket).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(&key), "{error}");
}

#[tokio::test]
async fn the_first_receipt_stands_and_is_listed() {
    let (_server, bucket) = open_embedded().await;
    delete_log::append(&bucket, delete_of(1)).await.unwrap();
    assert_eq!(delete_log::receipt(&bucket, 1).await.unwrap(), None);
    let receipt = |points| DeleteReceipt {
        number: 1,
        at: TimestampMs(5),
        shards: vec![ShardReceipt {
            shard: ShardId::Dedicated(OrgId(1)),
            generation: Generation(3),
            points,
        }],
    };
    for points in [10, 11] {
        let kept = delete_log::keep_receipt(&bucket, &receipt(points)).await;
        kept.unwrap();
    }
    let kept = delete_log::receipt(&bucket, 1).await.unwrap();
    assert_eq!(kept, Some(receipt(10)));
    let log = delete_log::load(&bucket).await.unwrap();
    assert!(log.receipts.into_iter().eq([1]));
}
