//! `[connector]`: when objects roll and flush, and what memory they may take.

use serde::{Deserialize, Serialize};
use skein_shared::units::{ByteCount, MIB, Millis};

use crate::bound::{Bounds, Breach};

/// Settings of the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorSettings {
    /// Longest time between two flushes of one worker.
    pub flush_interval: Millis,
    /// Records in all objects of a flush that start it early.
    pub flush_records: u64,
    /// Raw bytes in all objects of a flush that start it early.
    pub flush_bytes: ByteCount,
    /// Payloads after which an object is sealed and a new one opened.
    pub roll_records: u64,
    /// Stored bytes after which an object is sealed and a new one opened.
    pub roll_bytes: ByteCount,
    /// Bytes that librdkafka's queue, open blocks and parts in flight take together.
    pub memory_budget: ByteCount,
    /// Largest raw size of a block.
    pub block_bytes: ByteCount,
    /// Size of an object's first parts; only its last may be smaller.
    pub part_bytes: ByteCount,
    /// Objects that end below this go out as one request.
    pub small_object_bytes: ByteCount,
    /// Threads that compress blocks; 0 is one for each core. Fewer run where memory is small.
    pub compression_threads: u32,
    /// Requests to the bucket at the same time.
    pub upload_concurrency: u32,
    /// Time to look up where the ledger of newly assigned partitions ends.
    pub lookup_timeout: Millis,
    /// Time to flush partitions that are taken away before they are given up.
    pub drain_timeout: Millis,
    /// Time for the last flush after SIGTERM.
    pub shutdown_timeout: Millis,
    /// With an end to reach: time without any progress after which the connector gives up.
    pub stall_timeout: Millis,
    /// Longest time between two statuses of one worker.
    pub status_interval: Millis,
    /// Time between two looks for what dead workers left behind; 0 is never.
    pub janitor_interval: Millis,
    /// How long a worker is silent before its unfinished flushes are declared void.
    pub janitor_patience: Millis,
    /// What to do with a partition when Kafka no longer has the records that follow the ledger's end.
    pub on_lost_offsets: OnLostOffsets,
    /// What to do with a partition whose log is not the one that the ledger was written from.
    pub on_replaced_log: OnReplacedLog,
}

/// What to do with a partition when Kafka no longer has the records that follow the ledger's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLostOffsets {
    /// Stop it and raise an alert; the other partitions go on.
    Stop,
    /// Wait a flush interval, look again, record the lost span in the ledger, raise an alert and go on.
    SkipAndRecord,
}

/// What to do with a partition whose topic was made anew, or truncated below the ledger's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnReplacedLog {
    /// Stop it and raise an alert; the other partitions go on.
    Stop,
    /// Begin its next incarnation, with a chain of its own, at the oldest record that Kafka has.
    NewIncarnation,
}

/// What the memory budget leaves to each user of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// librdkafka's queue of fetched records.
    pub kafka_queue: ByteCount,
    /// Open blocks, compressed blocks and parts in flight.
    pub buffers: ByteCount,
}

/// Smallest raw size of a block: what a full budget shrinks every shard's block to.
pub const MIN_BLOCK_BYTES: ByteCount = ByteCount(60 * 1024);

/// What the smallest block takes of memory, filling and encoded: an allocator gives 64 KiB or 80, nothing in between,
/// and a block has a header and room for a last record.
pub const MIN_BLOCK_ROOM: ByteCount = ByteCount(64 * 1024);
const _: () = assert!(MIN_BLOCK_BYTES.0 + MIN_BLOCK_BYTES.0 / 16 <= MIN_BLOCK_ROOM.0);

/// Smallest part that S3 takes, other than an object's last.
pub const MIN_PART_BYTES: ByteCount = ByteCount::mib(5);

/// Largest share of librdkafka's queue.
const MAX_QUEUE_BYTES: u64 = 64 * MIB;

/// What a partition that is read takes of the budget, records apart: the client library's state and the connector's.
pub const PARTITION_BYTES: ByteCount = ByteCount(6 * 1024);

