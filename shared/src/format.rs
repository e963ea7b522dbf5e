//! Byte formats of everything in the bucket. `docs/formats.md` describes them byte by byte.
//!
//! Nothing here does I/O: bytes come in, values go out, and back. Bytes that break their format give
//! [`crate::Error::Decode`], never a panic.

pub mod checksum;
pub mod stored_version;
pub mod envelope;
pub mod object_key;
pub mod digest;
pub mod varint;
pub mod frame;
pub mod block;
mod wire;
pub mod state_object;
pub mod flush_manifest;
pub mod ledger_entry;
pub mod fill_entry;
pub mod shard_map_version;
pub mod source_identity;
pub mod worker_status;
pub mod retirement;
pub mod points_csv;
pub mod points_jsonl;
mod chain_groups;
pub mod profile;
mod habit;
pub mod bit_pack;
pub mod number_chunk;
pub mod timestamp_column;
pub mod value_column;
pub mod rollup_columns;
pub mod order_column;
pub mod series_metadata;
pub mod run_page;
pub mod segment_footer;
pub mod segment_writer;
pub mod segment_reader;
pub mod damage;
pub mod quarantine;
pub mod seal;
pub mod shard_manifest;
pub mod account;
pub mod compact_plan;
pub mod compact_result;
pub mod delete_entry;
pub mod delete_positions;
pub mod delete_receipt;
pub mod state_bound;
mod timeline_body;
pub mod cutover_version;
pub mod cutover_fleet;
pub mod cutover_seal;
pub mod cutover_ack;
pub mod diff_verdict;
pub mod replay_job;
pub mod replay_step;
pub mod run_record;
