//! Cuts a shard into ranges of series with about as many payload bytes each, by a sample of its records.

use futures::{StreamExt, TryStreamExt};
use skein_shared::bucket::Bucket;
use skein_shared::format::block::BlockDecoder;
use skein_shared::format::compact_plan::{Part, PlannedObject, SeriesRange, Step};
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::payload::{Limits, PayloadView};

use crate::damage::is_damage;
use crate::error::{Error, Result};
use crate::object_fetch::sample_block;

/// Objects that a sample takes one block of.
const SAMPLED_OBJECTS: usize = 32;

/// The least weight of a payload, so that many small ones count too.
const RECORD_BYTES: u64 = 64;

/// The parts of a shard: at most `parts`, fewer when the sample has fewer series. The same objects give the same parts.
///
/// # Errors
/// The bucket's.
pub async fn split(bucket: &Bucket, step: &Step, parts: u32) -> Result<Vec<Part>> {
    let stride = step.objects.len().div_ceil(SAMPLED_OBJECTS).max(1);
    let sampled = step.objects.iter().step_by(stride);
    let mut weights: Vec<(SeriesKey, u64)> = futures::stream::iter(sampled)
        .map(|planned| sampled_weights(bucket, planned))
        .buffered(4)
        .try_concat()
        .await?;
    weights.sort_unstable();
    Ok(cut(&weights, parts))
}

/// What does not read back gives no sample: the task that meets it lists it.
async fn sampled_weights(
    bucket: &Bucket,
    planned: &PlannedObject,
) -> Result<Vec<(SeriesKey, u64)>> {
    match weights_of(bucket, planned).await {
        Err(error) if is_damage(&error) => Ok(Vec::new()),
        weights => weights,
    }
}

/// Series and weights of the records of one block.
async fn weights_of(bucket: &Bucket, planned: &PlannedObject) -> Result<Vec<(SeriesKey, u64)>> {
    let Some((marker, at, bytes)) = sample_block(bucket, planned).await? else {
        return Ok(Vec::new());
    };
    let key = &planned.object.key;
    let located = |error: skein_shared::Error| Error::from(error.moved_by(at).in_object(key));
    let mut decoder = BlockDecoder::new();
    let block = decoder.decode(&marker, &bytes).map_err(located)?;
    let mut weights = Vec::new();
    for frame in block.frames() {
        let record = frame.map_err(located)?.record;
        let Some(payload) = record.value else {
            continue;
        };
        // What does not parse is quarantined by the task that reads it.
        if let Ok(view) = PayloadView::parse(payload, &Limits::default(), None) {
            weights.push((view.series(), RECORD_BYTES + payload.len() as u64));
        }
    }
    Ok(weights)
}

/// Ranges of about equal weight that hold every series once.
fn cut(weights: &[(SeriesKey, u64)], parts: u32) -> Vec<Part> {
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut firsts = vec![SeriesKey::MIN];
    let mut seen = 0;
    for series in weights.chunk_by(|a, b| a.0 == b.0) {
        let due = seen * u64::from(parts) >= total * firsts.len() as u64;
        if due && firsts.last().is_some_and(|last| *last < series[0].0) {
            firsts.push(series[0].0);
        }
        seen += series.iter().map(|(_, weight)| weight).sum::<u64>();
    }
    firsts.truncate(parts.max(1) as usize);
    let of = u32::try_from(firsts.len()).expect("at most as many as were asked for");
    let lasts = firsts[1..].iter().map(|next| before(*next));
    let ranges = firsts.iter().zip(lasts.chain([SeriesKey::MAX]));
    let part = |(number, (first, last)): (u32, (&SeriesKey, SeriesKey))| Part {
        number,
        of,
        series: SeriesRange {
            first: *first,
            last,
        },
    };
    (0..).zip(ranges).map(part).collect()
}

/// The greatest key below `key`, which is not the least.
fn before(key: SeriesKey) -> SeriesKey {
    match (key.org.0, key.metric.0) {
        (org, 0) => SeriesKey {
            org: OrgId(org - 1),
            metric: MetricId(u64::MAX),
        },
        (_, metric) => SeriesKey {
            metric: MetricId(metric - 1),
            ..key
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key((org, metric): (u64, u64)) -> SeriesKey {
        SeriesKey {
            org: OrgId(org),
            metric: MetricId(metric),
        }
    }

    proptest! {
        #[test]
        fn parts_hold_every_series_once(
            series in prop::collection::vec(((0_u64..4, 0_u64..6), 1_u64..100), 0..60),
            parts in 1_u32..9,
            probe in (0_u64..5, prop_oneof![0_u64..7, Just(u64::MAX)]),
        ) {
            let mut weights: Vec<_> = series.into_iter().map(|(k, w)| (key(k), w)).collect();
            weights.sort_unstable();
            let cut = cut(&weights, parts);
            prop_assert!((1..=parts as usize).contains(&cut.len()));
            let holding = cut.iter().filter(|part| part.series.contains(key(probe)));
            prop_assert_eq!(holding.count(), 1);
            prop_assert!(cut.iter().all(|part| part.of as usize == cut.len()));
        }
    }

    #[test]
    fn parts_weigh_about_the_same_where_series_do() {
        let weights: Vec<_> = (0..1000).map(|metric| (key((7, metric)), 10)).collect();
        let cut = cut(&weights, 4);
        let firsts: Vec<u64> = cut.iter().map(|part| part.series.first.metric.0).collect();
        assert_eq!(firsts, [0, 250, 500, 750]);
        assert_eq!(cut[0].series.first, SeriesKey::MIN);
        assert_eq!(cut[3].series.last, SeriesKey::MAX);
    }
}
