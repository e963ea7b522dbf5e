//! A state object: head, footer and its first records.

use serde_json::{Map, Value, json};
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::block::{BlockDecoder, OrgRange, StreamSummary};
use skein_shared::format::frame::RecordRef;
use skein_shared::format::state_bound::StateBound;
use skein_shared::format::state_object::{BlockEntry, HEAD_BYTES, Head, StateFooter};
use skein_shared::ids::Chain;
use skein_shared::payload::{Limits, PayloadView};
use skein_shared::state_fetch::{self, StateTail};

use crate::inspect::cat::{hex, text, times};

pub(super) async fn show(bucket: &Bucket, key: &str, frames: usize) -> Result<Value> {
    let StateTail {
        footer,
        object_bytes,
        ..
    } = state_fetch::read_footer(bucket, key).await?;
    let head = bucket.get_range(key, 0..HEAD_BYTES as u64).await?;
    let head = Head::decode(&head).map_err(|error| error.in_object(key))?;
    let mut shown = Vec::new();
    for entry in &footer.blocks {
        if shown.len() >= frames {
            break;
        }
        show_block(bucket, key, &head, entry, (frames, &mut shown)).await?;
    }
    Ok(json!({
        "kind": "state object",
        "key": key,
        "object_bytes": object_bytes,
        "head": {
            "write_id": text(&head.write_id),
            "shard": text(&head.shard),
            "flush": text(&head.flush),
            "number": head.number,
        },
        "footer": show_footer(&footer),
        "records": shown,
    }))
}

fn show_footer(footer: &StateFooter) -> Value {
    let blocks = footer.blocks.iter().map(|block| {
        json!({
            "at": block.at,
            "block_bytes": block.bytes,
            "raw_bytes": block.raw_bytes,
            "frames": block.frames,
            "crc32c": hex(block.crc32c),
            "orgs": block.orgs.map(orgs),
            "org_filter_bytes": block.org_filter.as_ref().map(|filter| filter.bytes().len()),
            "streams": block.spans.len(),
        })
    });
    json!({
        "frames": footer.frames(),
        "raw_bytes": footer.raw_bytes(),
        "digest": text(&footer.digest()),
        "shard_map_version": footer.made_with.shard_map_version,
        "software": footer.made_with.software,
        "blocks": blocks.collect::<Vec<_>>(),
        "streams": footer.streams.iter().map(show_stream).collect::<Vec<_>>(),
    })
}

fn show_stream(stream: &StreamSummary) -> Value {
    json!({
        "chain": text(&stream.stream.chain),
        "tenure": stream.stream.tenure.0,
        "first_offset": stream.first.0,
        "last_offset": stream.last.offset.0,
        "frames": stream.frames,
        "timestamps": stream.times.map(times),
        "digest": text(&stream.digest),
    })
}

async fn show_block(
    bucket: &Bucket,
    key: &str,
    head: &Head,
    entry: &BlockEntry,
    (most, shown): (usize, &mut Vec<Value>),
) -> Result<()> {
    let bytes = bucket
        .get_range(key, entry.at..entry.at + entry.bytes)
        .await?;
    let located = |error: skein_shared::Error| error.moved_by(entry.at).in_object(key);
    let mut decoder = BlockDecoder::new();
    let block = decoder.decode(&head.marker, &bytes).map_err(located)?;
    for frame in block.frames() {
        if shown.len() >= most {
            break;
        }
        let frame = frame.map_err(located)?;
        let chain = &block.streams()[frame.stream].chain;
        shown.push(show_record(chain, &frame.record));
    }
    Ok(())
}

fn show_record(chain: &Chain, record: &RecordRef<'_>) -> Value {
    let headers = record.headers.iter().map(|header| {
        json!({
            "name": String::from_utf8_lossy(header.name),
            "value": header.value.map(String::from_utf8_lossy),
        })
    });
    let time = record.timestamp.time();
    let payload = record.value.map(|value| {
        match PayloadView::parse(value, &Limits::default(), time) {
            Ok(view) => json!({
                "org": view.org().0,
                "metric": view.series().metric.0,
                "points": view.point_count(),
                "metadata": view.points().metadata().collect::<std::collections::BTreeMap<_, _>>(),
            }),
            Err(refusal) => json!({ "refused": text(&refusal) }),
        }
    });
    json!({
        "chain": text(chain),
        "offset": record.offset.0,
        "timestamp": time.map(|time| text(&time)),
        "key_bytes": record.key.map(<[u8]>::len),
        "value_bytes": record.value.map(<[u8]>::len),
        "headers": headers.collect::<Vec<_>>(),
        "payload": payload,
    })
}

fn orgs(orgs: OrgRange) -> Value {
    json!({ "first": orgs.first.0, "last": orgs.last.0 })
}

/// A bound below which state may be gone.
pub(super) fn bound(bytes: &[u8]) -> Result<Value> {
    let (id, bound) = StateBound::decode(bytes)?;
    let chains = bound.chains.iter();
    let fills = bound.fills.iter();
    Ok(json!({
        "kind": "state bound",
        "write_id": text(&id),
        "number": bound.number,
        "kept_from": chains.map(|(chain, at)| (text(chain), json!(at.0))).collect::<Map<_, _>>(),
        "fills_kept_from": fills.map(|(hole, at)| (text(hole), json!(at.0))).collect::<Map<_, _>>(),
        "at": text(&bound.at),
        "done": bound.done,
    }))
}
