//! What a bucket holds: shards, windows, segments, orgs, ledger positions, quarantine.

mod orgs;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use skein_shared::bucket::Bucket;
use skein_shared::fills::{Fills, end_of};
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::object_key::Prefix;
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{Chain, ShardId};
use skein_shared::ledger::{ChainEnd, Ledger};
use skein_shared::offset::Offset;
use skein_shared::{Result, manifest_log};

const CONCURRENT_READS: usize = 16;

/// Everything that `skein ls` shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    /// Every shard that was compacted.
    pub shards: Vec<ShardRow>,
    /// Every window of every shard.
    pub windows: Vec<WindowRow>,
    /// Every live segment.
    pub segments: Vec<SegmentRow>,
    /// Every org of every shard that has an account.
    pub orgs: Vec<OrgRow>,
    /// Every chain of the ledger.
    pub chains: Vec<ChainRow>,
    /// Every lost span that has fills.
    pub holes: Vec<HoleRow>,
    /// What could not become points.
    pub quarantine: QuarantineRow,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShardRow {
    /// Its name.
    pub shard: String,
    /// Its newest manifest.
    pub generation: u64,
    /// How many live segments of raw points it has.
    pub segments: u64,
    /// Length of all live segments.
    pub segment_bytes: u64,
    /// Length of the rollups beside them.
    pub rollup_bytes: u64,
    /// Points in all live segments; overlays may hold a point twice until they are merged.
    pub points: u64,
    /// Bytes of segments for each point.
    pub bytes_per_point: f64,
    /// Records that were compacted.
    pub records: u64,
    /// Records that could not become points.
    pub quarantined_records: u64,
    /// Points that the records held.
    pub points_in: u64,
    /// Points that lost to another of the same series and timestamp.
    pub duplicates: u64,
    /// Points that another pipeline owns.
    pub not_owned: u64,
    /// Points that deletes have taken.
    pub deleted: u64,
    /// Points that have expired and are gone.
    pub expired: u64,
    /// Offsets of the ledger that are not compacted yet, over all chains.
    pub behind_offsets: u64,
}

/// A window of a shard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowRow {
    /// Whose.
    pub shard: String,
    /// Its beginning, RFC 3339.
    pub window: String,
    /// How many live segments it has.
    pub segments: u64,
    /// Their length.
    pub segment_bytes: u64,
    /// Length of the rollups beside them.
    pub rollup_bytes: u64,
    /// Their points.
    pub points: u64,
}

/// A live segment or rollup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentRow {
    /// Its key.
    pub key: String,
    /// Whose.
    pub shard: String,
    /// Beginning of its window, RFC 3339.
    pub window: String,
    /// How dense its points are.
    pub resolution: String,
    /// The generation that added it.
    pub generation: u64,
    /// Its length.
    pub segment_bytes: u64,
    /// Its points; of a rollup its buckets.
    pub points: u64,
    /// Its series.
    pub series: u64,
    /// Bytes for each point or bucket.
    pub bytes_per_point: f64,
    /// Its least timestamp, RFC 3339.
    pub first_timestamp: String,
    /// Its greatest timestamp, RFC 3339.
    pub last_timestamp: String,
    /// Whether it holds points that another pipeline owns, too, until it is merged next.
    pub unfiltered: bool,
}

/// An org in a shard: where its points went, from the first compaction on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrgRow {
    /// Which.
    pub org: u64,
    /// Whose account.
    pub shard: String,
    /// Points that came in.
    pub points_in: u64,
    /// Points that are live: what came in less the next four. `None` when more went than came.
    pub live_points: Option<u64>,
    /// Points that lost to another of the same metric and timestamp.
    pub duplicates: u64,
    /// Points that another pipeline owns.
    pub not_owned: u64,
    /// Points that deletes have taken.
    pub deleted: u64,
    /// Points that have expired, and are live no more.
    pub expired: u64,
    /// Records in quarantine.
    pub quarantined_records: u64,
    /// The latest time of the points that another pipeline owns, RFC 3339; `None` when there are none.
    pub highest_not_owned: Option<String>,
}

