//! What waits to be compacted, and damages that wait for a person.

use std::fmt::Write as _;

use serde::Serialize;
use skein_compactor::backlog::{ShardBacklog, backlog};
use skein_reader::inspect::quarantine::what_to_do;
use skein_reader::inspect::status::Need;
use skein_shared::bucket::Bucket;
use skein_shared::window::TimestampMs;

use crate::cli::status::age;
use crate::output;

/// Shards that are shown one by one.
const SHARDS_SHOWN: usize = 20;

/// What waits in all shards together, and in each that is behind.
#[derive(Debug, Serialize)]
pub(super) struct Backlog {
    /// Windows that have several segments of points, or no base yet.
    dirty_windows: usize,
    /// Stored bytes of state that are not in segments yet.
    unread_bytes: u64,
    /// How old the oldest record in them is, by Kafka's timestamp.
    oldest_unread_seconds: Option<i64>,
    /// Damages about which nobody has decided.
    undecided_damages: usize,
    /// Shards of which something waits, those with the most bytes first.
    shards: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    shard: String,
    dirty_windows: usize,
    unread_bytes: u64,
    oldest_unread_seconds: Option<i64>,
    undecided_damages: usize,
}

/// The backlog and what it needs a person for; `None` where that cannot be said, which is logged.
pub(super) async fn look(bucket: &Bucket) -> Option<(Backlog, Vec<Need>)> {
    let looked = async {
        let now = bucket.now().await?;
        Ok::<_, skein_compactor::Error>((now, backlog(bucket).await?))
    };
    let looked = looked.await;
    looked
        .inspect_err(|error| tracing::warn!(%error, "what waits to be compacted cannot be said"))
        .ok()
        .map(|(now, shards)| (Backlog::of(now, &shards), needs(&shards)))
}

fn needs(shards: &[ShardBacklog]) -> Vec<Need> {
    let damages = shards.iter().flat_map(|shard| {
        let undecided = shard.undecided.iter();
        undecided.map(|damage| (shard.shard, damage))
    });
    let needs = damages.map(|(shard, damage)| Need {
        partition: shard.to_string(),
        what: format!(
            "state is damaged, damage {}, up to {} records are missing",
            damage.id, damage.frames
        ),
        what_to_do: what_to_do(damage),
    });
    needs.collect()
}

impl Backlog {
    fn of(now: TimestampMs, shards: &[ShardBacklog]) -> Self {
        let mut rows: Vec<Row> = shards.iter().map(|shard| Row::of(now, shard)).collect();
        rows.retain(Row::waits);
        rows.sort_by_key(|row| std::cmp::Reverse(row.unread_bytes));
        Self {
            dirty_windows: rows.iter().map(|row| row.dirty_windows).sum(),
            unread_bytes: rows.iter().map(|row| row.unread_bytes).sum(),
            oldest_unread_seconds: rows
                .iter()
                .filter_map(|row| row.oldest_unread_seconds)
                .max(),
            undecided_damages: rows.iter().map(|row| row.undecided_damages).sum(),
            shards: rows,
        }
    }

    /// For a person: shards that are behind, all together, and what to do.
    pub(super) fn shown(&self) -> String {
        let mut text = String::new();
        if !self.shards.is_empty() {
            let head = [
                "shard",
                "unread bytes",
                "oldest",
                "dirty windows",
                "damages",
            ];
            let rows = self.shards.iter().take(SHARDS_SHOWN).map(Row::cells);
            text.push_str(&output::table(&head, rows.collect()));
        }
        let more = self.shards.len().saturating_sub(SHARDS_SHOWN);
        if more > 0 {
            let _ = writeln!(text, "{more} more shards; --format json names them all");
        }
        let _ = writeln!(
            text,
            "backlog: {} bytes of state to compact, the oldest record {} old; {} dirty windows",
            self.unread_bytes,
            age(self.oldest_unread_seconds.map(|seconds| seconds * 1000)),
            self.dirty_windows
        );
        if self.unread_bytes > 0 {
            text.push_str("bytes that grow from look to look need more compaction: `skein compact run --watch`, or plan and tasks\n");
        }
        text
    }
}

impl Row {
    fn of(now: TimestampMs, shard: &ShardBacklog) -> Self {
        let seconds = |oldest: TimestampMs| now.0.saturating_sub(oldest.0).max(0) / 1000;
        Self {
            shard: shard.shard.to_string(),
            dirty_windows: shard.dirty_windows,
            unread_bytes: shard.unread_bytes,
            oldest_unread_seconds: shard.oldest_unread.map(seconds),
            undecided_damages: shard.undecided.len(),
        }
    }

    fn waits(&self) -> bool {
        self.dirty_windows > 0 || self.unread_bytes > 0 || self.undecided_damages > 0
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.shard.clone(),
            self.unread_bytes.to_string(),
            age(self.oldest_unread_seconds.map(|seconds| seconds * 1000)),
            self.dirty_windows.to_string(),
            self.undecided_damages.to_string(),
        ]
    }
}
