//! The compactor: state objects to segments.
//!
//! `plan → block reader → payload arena → series grouper → series encoder → segment upload → manifest
//! commit`. A [`plan`] decides, without I/O, which records count; a [`task`] moves one shard one step
//! forward; a [`run`] does that for every shard until nothing is left.
//!
//! What is sorted is references to payloads, not points: points are decoded series by series into columns
//! that are used again, merged by the [`duplicate_rule`], and encoded. What memory has no room for goes to the local disk:
//! payloads in sorted runs ([`spill`]), and slices of a series that is too long for it ([`series_merger`]).

pub mod error;
pub mod ownership_filter;
pub mod report;
pub mod metrics;
pub mod stage_timers;
pub mod duplicate_rule;
pub mod merge_policy;
pub mod delete_plan;
pub mod plan;
pub mod plan_input;
pub mod damage;
pub mod quarantine_list;
pub mod seal_history;
pub mod object_fetch;
pub mod payload_arena;
pub mod spill;
pub mod block_reader;
pub mod series_grouper;
pub mod live_segments;
pub mod collected;
pub mod segment_input;
pub mod series_merger;
pub mod segment_set;
pub mod series_encoder;
pub mod segment_upload;
pub mod window_writer;
pub mod task_context;
pub mod task;
pub mod org_accounts;
pub mod manifest_commit;
pub mod receipts;
pub mod run_recording;
pub mod run;
pub mod series_split;
pub mod task_results;
pub mod planner;
pub mod planned_task;
pub mod rebuild;
pub mod damage_release;
pub mod backlog;
pub mod garbage;
pub mod expiry_plan;
pub mod retention;
pub mod state_holds;
pub mod state_garbage;

pub use error::{Error, Result};
