//! The footer's protobuf body.

use std::ops::Range;

use super::{
    ChainGroup, ChainIndex, ChainTable, ContentDigest, HEAD_BYTES, METADATA, Message, MetricId,
    OrgId, Resolution, RunFence, Section, SegmentFooter, SegmentIdentity, TimestampMs, Window,
    chain_groups,
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct FooterBody {
    #[prost(string, tag = "1")]
    shard: String,
    #[prost(sint64, tag = "2")]
    window: i64,
    #[prost(string, tag = "3")]
    resolution: String,
    #[prost(uint32, tag = "4")]
    encoder_version: u32,
    #[prost(uint64, tag = "5")]
    points: u64,
    #[prost(uint64, tag = "6")]
    series: u64,
    #[prost(bytes = "vec", tag = "7")]
    digest: Vec<u8>,
    #[prost(message, repeated, tag = "8")]
    chains: Vec<ChainGroup>,
    #[prost(message, repeated, tag = "9")]
    sections: Vec<SectionBody>,
    #[prost(message, repeated, tag = "10")]
    runs: Vec<FenceBody>,
    #[prost(string, tag = "11")]
    profile: String,
    /// Of a rollup alone.
    #[prost(uint64, tag = "12")]
    raw_points: u64,
    #[prost(uint32, repeated, tag = "21")]
    chain_numbers: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct SectionBody {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    offset: u64,
    #[prost(uint64, tag = "3")]
    bytes: u64,
    #[prost(fixed64, tag = "4")]
    xxh3: u64,
    #[prost(bool, tag = "5")]
    required: bool,
}

/// Offsets are not stored: runs follow one another without gaps, and so does their metadata.
#[derive(Clone, PartialEq, Message)]
struct FenceBody {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(fixed64, tag = "2")]
    first_metric: u64,
    #[prost(fixed64, tag = "3")]
    last_metric: u64,
    #[prost(uint64, tag = "4")]
    points: u64,
    #[prost(uint32, tag = "5")]
    series: u32,
    #[prost(sint64, tag = "6")]
    first_ms: i64,
    #[prost(sint64, tag = "7")]
    last_ms: i64,
    #[prost(uint32, tag = "8")]
    block_bytes: u32,
    #[prost(uint32, tag = "9")]
    order_bytes: u32,
    #[prost(uint32, tag = "10")]
    page_bytes: u32,
    #[prost(fixed32, tag = "11")]
    page_crc32c: u32,
    #[prost(uint32, tag = "12")]
    metadata_bytes: u32,
    #[prost(uint32, tag = "13")]
    metadata_raw_bytes: u32,
    #[prost(fixed32, tag = "14")]
    metadata_crc32c: u32,
}

impl From<&SegmentFooter> for FooterBody {
    fn from(footer: &SegmentFooter) -> Self {
        let chains = footer.chains.chains().iter();
        Self {
            shard: footer.identity.shard.to_string(),
            window: footer.identity.window.number(),
            resolution: footer.identity.resolution.to_string(),
            encoder_version: footer.encoder_version,
            points: footer.points,
            series: footer.series,
            digest: footer.digest.to_bytes().to_vec(),
            chains: chain_groups::group(chains.map(|chain| (chain, 0))),
            sections: footer.sections.iter().map(SectionBody::from).collect(),
            runs: footer.runs.iter().map(FenceBody::from).collect(),
            profile: footer.profile.clone(),
            raw_points: if footer.identity.resolution.is_raw() {
                0
            } else {
                footer.raw_points
            },
            chain_numbers: footer.chain_numbers.iter().map(|index| index.0).collect(),
        }
    }
}

impl TryFrom<FooterBody> for SegmentFooter {
    type Error = String;

    fn try_from(body: FooterBody) -> Result<Self, String> {
        let sections: Vec<Section> = body
            .sections
            .into_iter()
            .map(Section::try_from)
            .collect::<Result<_, _>>()?;
        let metadata_start = sections
            .iter()
            .find(|section| section.name == METADATA)
            .map_or(0, |section| section.bytes.start);
        let chains = chain_groups::ungroup(body.chains)?;
        let resolution: Resolution = body.resolution.parse()?;
        if !resolution.is_raw() && !chains.is_empty() {
            return Err("a rollup has no chains".into());
        }
        let mut numbers = body.chain_numbers.clone();
        numbers.sort_unstable();
        if !numbers.into_iter().eq((0..).take(chains.len())) {
            return Err("the numbers of the chains do not fit them".into());
        }
        Ok(Self {
            identity: SegmentIdentity {
                shard: body.shard.parse()?,
                window: Window::from_number(body.window),
                resolution,
            },
            encoder_version: body.encoder_version,
            profile: body.profile,
            points: body.points,
            raw_points: if resolution.is_raw() {
                body.points
            } else {
                body.raw_points
            },
            series: body.series,
            digest: ContentDigest::from_bytes(&body.digest).ok_or("digest is not 16 bytes")?,
            chains: ChainTable::new(chains.into_iter().map(|(chain, _)| chain).collect()),
            chain_numbers: body.chain_numbers.into_iter().map(ChainIndex).collect(),
            sections,
            runs: placed(body.runs, HEAD_BYTES as u64, metadata_start)?,
        })
    }
}

/// Gives each run the place that follows from those before it.
fn placed(
    bodies: Vec<FenceBody>,
    mut offset: u64,
    mut metadata_offset: u64,
) -> Result<Vec<RunFence>, String> {
    let mut runs = Vec::with_capacity(bodies.len());
    for body in bodies {
        let run = RunFence {
            org: OrgId(body.org),
            first_metric: MetricId(body.first_metric),
            last_metric: MetricId(body.last_metric),
            points: body.points,
            series: body.series,
            first_timestamp: TimestampMs(body.first_ms),
            last_timestamp: TimestampMs(body.last_ms),
            offset,
            block_bytes: body.block_bytes,
            order_bytes: body.order_bytes,
            page_bytes: body.page_bytes,
            page_crc32c: body.page_crc32c,
            metadata_offset,
            metadata_bytes: body.metadata_bytes,
            metadata_raw_bytes: body.metadata_raw_bytes,
            metadata_crc32c: body.metadata_crc32c,
        };
        if run.first_metric > run.last_metric || run.first_timestamp > run.last_timestamp {
            return Err("a run's bounds are the wrong way round".into());
        }
        let run_bytes = u64::from(body.block_bytes) + u64::from(body.order_bytes);
        let beyond = offset.checked_add(run_bytes + u64::from(body.page_bytes));
        offset = beyond.ok_or("a run passes 64 bits")?;
        let beyond = metadata_offset.checked_add(u64::from(body.metadata_bytes));
        metadata_offset = beyond.ok_or("a run's metadata passes 64 bits")?;
        runs.push(run);
    }
    Ok(runs)
}

impl From<&Section> for SectionBody {
    fn from(section: &Section) -> Self {
        Self {
            name: section.name.clone(),
            offset: section.bytes.start,
            bytes: section.bytes.end - section.bytes.start,
            xxh3: section.xxh3,
            required: section.required,
        }
    }
}

impl TryFrom<SectionBody> for Section {
    type Error = String;

    fn try_from(body: SectionBody) -> Result<Self, String> {
        let bytes: Range<u64> = match body.offset.checked_add(body.bytes) {
            Some(end) => body.offset..end,
            None => return Err(format!("section `{}` passes 64 bits", body.name)),
        };
        Ok(Self {
            name: body.name,
            bytes,
            xxh3: body.xxh3,
            required: body.required,
        })
    }
}

impl From<&RunFence> for FenceBody {
    fn from(run: &RunFence) -> Self {
        Self {
            org: run.org.0,
            first_metric: run.first_metric.0,
            last_metric: run.last_metric.0,
            points: run.points,
            series: run.series,
            first_ms: run.first_timestamp.0,
            last_ms: run.last_timestamp.0,
            block_bytes: run.block_bytes,
            order_bytes: run.order_bytes,
            page_bytes: run.page_bytes,
            page_crc32c: run.page_crc32c,
            metadata_bytes: run.metadata_bytes,
            metadata_raw_bytes: run.metadata_raw_bytes,
            metadata_crc32c: run.metadata_crc32c,
        }
    }
}