/// A chain of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainRow {
    /// Kafka cluster.
    pub source: String,
    /// Topic.
    pub topic: String,
    /// Life of the topic.
    pub incarnation: u32,
    /// Partition.
    pub partition: u32,
    /// First offset; `None` when there is no genesis.
    pub start: Option<i64>,
    /// First offset that is not durable yet.
    pub end: Option<i64>,
    /// Greatest timestamp in the last entry, RFC 3339.
    pub last_timestamp: Option<String>,
    /// First offset that some shard has not compacted yet; `None` when no shard was compacted.
    pub compacted_to: Option<i64>,
}

/// A lost span that has fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoleRow {
    /// Its chain: source, topic, incarnation and partition.
    pub chain: String,
    /// First lost offset.
    pub from: i64,
    /// First offset that is not lost any more.
    pub to: i64,
    /// First offset that no fill covers.
    pub filled_to: i64,
    /// First offset of the fills that some shard has not compacted yet; `None` when no shard was compacted.
    pub compacted_to: Option<i64>,
}

/// What could not become points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineRow {
    /// Records that the connector could not route, kept as they came. Counts each written flush, also one
    /// that a fenced worker wrote.
    pub unroutable_records: u64,
    /// Records whose payload the compactor refused.
    pub undecodable_records: u64,
}

/// Reads what `skein ls` shows: the newest manifest of each shard, each chain's end and, for the
/// quarantine, every flush manifest.
///
/// # Errors
/// `Corrupt` when one of these does not read back, and what the bucket says.
pub fn ls(bucket: &Bucket) -> BoxFuture<'_, Result<Listing>> {
    Box::pin(async move {
        let manifests = newest_manifests(bucket).await?;
        let chains = chain_ends(bucket).await?;
        let holes = holes(bucket, &manifests).await?;
        let quarantine = QuarantineRow {
            unroutable_records: unroutable_records(bucket).await?,
            undecodable_records: manifests.iter().map(|m| m.counts.quarantined_records).sum(),
        };
        Ok(Listing {
            shards: manifests.iter().map(|m| shard_row(m, &chains)).collect(),
            windows: manifests.iter().flat_map(window_rows).collect(),
            segments: manifests.iter().flat_map(segment_rows).collect(),
            orgs: orgs::rows(bucket, &manifests).await?,
            chains: chains
                .iter()
                .map(|(chain, end)| chain_row(chain, end.as_ref(), &manifests))
                .collect(),
            holes,
            quarantine,
        })
    })
}

async fn newest_manifests(bucket: &Bucket) -> Result<Vec<ShardManifest>> {
    futures::stream::iter(manifest_log::shards(bucket).await?)
        .map(|shard| manifest_log::newest(bucket, shard))
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await
}

async fn chain_ends(bucket: &Bucket) -> Result<BTreeMap<Chain, Option<ChainEnd>>> {
    let ledger = &Ledger::new(bucket.clone());
    futures::stream::iter(ledger.chains().await?)
        .map(|chain| async move {
            let end = ledger.end(&chain, None).await?;
            Ok((chain, end))
        })
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await
}

async fn holes(bucket: &Bucket, manifests: &[ShardManifest]) -> Result<Vec<HoleRow>> {
    let fills = Fills::new(bucket.clone());
    let mut rows = Vec::new();
    for hole in fills.holes().await? {
        let entries = fills.entries(&hole).await?;
        let positions = manifests.iter();
        let positions = positions.map(|m| m.fills.get(&hole).copied().unwrap_or(hole.from));
        rows.push(HoleRow {
            chain: hole.chain.to_string(),
            from: hole.from.0,
            to: fills.span_of(&hole).await?.to.0,
            filled_to: end_of(&hole, &entries).0,
            compacted_to: positions.min().map(|position| position.0),
        });
    }
    Ok(rows)
}

async fn unroutable_records(bucket: &Bucket) -> Result<u64> {
    let listed = bucket.list(Prefix::FLUSHES, None).await?;
    futures::stream::iter(listed)
        .map(|object| async move {
            let bytes = bucket.get(&object.key).await?;
            let (_, manifest) =
                FlushManifest::decode(&bytes).map_err(|error| error.in_object(&object.key))?;
            Ok(unroutable_in(&manifest))
        })
        .buffer_unordered(CONCURRENT_READS)
        .try_fold(0, |sum, frames| async move { Ok(sum + frames) })
        .await
}

