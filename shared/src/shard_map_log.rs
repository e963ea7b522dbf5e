//! shard_map_log.