/// What a connector takes at most beside its memory budget: code, threads, the clients' own state, and what an
/// allocator keeps. Measured by `skein loadtest memory`; a container's limit is the budget and this.
pub const MEMORY_BESIDE_BUDGET: ByteCount = ByteCount::mib(96);

impl ConnectorSettings {
    /// Splits the budget: a quarter to librdkafka's queue, at most 64 MiB, the rest to buffers. A larger queue reads
    /// no faster, and what waits in buffers makes larger objects.
    pub fn memory_shares(&self) -> MemoryShares {
        let queue = (self.memory_budget.0 / 4).min(MAX_QUEUE_BYTES);
        MemoryShares {
            kafka_queue: ByteCount(queue),
            buffers: ByteCount(self.memory_budget.0 - queue),
        }
    }

    /// The most that a connector ever has resident: the limit to give its container.
    pub fn resident_limit(&self) -> ByteCount {
        ByteCount(self.memory_budget.0 + MEMORY_BESIDE_BUDGET.0)
    }

    /// How many threads compress, where one for each core would be `cores`: fewer where an eighth of the buffers
    /// does not hold what they take.
    pub fn compressors(&self, cores: u32) -> u32 {
        let wanted = match self.compression_threads {
            0 => cores,
            some => some,
        };
        let fitting = self.memory_shares().buffers.0 / 8 / self.compressor_bytes().0;
        wanted
            .min(u32::try_from(fitting).unwrap_or(u32::MAX))
            .max(1)
    }

    /// What a thread that compresses takes beside the block that it was given: its own state, and its output twice.
    pub fn compressor_bytes(&self) -> ByteCount {
        ByteCount(MIB + 2 * self.block_bytes.0)
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("connector", breaches);
        bounds.range(
            "flush_interval",
            &self.flush_interval,
            Millis(100)..=Millis::seconds(86_400),
        );
        bounds.range("flush_records", &self.flush_records, 1..=1_000_000_000);
        bounds.range(
            "flush_bytes",
            &self.flush_bytes,
            ByteCount::mib(1)..=ByteCount::mib(1 << 20),
        );
        bounds.range("roll_records", &self.roll_records, 1..=100_000_000);
        bounds.range(
            "roll_bytes",
            &self.roll_bytes,
            ByteCount::mib(1)..=ByteCount::mib(48 << 10),
        );
        bounds.range(
            "block_bytes",
            &self.block_bytes,
            MIN_BLOCK_BYTES..=ByteCount::mib(64),
        );
        bounds.range(
            "part_bytes",
            &self.part_bytes,
            MIN_PART_BYTES..=ByteCount::mib(1024),
        );
        bounds.range(
            "small_object_bytes",
            &self.small_object_bytes,
            MIN_PART_BYTES..=ByteCount::mib(64),
        );
        bounds.range("compression_threads", &self.compression_threads, 0..=1024);
        bounds.range("upload_concurrency", &self.upload_concurrency, 1..=4096);
        self.check_times(&mut bounds);
    }

    fn check_times(&self, bounds: &mut Bounds<'_>) {
        bounds.range(
            "lookup_timeout",
            &self.lookup_timeout,
            Millis(100)..=Millis::seconds(300),
        );
        bounds.range(
            "drain_timeout",
            &self.drain_timeout,
            Millis(100)..=Millis::seconds(300),
        );
        bounds.range(
            "status_interval",
            &self.status_interval,
            Millis(100)..=Millis::seconds(3600),
        );
        bounds.range(
            "janitor_interval",
            &self.janitor_interval,
            Millis(0)..=Millis::seconds(30 * 86_400),
        );
        // A worker that misses a status or two must not lose its work for it.
        let shortest = Millis(self.status_interval.0.saturating_mul(5).max(1_000));
        bounds.range(
            "janitor_patience",
            &self.janitor_patience,
            shortest..=Millis::seconds(30 * 86_400),
        );
        bounds.range(
            "shutdown_timeout",
            &self.shutdown_timeout,
            Millis(100)..=Millis::seconds(3600),
        );
        bounds.range(
            "stall_timeout",
            &self.stall_timeout,
            Millis(100)..=Millis::seconds(86_400),
        );
    }
}
