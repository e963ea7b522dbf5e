//! shard map version.