fn unroutable_in(manifest: &FlushManifest) -> u64 {
    match &manifest.body {
        FlushBody::Void { .. } => 0,
        FlushBody::Written(contents) => contents
            .objects
            .iter()
            .filter(|object| object.shard == ShardId::Quarantine)
            .map(|object| object.frames)
            .sum(),
    }
}

fn shard_row(manifest: &ShardManifest, chains: &BTreeMap<Chain, Option<ChainEnd>>) -> ShardRow {
    let segment_bytes = manifest.raw_segments().map(|s| s.summary.size_bytes).sum();
    let points = manifest.live_points();
    let behind = chains.iter().filter_map(|(chain, end)| {
        let end = end.as_ref()?;
        let position = manifest.positions.get(chain).copied();
        let position = position.unwrap_or(end.genesis.start);
        u64::try_from(end.offset.0.saturating_sub(position.0)).ok()
    });
    ShardRow {
        shard: manifest.shard.to_string(),
        generation: manifest.generation.0,
        segments: manifest.raw_segments().count() as u64,
        segment_bytes,
        rollup_bytes: manifest.rollups().map(|s| s.summary.size_bytes).sum(),
        points,
        bytes_per_point: ratio(segment_bytes, points),
        records: manifest.counts.records,
        quarantined_records: manifest.counts.quarantined_records,
        points_in: manifest.counts.points_in,
        duplicates: manifest.counts.duplicates,
        not_owned: manifest.counts.not_owned,
        deleted: manifest.counts.deleted,
        expired: manifest.counts.expired,
        behind_offsets: behind.sum(),
    }
}

fn window_rows(manifest: &ShardManifest) -> Vec<WindowRow> {
    let mut rows: BTreeMap<_, WindowRow> = BTreeMap::new();
    for segment in &manifest.segments {
        let row = rows.entry(segment.window).or_insert_with(|| WindowRow {
            shard: manifest.shard.to_string(),
            window: segment.window.to_string(),
            segments: 0,
            segment_bytes: 0,
            rollup_bytes: 0,
            points: 0,
        });
        if segment.resolution.is_raw() {
            row.segments += 1;
            row.segment_bytes += segment.summary.size_bytes;
            row.points += segment.summary.points;
        } else {
            row.rollup_bytes += segment.summary.size_bytes;
        }
    }
    rows.into_values().collect()
}

fn segment_rows(manifest: &ShardManifest) -> Vec<SegmentRow> {
    let row = |segment: &skein_shared::format::shard_manifest::SegmentEntry| SegmentRow {
        key: segment.key.clone(),
        shard: manifest.shard.to_string(),
        window: segment.window.to_string(),
        resolution: segment.resolution.to_string(),
        generation: segment.generation.0,
        segment_bytes: segment.summary.size_bytes,
        points: segment.summary.points,
        series: segment.summary.series,
        bytes_per_point: ratio(segment.summary.size_bytes, segment.summary.points),
        first_timestamp: segment.summary.first_timestamp.to_string(),
        last_timestamp: segment.summary.last_timestamp.to_string(),
        unfiltered: segment.is_unfiltered(),
    };
    manifest.segments.iter().map(row).collect()
}

fn chain_row(chain: &Chain, end: Option<&ChainEnd>, manifests: &[ShardManifest]) -> ChainRow {
    let start = end.map(|end| end.genesis.start);
    let last = end.and_then(|end| end.last.as_ref());
    let positions = manifests.iter().map(|manifest| {
        let position = manifest.positions.get(chain).copied();
        position.or(start).unwrap_or(Offset(0))
    });
    ChainRow {
        source: chain.source.to_string(),
        topic: chain.topic.to_string(),
        incarnation: chain.incarnation.0,
        partition: chain.partition.0,
        start: start.map(|start| start.0),
        end: end.map(|end| end.offset.0),
        last_timestamp: last
            .and_then(|last| last.times)
            .map(|times| times.newest.to_string()),
        compacted_to: positions.min().map(|position| position.0),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio for people; three digits are enough"
)]
fn ratio(bytes: u64, points: u64) -> f64 {
    if points == 0 {
        return 0.0;
    }
    bytes as f64 / points as f64
}
