//! The ledger, the shard map's log and the binding of sources, in an embedded bucket.

use bytes::Bytes;
use skein_shared::format::frame::{LastRecord, RecordTimes, RecordTimestamp};
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::ids::{
    Chain, FlushId, Incarnation, PartitionId, SourceName, Tenure, TopicName, WorkerId, WriteId,
};
use skein_shared::ledger::{Appended, ChainFault, Ledger};
use skein_shared::offset::{Offset, Span};
use skein_shared::window::TimestampMs;
use skein_shared::{ErrorKind, source_binding};

use crate::bucket::stores::{open_embedded, open_with_short_pages};

fn chain(topic: &str, partition: u32) -> Chain {
    Chain {
        source: SourceName::new("src").unwrap(),
        topic: TopicName::new(topic).unwrap(),
        incarnation: Incarnation(0),
        partition: PartitionId(partition),
    }
}

fn entry(chain: &Chain, from: i64, to: i64) -> LedgerEntry {
    let time = TimestampMs(from);
    LedgerEntry {
        chain: chain.clone(),
        span: Span::new(Offset(from), Offset(to)),
        kind: EntryKind::Flushed {
            flush: FlushId {
                worker: WorkerId::random(),
                counter: 1,
            },
            tenure: Tenure(1),
        },
        frames: 1,
        times: Some(RecordTimes::of(time)),
        last: Some(LastRecord {
            offset: Offset(to - 1),
            timestamp: RecordTimestamp::Created(time),
            crc32c: 7,
        }),
    }
}

fn genesis(chain: &Chain, start: i64) -> Genesis {
    Genesis {
        chain: chain.clone(),
        start: Offset(start),
        policy: StartPolicy::Earliest,
    }
}

/// A chain of entries between consecutive `edges`.
async fn write_chain(ledger: &Ledger, chain: &Chain, edges: &[i64]) {
    ledger
        .create_genesis(&genesis(chain, edges[0]))
        .await
        .unwrap();
    for edge in edges.windows(2) {
        let entry = entry(chain, edge[0], edge[1]);
        let appended = ledger.append(&entry, WriteId::random()).await.unwrap();
        assert_eq!(appended, Appended::Ours);
    }
}

async fn append(ledger: &Ledger, chain: &Chain, edge: &[i64]) -> skein_shared::Result<Appended> {
    let entry = entry(chain, edge[0], edge[1]);
    ledger.append(&entry, WriteId::random()).await
}

fn key_of(chain: &Chain, from: i64) -> String {
    let (chain, from) = (chain.clone(), Offset(from));
    ObjectKey::LedgerEntry { chain, from }.to_string()
}

#[tokio::test]
async fn one_offset_is_appended_by_one_worker_only_and_the_loser_sees_the_winners_entry() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket);
    let chain = chain("t", 0);
    let entries: Vec<LedgerEntry> = (1..9).map(|to| entry(&chain, 0, to)).collect();
    let tries = entries
        .iter()
        .map(|entry| ledger.append(entry, WriteId::random()));
    let results = futures::future::try_join_all(tries).await.unwrap();
    let winners: Vec<usize> = (0..8).filter(|i| results[*i] == Appended::Ours).collect();
    assert_eq!(winners.len(), 1);
    for (index, result) in results.iter().enumerate() {
        if index != winners[0] {
            assert_eq!(*result, Appended::Taken(entries[winners[0]].clone()));
        }
    }
}

#[tokio::test]
async fn a_repeated_append_of_the_same_write_is_ours_again() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket);
    let entry = entry(&chain("t", 0), 0, 9);
    let id = WriteId::random();
    for _ in 0..2 {
        assert_eq!(ledger.append(&entry, id).await.unwrap(), Appended::Ours);
    }
}

#[tokio::test]
async fn the_first_genesis_stands() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket);
    let chain = chain("t", 0);
    assert_eq!(ledger.end(&chain, None).await.unwrap(), None);
    let first = genesis(&chain, 5);
    assert_eq!(ledger.create_genesis(&first).await.unwrap(), first);
    assert_eq!(
        ledger.create_genesis(&genesis(&chain, 9)).await.unwrap(),
        first
    );
    let end = ledger.end(&chain, None).await.unwrap().unwrap();
    assert_eq!((end.offset, end.last), (Offset(5), None));
}

#[tokio::test]
async fn a_chain_whose_genesis_is_gone_is_damaged_and_never_begins_anew() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket.clone());
    let chain = chain("t", 0);
    write_chain(&ledger, &chain, &[0, 10]).await;
    let key = ObjectKey::Genesis(chain.clone()).to_string();
    bucket.delete(&key).await.unwrap();
    for error in [
        ledger.end(&chain, None).await.map(drop).unwrap_err(),
        ledger.known_genesis(&chain).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&key), "{error}");
    }
}

#[tokio::test]
async fn pages_that_a_store_cuts_short_hide_no_entry() {
    let (_server, bucket) = open_with_short_pages(7).await;
    let ledger = Ledger::new(bucket);
    let chain = chain("t", 0);
    let edges: Vec<i64> = (0..60).map(|n| n * n).collect();
    write_chain(&ledger, &chain, &edges).await;
    for hint in [None, Some(900), Some(59 * 59), Some(i64::MAX)] {
        let end = ledger.end(&chain, hint.map(Offset)).await.unwrap().unwrap();
        assert_eq!(end.offset, Offset(59 * 59), "hint {hint:?}");
    }
    let entries = ledger.entries(&chain, Offset(0)).await.unwrap();
    assert_eq!(entries.len(), 59);
}

