//! A segment: its footer and its runs.

use serde_json::{Value, json};
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::segment_footer::{FooterRead, RunFence, SegmentFooter};

use crate::inspect::cat::text;

/// Enough for the footer of a segment of about a thousand runs.
const FIRST_GUESS_BYTES: u64 = 128 * 1024;

pub(super) async fn show(bucket: &Bucket, key: &str) -> Result<Value> {
    let mut tail_bytes = FIRST_GUESS_BYTES;
    let (footer, object_bytes) = loop {
        let tail = bucket.get_tail(key, tail_bytes).await?;
        let read = SegmentFooter::read(&tail.bytes, tail.object_bytes);
        match read.map_err(|error| error.in_object(key))? {
            FooterRead::Footer(footer) => break (footer, tail.object_bytes),
            FooterRead::NeedsTail(needed) => tail_bytes = needed as u64,
        }
    };
    let (first, last) = footer.time_bounds();
    let sections = footer.sections.iter().map(|section| {
        json!({
            "name": section.name,
            "at": section.bytes.start,
            "section_bytes": section.bytes.end - section.bytes.start,
            "required": section.required,
        })
    });
    Ok(json!({
        "kind": "segment",
        "key": key,
        "object_bytes": object_bytes,
        "shard": text(&footer.identity.shard),
        "window": text(&footer.identity.window),
        "resolution": text(&footer.identity.resolution),
        "encoder_version": footer.encoder_version,
        "points": footer.points,
        "series": footer.series,
        "digest": text(&footer.digest),
        "first_timestamp": text(&first),
        "last_timestamp": text(&last),
        "sections": sections.collect::<Vec<_>>(),
        "runs": footer.runs.iter().map(show_run).collect::<Vec<_>>(),
    }))
}

fn show_run(run: &RunFence) -> Value {
    json!({
        "org": run.org.0,
        "first_metric": run.first_metric.0,
        "last_metric": run.last_metric.0,
        "series": run.series,
        "points": run.points,
        "at": run.offset,
        "run_bytes": run.span().end - run.offset,
    })
}
