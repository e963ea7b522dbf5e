//! A segment: its footer and its runs.

use serde_json::{Value, json};
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::segment_footer::RunFence;
use skein_shared::segment_fetch::SegmentFile;

use crate::inspect::cat::text;

pub(super) async fn show(bucket: &Bucket, key: &str) -> Result<Value> {
    let file = SegmentFile::open_at(bucket, key).await?;
    let (footer, object_bytes) = (file.footer(), file.object_bytes());
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
        "profile": footer.profile,
        "points": footer.points,
        "raw_points": footer.raw_points,
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
