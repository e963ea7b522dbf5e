//! Reads the records of one org out of state: those that given spans of a ledger claim.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt;
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest, FlushedObject};
use skein_shared::format::frame::{RecordRef, Stream};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::state_object::{BlockEntry, HEAD_BYTES, Head, StateFooter};
use skein_shared::ids::{Chain, FlushId, MetricId, OrgId, Tenure};
use skein_shared::offset::Span;
use skein_shared::payload::{Limits, ORG_HEADER, PayloadView, org_of};
use skein_shared::state_fetch;

use super::StateOf;
use super::touched::Touched;
use crate::error::Result;

/// Objects that are read at the same time.
const CONCURRENT_OBJECTS: usize = 4;

/// Which frames of which flushes count.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<FlushId, HashMap<Stream, Vec<Span>>>);

/// What was read.
#[derive(Debug, Default)]
pub(super) struct StateRead {
    pub(super) touched: Touched,
    pub(super) short: Vec<String>,
}

/// Points of one record.
type RecordPoints = (MetricId, Vec<i64>);

impl Claims {
    pub(super) fn add(&mut self, flush: FlushId, (chain, tenure): (&Chain, Tenure), span: Span) {
        let stream = Stream {
            chain: chain.clone(),
            tenure,
        };
        let streams = self.0.entry(flush).or_default();
        streams.entry(stream).or_default().push(span);
    }
}

/// The points of all records that are claimed.
pub(super) async fn read_claims(state: &StateOf<'_>, claims: &Claims) -> Result<StateRead> {
    let mut read = StateRead::default();
    for (flush, streams) in &claims.0 {
        let key = ObjectKey::Flush(*flush).to_string();
        let manifest = FlushManifest::decode(&state.bucket.get(&key).await?);
        let (_, manifest) = manifest.map_err(|error| error.in_object(&key))?;
        let contents = match manifest.body {
            FlushBody::Written(contents) => contents,
            FlushBody::Void { .. } => {
                read.short
                    .push(format!("`{key}` is void, but the ledger names it"));
                continue;
            }
        };
        let objects = contents.objects.iter();
        let objects = objects.filter(|object| state.shards.contains(&object.shard));
        let mut reads = futures::stream::iter(objects)
            .map(|object| read_object(state, object, streams))
            .buffered(CONCURRENT_OBJECTS);
        while let Some(records) = reads.next().await {
            for (metric, times_ms) in records? {
                read.touched.add(metric, &times_ms);
            }
            if read.touched.points() > state.most_points {
                read.short.push(format!(
                    "more than {} points lie between what the sides have read: wait for the one behind",
                    state.most_points
                ));
                read.touched.seal();
                return Ok(read);
            }
        }
    }
    read.touched.seal();
    Ok(read)
}

async fn read_object(
    state: &StateOf<'_>,
    object: &FlushedObject,
    streams: &HashMap<Stream, Vec<Span>>,
) -> Result<Vec<RecordPoints>> {
    let key = object.key.as_str();
    let footer = state_fetch::read_footer(state.bucket, key).await?.footer;
    let wanted = footer
        .blocks
        .iter()
        .filter(|block| block.may_hold(state.org) && holds_any(&footer, block, streams));
    let wanted: Vec<&BlockEntry> = wanted.collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let head = state.bucket.get_range(key, 0..HEAD_BYTES as u64).await?;
    let head = Head::decode(&head).map_err(|error| error.in_object(key))?;
    let mut records = Vec::new();
    for block in wanted {
        let bytes = state
            .bucket
            .get_range(key, block.at..block.at + block.bytes)
            .await?;
        let (org, limits, streams) = (state.org, state.limits, streams.clone());
        let decoded = tokio::task::spawn_blocking(move || {
            let mut decoder = BlockDecoder::new();
            let block = decoder.decode(&head.marker, &bytes)?;
            let mut records = Vec::new();
            for frame in block.frames() {
                let frame = frame?;
                let mut spans = streams
                    .get(&block.streams()[frame.stream])
                    .into_iter()
                    .flatten();
                let counts = spans.any(|span| span.contains(frame.record.offset));
                let points = counts.then(|| points_of(&frame.record, org, &limits));
                records.extend(points.into_iter().flatten());
            }
            Ok::<_, skein_shared::Error>(records)
        });
        let decoded = decoded.await.expect("decoding a block does not panic");
        records.extend(decoded.map_err(|error| error.moved_by(block.at).in_object(key))?);
    }
    Ok(records)
}

/// Whether a block may hold any frame that is claimed.
fn holds_any(
    footer: &StateFooter,
    block: &BlockEntry,
    streams: &HashMap<Stream, Vec<Span>>,
) -> bool {
    block.spans.iter().any(|held| {
        let of = footer.streams.get(held.stream);
        let spans = of.and_then(|summary| streams.get(&summary.stream));
        spans.is_some_and(|spans| {
            let hits = |span: &Span| span.from <= held.last && held.first < span.to;
            spans.iter().any(hits)
        })
    })
}

/// The points of a record of the org; `None` of others, and of what no pipeline can make points of.
fn points_of(record: &RecordRef<'_>, org: OrgId, limits: &Limits) -> Option<RecordPoints> {
    let header = record.headers.last(ORG_HEADER.as_bytes());
    let header = header.and_then(|header| header.value);
    if org_of(record.value, header) != Ok(org) {
        return None;
    }
    let view = PayloadView::parse(record.value?, limits, record.timestamp.time()).ok()?;
    let (mut times_ms, mut values) = (Vec::new(), Vec::new());
    view.points().decode_into(&mut times_ms, &mut values);
    Some((view.series().metric, times_ms))
}
