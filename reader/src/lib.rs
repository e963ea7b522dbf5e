//! Reads points back, and looks into everything that is in the bucket.
//!
//! # Flow
//! `snapshot → timeline → owner → segment scan → stitch → output`: a read pins the newest manifests, asks
//! the cutover timelines which points of an org are visible, masks what is deleted, scans the segments that hold them in
//! `(org, metric, timestamp)` order, and stitches what several segments say about the same instant into
//! what one system would have returned (SK-13).

pub mod error;
pub mod metrics;
pub mod snapshot;
pub mod masked_cursor;
pub mod visible;
pub mod stitch;
pub mod old_files;
pub mod segment_scan;
pub mod bucket_scan;
pub mod series_names;
pub mod plot;
pub mod points_output;
pub mod buckets_output;
pub mod export;
pub mod inspect;

pub use error::{Error, Result};
