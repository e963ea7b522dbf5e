//! manifest_log.
