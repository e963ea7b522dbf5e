//! Reads points back, and looks into everything that is in the bucket.
//!
//! # Flow
//! `snapshot → timeline → owner → segment scan → stitch → output`: a read pins the newest manifests, asks
//! the cutover timelines which points of an org are visible, masks what is deleted, scans the segments that hold them in
//! `(org, metric, timestamp)` order, and stitches what several segments say about the same instant, and what an old
//! system has where that one is visible, into what one system would have returned (SK-13).

pub mod error;
pub mod metrics;
pub mod visible;
pub mod stitch;
pub mod old_series;
pub mod parquet_files;
pub mod old_files;
pub mod old_source;
pub mod old_places;
pub mod snapshot;
pub mod owner_view;
pub mod read_plan;
pub mod masked_cursor;
mod old_side;
pub mod segment_scan;
pub mod bucket_scan;
pub mod series_names;
pub mod plot;
pub mod points_output;
pub mod buckets_output;
pub mod export;
pub mod read_source;
pub mod page_token;
pub mod reading;
mod page_body;
pub mod paged_scan;
pub mod mirror;
pub mod serve;
pub mod inspect;
pub mod diff;

pub use error::{Error, Result};
