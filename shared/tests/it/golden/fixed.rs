//! Ids, times and numbers of the samples: none is a default, and none is drawn.

use skein_shared::format::digest::ContentDigest;
use skein_shared::format::flush_manifest::FlushedObject;
use skein_shared::format::frame::Stream;
use skein_shared::format::state_object::MadeWith;
use skein_shared::ids::{
    Chain, FlushId, Hole, Incarnation, MetricId, OrgId, PartitionId, SeriesKey, ShardId,
    SourceName, Tenure, TopicName, WorkerId, WriteId,
};
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::Limits;
use skein_shared::units::{ByteCount, Millis};
use skein_shared::window::{TimestampMs, Window};
use uuid::Uuid;

/// 2024-10-04.
pub(super) const WINDOW: Window = Window::from_number(20_000);

pub(super) fn write_id() -> WriteId {
    WriteId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff))
}

pub(super) fn worker() -> WorkerId {
    WorkerId(Uuid::from_u128(0xf0e1_d2c3_b4a5_9687_7869_5a4b_3c2d_1e0f))
}

pub(super) fn flush(counter: u64) -> FlushId {
    let worker = worker();
    FlushId { worker, counter }
}

pub(super) fn chain(topic: &str, partition: u32) -> Chain {
    Chain {
        source: SourceName::new("kafka-1").unwrap(),
        topic: TopicName::new(topic).unwrap(),
        incarnation: Incarnation(2),
        partition: PartitionId(partition),
    }
}

pub(super) fn hole(partition: u32) -> Hole {
    Hole {
        chain: chain("points", partition),
        from: Offset(4_000),
    }
}

pub(super) fn stream(partition: u32) -> Stream {
    Stream {
        chain: chain("points", partition),
        tenure: Tenure(u64::from(partition) + 70),
    }
}

pub(super) fn span(from: i64, to: i64) -> Span {
    Span::new(Offset(from), Offset(to))
}

pub(super) fn at(ms: i64) -> TimestampMs {
    TimestampMs(WINDOW.start().0 + ms)
}

pub(super) fn digest(number: u128) -> ContentDigest {
    let mut digest = ContentDigest::EMPTY;
    digest.add_hash(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10 * number);
    digest
}

pub(super) fn shared_shard() -> ShardId {
    ShardId::Shared {
        modulus: 64,
        remainder: 17,
    }
}

pub(super) fn key(org: u64, metric: u64) -> SeriesKey {
    SeriesKey {
        org: OrgId(org),
        metric: MetricId(metric),
    }
}

pub(super) fn made_with() -> MadeWith {
    MadeWith {
        shard_map_version: 3,
        software: "skein 0.1.0".into(),
    }
}

pub(super) fn flushed_object(number: u64) -> FlushedObject {
    FlushedObject {
        key: format!("00ff/state/org-mod-64-17/2024-10-04/05/object-{number}"),
        shard: shared_shard(),
        object_bytes: 1_000 + number,
        crc32c: 0xdead_beef,
        frames: 40 + number,
        raw_bytes: 9_000 + number,
        digest: digest(3),
    }
}

/// Each other than the default, and than any other.
pub(super) fn limits() -> Limits {
    Limits {
        payload_bytes: ByteCount(1_001),
        points: 1_002,
        metadata_entries: 1_003,
        metadata_bytes: ByteCount(1_004),
        windows: 1_005,
        past: Millis(1_006),
        future: Millis(1_007),
    }
}
