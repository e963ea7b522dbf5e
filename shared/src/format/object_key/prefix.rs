//! Where the objects of a kind lie.

use crate::ids::{Chain, Hole, JobId, OrgId, SeriesKey, ShardId};

/// Where objects that are found by listing lie.
#[derive(Debug)]
pub struct Prefix;

impl Prefix {
    /// Every chain of every source.
    pub const LEDGER: &str = "ledger/";
    /// Every hole that has fills.
    pub const FILLS: &str = "fills/";
    /// Every replay.
    pub const REPLAYS: &str = "replays/";
    /// Every plan of a compaction.
    pub const PLANS: &str = "plans/";
    /// What the tasks of every plan made.
    pub const RESULTS: &str = "results/";
    /// Every flush manifest.
    pub const FLUSHES: &str = "flushes/";
    /// Every source.
    pub const SOURCES: &str = "sources/";
    /// Every version of the shard map, oldest first.
    pub const SHARD_MAP: &str = "shard-map/";
    /// Every shard's manifests.
    pub const MANIFESTS: &str = "manifest/";
    /// Every worker's status.
    pub const STATUS: &str = "status/";
    /// Every retired partition.
    pub const RETIRED: &str = "retired/";
    /// Every delete, oldest first, each followed by its positions and its receipt.
    pub const DELETES: &str = "deletes/";
    /// Every bound below which state may be gone, oldest first.
    pub const STATE_BOUNDS: &str = "state-bounds/";
    /// The record of every compaction, newest first.
    pub const RUNS: &str = "runs/";
    /// Every version of every org's cutover.
    pub const CUTOVER: &str = "cutover/";
    /// Every seal of a cutover.
    pub const CUTOVER_SEALS: &str = "cutover-seals/";
    /// Every fleet, newest first.
    pub const FLEETS: &str = "fleet/";
    /// What every node says of itself.
    pub const ACKNOWLEDGEMENTS: &str = "acknowledgements/";
    /// Every comparison.
    pub const DIFFS: &str = "diffs/";
    /// Every file of the old pipeline, by org and metric.
    pub const OLD_FILES: &str = "old/";
    /// How far the old pipeline has come in every partition.
    pub const OLD_PROGRESS: &str = "old-progress/";
    /// What the start-up probe writes and removes.
    pub const PROBE: &str = "probe/";

    /// Every entry of one chain, in order, and then its genesis.
    pub fn chain(chain: &Chain) -> String {
        format!("{}{chain}/", Self::LEDGER)
    }

    /// Every fill of one hole, in order.
    pub fn hole(hole: &Hole) -> String {
        format!("{}{}/{:020}/", Self::FILLS, hole.chain, hole.from.0)
    }

    /// Every step of one replay, newest first, and then its cancellation and its plan.
    pub fn replay(job: JobId) -> String {
        format!("{}{job}/", Self::REPLAYS)
    }

    /// Every version of one org's cutover, newest first.
    pub fn cutover(org: OrgId) -> String {
        format!("{}{:020}/", Self::CUTOVER, org.0)
    }

    /// Every comparison of one org.
    pub fn diffs(org: OrgId) -> String {
        format!("{}{:020}/", Self::DIFFS, org.0)
    }

    /// Every file of the old pipeline that holds points of one org.
    pub fn old_org(org: OrgId) -> String {
        format!("{}{:020}/", Self::OLD_FILES, org.0)
    }

    /// Every file of the old pipeline that holds points of one series.
    pub fn old_series(series: SeriesKey) -> String {
        format!("{}{:020}/", Self::old_org(series.org), series.metric.0)
    }

    /// How far the old pipeline has come in one partition, the newest first.
    pub fn old_progress(chain: &Chain) -> String {
        format!("{}{chain}/", Self::OLD_PROGRESS)
    }

    /// Every manifest of one shard, newest first.
    pub fn manifests(shard: ShardId) -> String {
        format!("{}{shard}/", Self::MANIFESTS)
    }
}
