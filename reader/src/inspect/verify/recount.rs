//! Counting again, from state alone, what the shard manifests say they took in.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skein_shared::format::block::Block;
use skein_shared::format::frame::{RecordRef, Stream};
use skein_shared::ids::{FlushId, OrgId, ShardId};
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, ORG_HEADER, PayloadView, Refusal};
use skein_shared::shard_map::ShardMap;
use skein_shared::window::{TimestampMs, Window};
use skein_shared::{Error, Result};

use crate::inspect::verify::truth::{Counted, Truth};

/// What a shard must have taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Recount {
    pub(super) records: u64,
    pub(super) quarantined_records: u64,
    pub(super) points_in: u64,
}

/// What all shards must have taken in, and what no ledger entry names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Recounts {
    #[serde(serialize_with = "by_name", deserialize_with = "of_names")]
    pub(super) shards: BTreeMap<ShardId, Recount>,
    pub(super) records: u64,
    pub(super) void_frames: u64,
}

impl Recounts {
    pub(super) fn add(&mut self, other: &Self) {
        for (shard, theirs) in &other.shards {
            let ours = self.shards.entry(*shard).or_default();
            ours.records += theirs.records;
            ours.quarantined_records += theirs.quarantined_records;
            ours.points_in += theirs.points_in;
        }
        self.records += other.records;
        self.void_frames += other.void_frames;
    }

    /// Takes the frames of one block of an object of `routed` in.
    pub(super) fn add_block(
        &mut self,
        truth: &Truth,
        (flush, routed): (FlushId, ShardId),
        block: &Block<'_>,
    ) -> Result<()> {
        let spans: Vec<Vec<Counted>> = block
            .streams()
            .iter()
            .map(|stream| truth.spans(flush, stream))
            .collect();
        for frame in block.frames() {
            let frame = frame?;
            let offset = frame.record.offset;
            let mut counted = spans[frame.stream].iter();
            let Some(counted) = counted.find(|counted| counted.span.contains(offset)) else {
                self.void_frames += 1;
                continue;
            };
            self.records += 1;
            let stream = &block.streams()[frame.stream];
            self.add_record(truth, routed, (stream, counted.hole), &frame.record);
        }
        Ok(())
    }

    fn add_record(
        &mut self,
        truth: &Truth,
        routed: ShardId,
        (stream, hole): (&Stream, Option<Offset>),
        record: &RecordRef<'_>,
    ) {
        // What the connector refused no shard takes in, whatever a compactor would say to it.
        if routed == ShardId::Quarantine {
            return;
        }
        for limits in &truth.limits {
            let is_in = |shard| truth.took_in(shard, (&stream.chain, hole, record.offset), limits);
            let parsed = parse(limits, record);
            if is_in(routed) {
                let count = self.shards.entry(routed).or_default();
                count.records += 1;
                count.quarantined_records += u64::from(parsed.is_err());
            }
            let (Ok(view), Some(map)) = (parsed, &truth.shard_map) else {
                continue;
            };
            let owned = owned_points(map, &view).into_iter();
            for (shard, points) in owned.filter(|(shard, _)| is_in(*shard)) {
                self.shards.entry(shard).or_default().points_in += points;
            }
        }
    }
}

fn by_name<S: Serializer>(
    shards: &BTreeMap<ShardId, Recount>,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    to.collect_map(shards.iter().map(|(shard, it)| (shard.to_string(), it)))
}

fn of_names<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<BTreeMap<ShardId, Recount>, D::Error> {
    let named = BTreeMap::<String, Recount>::deserialize(from)?;
    let shards = named.into_iter().map(|(name, recount)| {
        let shard: ShardId = name.parse().map_err(D::Error::custom)?;
        Ok((shard, recount))
    });
    shards.collect()
}

/// Checks that blocks and their index agree; the caller knows where the block lies.
pub(super) fn check_frames(block: &Block<'_>, expected: u64) -> Result<()> {
    let frames = u64::from(block.frame_count());
    if frames == expected {
        return Ok(());
    }
    let reason = format!("has {frames} frames, the footer says {expected}");
    Err(Error::decode("block", 0, reason))
}

fn parse<'a>(
    limits: &Limits,
    record: &RecordRef<'a>,
) -> std::result::Result<PayloadView<'a>, Refusal> {
    let payload = record.value.ok_or(Refusal::NoValue)?;
    let view = PayloadView::parse(payload, limits, record.timestamp.time())?;
    let header = record.headers.last(ORG_HEADER.as_bytes());
    view.check_org(header.and_then(|header| header.value))?;
    Ok(view)
}

/// Points of a payload by the shard that owns their window.
fn owned_points(map: &ShardMap, view: &PayloadView<'_>) -> BTreeMap<ShardId, u64> {
    let org: OrgId = view.org();
    let points = view.point_count() as u64;
    let Some(times) = view.time_range() else {
        return BTreeMap::new();
    };
    let owner = |time: TimestampMs| map.owner_of(org, Window::of(time));
    if map.version_count() == 1 || Window::of(times.earliest) == Window::of(times.latest) {
        return BTreeMap::from([(owner(times.first), points)]);
    }
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    view.points().decode_into(&mut timestamps, &mut values);
    let mut by_shard = BTreeMap::new();
    for timestamp in timestamps {
        *by_shard.entry(owner(TimestampMs(timestamp))).or_insert(0) += 1;
    }
    by_shard
}
