//! segment_fetch.
