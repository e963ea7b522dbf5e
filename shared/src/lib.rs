//! The contract that every Skein role shares: words, ids, routing, formats and the bucket.
//!
//! Connector, compactor and reader never import one another. They meet in the bucket, and this crate
//! says what they find there.
//!
//! # Glossary
//! - **record**: one Kafka record. **payload**: its value, `(org, metric, timestamps[], values[],
//!   metadata)`. **point**: `(org, metric, timestamp_ms, f64)`. **series**: the points of one
//!   `(org, metric)`.
//! - **source**: a named Kafka cluster. **incarnation**: one life of a topic. **chain**: the ledger of
//!   one `(source, topic, incarnation, partition)`. **position**: an offset in a chain; a record's
//!   identity.
//! - **shard**: an independent group of orgs, `org-mod-K-R` (orgs with `id mod K = R`) or `org-N`.
//! - **state object**: records of one shard, as they came. **frame**: one record inside it.
//!   **block**: a compressed run of frames or points. **flush**: the objects one worker seals together.
//! - **tenure**: one unbroken stretch of one worker reading one partition.
//! - **ledger**: per chain, the contiguous durable spans of offsets; its entry is the unit of atomicity.
//! - **status**: what one worker says of its partitions. **watermark**: the time before which everything is
//!   durable. **retired**: of a partition that nobody waits for any more.
//! - **hole**: a span that the ledger holds as lost. **fill**: records of it that came in later; the fills of a
//!   hole are a chain of their own, and count as the ledger's do. **replay**: records put where they are
//!   missing, from Kafka into holes or from state into a topic.
//! - **window**: half-open event-time span. **segment**: immutable file of encoded series of one
//!   `(shard, window, resolution)`. **manifest**: a shard's list of live segments and the positions
//!   they hold. **generation**: number of a shard's manifest. **stage**: what points pass in a compaction, timed
//!   piece by piece; a **run record** keeps the times of one run.
//! - **account**: of a shard, where the points of each of its orgs went.
//! - **delete**: a selector of points and the positions below which records count as deleted; permanent. **receipt**:
//!   that no live segment holds any of them.
//! - **pipeline**: one of the two systems that can hold an org's points, old or new. **timeline**: of an org, who writes and
//!   who is visible at each event time. **version**: of an org's timeline, and of the state of its cutover. **fleet**: the
//!   newest versions of all orgs, in one object. **acknowledgement**: by which fleet a node goes. **seal vector**: up to where
//!   the old pipeline has written what it owns. **old file**: points of one metric, as the old pipeline keeps
//!   them; its **old progress** in a partition: up to where all that it writes is in such files.
//! - **bucket** (of points): 5 minutes, an hour or a day of one series, summed up. **rollup**: buckets of a
//!   resolution, and the segment that holds them.
//!
//! # Layers
//! Modules stand in the order in which data flows; a module imports only from modules above it.

pub mod units;
pub mod offset;
pub mod ids;
pub mod window;
pub mod promise;
pub mod error_kind;
pub mod error;
pub mod series;
pub mod timeline;
pub mod cutover;
pub mod rollup;
pub mod stage_time;
pub mod shard_map;
pub mod payload;
pub mod format;
pub mod delete_rule;
pub mod telemetry;
pub mod http_client;
pub mod admin_http;
pub mod process_use;
pub mod retry;
pub mod aws_chain;
pub mod bucket;
pub mod source_binding;
pub mod shard_map_log;
pub mod ledger;
pub mod completeness;
pub mod status_log;
pub mod fills;
pub mod manifest_log;
pub mod account_log;
pub mod delete_log;
pub mod state_bound_log;
pub mod cutover_log;
pub mod fleet_log;
pub mod ack_log;
pub mod old_log;
pub mod run_log;
pub mod state_fetch;
pub mod segment_fetch;

pub use error::{Error, Result};
pub use error_kind::ErrorKind;
