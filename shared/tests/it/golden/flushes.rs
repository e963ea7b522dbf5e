//! What a connector writes beside state objects.

use std::collections::BTreeSet;

use skein_shared::format::fill_entry::FillEntry;
use skein_shared::format::flush_manifest::{FlushBody, FlushContents, FlushManifest, FlushedSpan};
use skein_shared::format::frame::{LastRecord, RecordTimes, RecordTimestamp};
use skein_shared::format::ledger_entry::{EntryKind, Genesis, LedgerEntry, StartPolicy};
use skein_shared::format::retirement::Retirement;
use skein_shared::format::shard_map_version::ShardMapVersion;
use skein_shared::format::source_identity::SourceIdentity;
use skein_shared::format::worker_status::{Claim, WorkerStatus};
use skein_shared::ids::{OrgId, ShardId, SourceName, Tenure};
use skein_shared::offset::{Offset, Span};
use skein_shared::shard_map::Routing;

use super::Golden;
use super::fixed::{
    WINDOW, at, chain, digest, flush, flushed_object, made_with, span, stream, worker,
};

pub(super) fn goldens() -> Vec<Golden> {
    let mut all = of_flushes();
    all.extend(of_ledger());
    all.extend(of_workers());
    all
}

fn of_flushes() -> Vec<Golden> {
    let manifest = |name, body| {
        let sample = FlushManifest {
            flush: flush(12),
            body,
        };
        Golden::of_envelope(name, sample, FlushManifest::encode, FlushManifest::decode)
    };
    let mut quarantine = flushed_object(2);
    quarantine.shard = ShardId::Quarantine;
    let contents = FlushContents {
        objects: vec![flushed_object(1), quarantine],
        spans: vec![flushed_span(5, None), flushed_span(6, Some(Offset(4_000)))],
        made_with: made_with(),
    };
    let void = FlushBody::Void {
        reason: "the worker is gone".into(),
    };
    vec![
        manifest("flush-manifest-1", FlushBody::Written(contents)),
        manifest("flush-manifest-void-1", void),
    ]
}

fn flushed_span(partition: u32, hole: Option<Offset>) -> FlushedSpan {
    FlushedSpan {
        stream: stream(partition),
        span: span(4_100, 4_200),
        hole,
        frames: 99,
        digest: digest(5),
    }
}

fn of_ledger() -> Vec<Golden> {
    let genesis = Genesis {
        chain: chain("points", 5),
        start: Offset(4_000),
        policy: StartPolicy::Chosen,
    };
    let lost = EntryKind::LostSpan {
        reason: "retention was too short".into(),
    };
    let lost = LedgerEntry {
        kind: lost,
        frames: 0,
        times: None,
        last: None,
        ..ledger_entry(span(5_000, 5_100))
    };
    let fill = FillEntry {
        hole: Offset(4_000),
        entry: ledger_entry(span(4_500, 4_600)),
    };
    let entry =
        |name, sample| Golden::of_envelope(name, sample, LedgerEntry::encode, LedgerEntry::decode);
    vec![
        Golden::of_envelope("genesis-1", genesis, Genesis::encode, Genesis::decode),
        entry("ledger-entry-1", ledger_entry(span(4_100, 4_200))),
        entry("ledger-entry-lost-1", lost),
        Golden::of_envelope("fill-entry-1", fill, FillEntry::encode, FillEntry::decode),
    ]
}

fn ledger_entry(span: Span) -> LedgerEntry {
    LedgerEntry {
        chain: chain("points", 5),
        span,
        kind: EntryKind::Flushed {
            flush: flush(12),
            tenure: Tenure(75),
        },
        frames: 98,
        times: Some(RecordTimes {
            oldest: at(-1),
            newest: at(1_000),
            is_partial: true,
        }),
        last: Some(LastRecord {
            offset: Offset(span.to.0 - 2),
            timestamp: RecordTimestamp::Appended(at(999)),
            crc32c: 0x1234_5678,
        }),
    }
}

fn of_workers() -> Vec<Golden> {
    let map = ShardMapVersion {
        version: 3,
        from: Some(WINDOW.start()),
        routing: Routing {
            modulus: 64,
            dedicated: BTreeSet::from([OrgId(7), OrgId(u64::MAX)]),
        },
    };
    let source = SourceIdentity {
        source: SourceName::new("kafka-1").unwrap(),
        cluster_id: "a4RbBHyTQ2u6Xo5m9VnYfg".into(),
    };
    let claim = |partition, stopped| Claim {
        chain: chain("points", partition),
        position: Offset(4_200),
        log_end: Some(Offset(4_201)),
        stopped,
    };
    let status = WorkerStatus {
        worker: worker(),
        as_of: at(5_000),
        claims: vec![
            claim(5, None),
            claim(6, Some("the log was replaced".into())),
        ],
    };
    let retirement = Retirement {
        chain: chain("points", 5),
        end: Offset(4_200),
        reason: "the topic is gone".into(),
    };
    vec![
        Golden::of_envelope(
            "shard-map-version-1",
            map,
            ShardMapVersion::encode,
            ShardMapVersion::decode,
        ),
        Golden::of_envelope(
            "source-identity-1",
            source,
            SourceIdentity::encode,
            SourceIdentity::decode,
        ),
        Golden::of_envelope(
            "worker-status-1",
            status,
            WorkerStatus::encode,
            WorkerStatus::decode,
        ),
        Golden::of_envelope(
            "retirement-1",
            retirement,
            Retirement::encode,
            Retirement::decode,
        ),
    ]
}