#[tokio::test]
async fn every_chain_is_found_also_below_odd_topic_names() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket);
    assert_eq!(ledger.chains().await.unwrap(), []);
    let mut chains = vec![
        chain("a.b", 0),
        chain("genesis", 2),
        chain("a", 10),
        chain("a", 9),
    ];
    for chain in &chains {
        ledger.create_genesis(&genesis(chain, 0)).await.unwrap();
    }
    chains.sort();
    assert_eq!(ledger.chains().await.unwrap(), chains);
}

#[tokio::test]
async fn entries_come_in_order_from_any_boundary_and_a_hole_is_an_error() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket.clone());
    let chain = chain("t", 0);
    write_chain(&ledger, &chain, &[0, 10, 200, 3000]).await;
    let from = |from: i64| ledger.entries(&chain, Offset(from));
    let spans = |entries: Vec<LedgerEntry>| -> Vec<String> {
        entries.iter().map(|entry| entry.span.to_string()).collect()
    };
    assert_eq!(
        spans(from(0).await.unwrap()),
        ["[0, 10)", "[10, 200)", "[200, 3000)"]
    );
    assert_eq!(spans(from(10).await.unwrap()), ["[10, 200)", "[200, 3000)"]);
    assert!(from(3000).await.unwrap().is_empty());
    bucket.delete(&key_of(&chain, 10)).await.unwrap();
    let error = from(0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&key_of(&chain, 200)), "{error}");
    assert_eq!(from(10).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn the_end_of_a_long_chain_is_found_with_any_hint_and_few_requests() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket.clone());
    let chain = chain("t", 0);
    ledger.create_genesis(&genesis(&chain, 3)).await.unwrap();
    let mut edges = vec![3];
    for n in 0..2500_i64 {
        edges.push(edges[edges.len() - 1] + 1 + (n * 7919) % 4000);
    }
    for pairs in edges.windows(2).collect::<Vec<_>>().chunks(64) {
        let puts = pairs.iter().map(|edge| append(&ledger, &chain, edge));
        futures::future::try_join_all(puts).await.unwrap();
    }
    let end = edges[edges.len() - 1];
    for hint in [
        None,
        Some(0),
        Some(3),
        Some(end / 2),
        Some(end),
        Some(end * 3),
        Some(i64::MAX),
    ] {
        let before = bucket.requests().reads();
        let found = ledger.end(&chain, hint.map(Offset)).await.unwrap().unwrap();
        assert_eq!(found.offset, Offset(end), "hint {hint:?}");
        let requests = bucket.requests().reads() - before;
        assert!(requests <= 40, "hint {hint:?} took {requests} requests");
        assert!(
            hint != Some(end) || requests <= 4,
            "a good hint took {requests}"
        );
    }
}

#[tokio::test]
async fn a_check_finds_and_locates_every_fault_of_a_chain() {
    let (_server, bucket) = open_embedded().await;
    let ledger = Ledger::new(bucket.clone());
    let sound = chain("sound", 0);
    write_chain(&ledger, &sound, &[0, 10, 20]).await;
    assert!(ledger.check_chain(&sound).await.unwrap().0.is_empty());

    let broken = chain("broken", 0);
    write_chain(&ledger, &broken, &[0, 10, 20, 30, 40]).await;
    bucket.delete(&key_of(&broken, 10)).await.unwrap();
    ledger
        .append(&entry(&broken, 25, 30), WriteId::random())
        .await
        .unwrap();
    let genesis = ObjectKey::Genesis(broken.clone()).to_string();
    bucket.delete(&genesis).await.unwrap();
    let damaged = chain("damaged", 0);
    write_chain(&ledger, &damaged, &[0, 10, 20]).await;
    let mut bytes = bucket.get(&key_of(&damaged, 10)).await.unwrap().to_vec();
    bytes[40] ^= 1;
    bucket
        .put(&key_of(&damaged, 10), Bytes::from(bytes), WriteId::random())
        .await
        .unwrap();

    let (findings, entries) = ledger.check_chain(&broken).await.unwrap();
    let found: Vec<(&str, &ChainFault)> = findings
        .iter()
        .map(|f| (f.key.as_str(), &f.fault))
        .collect();
    let span = |from, to| Span::new(Offset(from), Offset(to));
    let (gap, overlap) = (key_of(&broken, 10), key_of(&broken, 25));
    let expected = [
        (genesis.as_str(), &ChainFault::NoGenesis),
        (gap.as_str(), &ChainFault::Gap(span(10, 20))),
        (overlap.as_str(), &ChainFault::Overlap(span(25, 30))),
    ];
    assert_eq!(found, expected);
    assert_eq!(entries.len(), 4);
    let (findings, _) = ledger.check_chain(&damaged).await.unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].key, key_of(&damaged, 10));
    assert!(matches!(
        findings[0].fault,
        ChainFault::Damaged { at: Some(_), .. }
    ));
}

#[tokio::test]
async fn a_source_stands_for_one_cluster() {
    let (_server, bucket) = open_embedded().await;
    let source = SourceName::new("prod").unwrap();
    for _ in 0..2 {
        source_binding::bind(&bucket, &source, "cluster-a")
            .await
            .unwrap();
    }
    let error = source_binding::bind(&bucket, &source, "cluster-b")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for word in ["prod", "cluster-a", "cluster-b", "kafka.source"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    let sources = bucket.list(Prefix::SOURCES, None).await.unwrap();
    assert_eq!(sources.len(), 1);
}
