//! Places of state objects that do not read back: what counts as damage, and what a shard loses by it.
//!
//! A shard does not wait for a damage to be mended: it goes on, lists what it has lost, and a person decides later. So
//! only what is wrong in the bucket is damage; what may be gone at the next try is not, nor is what a newer build wrote.

use std::borrow::Cow;
use std::ops::Range;

use futures::{StreamExt, TryStreamExt};
use skein_shared::bucket::Bucket;
use skein_shared::error::BucketCause;
use skein_shared::format::compact_plan::{AllowedFrames, PlannedObject};
use skein_shared::format::damage::{Damage, LostOffsets};
use skein_shared::format::frame::{RecordTimes, Stream};
use skein_shared::format::ledger_entry::EntryKind;
use skein_shared::ids::FlushId;
use skein_shared::ledger::Ledger;
use skein_shared::offset::Span;
use skein_shared::payload::Limits;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::error::{Error, Result};

const REQUESTS_IN_FLIGHT: usize = 32;

/// A place that did not read back, as far as the object itself tells.
#[derive(Debug, Clone)]
pub struct FoundDamage {
    /// What is known without the ledger; its times are not set.
    pub damage: Damage,
    /// Timestamps of the records in it; `None` when the object does not tell.
    pub record_times: Option<RecordTimes>,
}

/// Which frames count: those that the ledger allows, without those that the shard has lost before.
#[derive(Debug, Default)]
pub struct CountingFrames {
    /// What the ledger allows.
    pub allowed: AllowedFrames,
    /// Damages of the shard whose records are not taken in, though they may read back.
    pub left_out: Vec<Damage>,
}

/// Whether an error says that stored bytes are not what was written, or are no longer there.
pub fn is_damage(error: &Error) -> bool {
    match error {
        Error::ObjectDiffers { .. } => true,
        Error::Shared(error @ skein_shared::Error::Decode { .. }) => !error.is_unread_version(),
        Error::Shared(skein_shared::Error::Bucket { cause, .. }) => {
            matches!(cause, BucketCause::NotFound | BucketCause::Damaged)
        }
        Error::Shared(_)
        | Error::LedgerGap { .. }
        | Error::VoidFlush { .. }
        | Error::StateDamaged { .. }
        | Error::SegmentMissing { .. }
        | Error::Decided { .. }
        | Error::NoSuchDamage { .. }
        | Error::Spill { .. }
        | Error::OverBudget { .. }
        | Error::PlanGone { .. }
        | Error::NoSuchTask { .. }
        | Error::NotRebuildable { .. }
        | Error::Superseded { .. }
        | Error::Unconserved { .. }
        | Error::Unbalanced { .. }
        | Error::RollupDiffers { .. }
        | Error::Cancelled
        | Error::Panicked { .. }
        | Error::Shards { .. }
        | Error::StateGone { .. }
        | Error::BehindBound { .. } => false,
    }
}

impl CountingFrames {
    /// The spans that count of a stream in one block of an object.
    pub fn spans(
        &self,
        (flush, object): (FlushId, &str),
        block: &Range<u64>,
        stream: &Stream,
    ) -> Cow<'_, [Span]> {
        let mut spans = Cow::Borrowed(self.allowed.spans(flush, stream));
        let covers = |damage: &&Damage| {
            let place = damage.place();
            damage.object_key == object && place.start <= block.start && block.end <= place.end
        };
        let lost = self.left_out.iter().filter(covers);
        let lost = lost.flat_map(|damage| &damage.lost);
        for lost in lost.filter(|lost| lost.stream == *stream) {
            spans = Cow::Owned(without(&spans, lost.span));
        }
        spans
    }

    /// What is lost when nothing of an object can be read.
    pub fn lost_with(&self, planned: &PlannedObject) -> Vec<LostOffsets> {
        let object = (planned.flush, planned.object.key.as_str());
        let whole = 0..planned.object.object_bytes;
        let mut all = Vec::new();
        for (stream, _) in self.allowed.streams(planned.flush) {
            let spans = self.spans(object, &whole, stream);
            all.extend(spans.iter().map(|span| LostOffsets {
                stream: stream.clone(),
                span: *span,
            }));
        }
        all
    }
}

impl FoundDamage {
    /// An object of which nothing can be read.
    pub fn of_object(planned: &PlannedObject, lost: Vec<LostOffsets>, error: &Error) -> Self {
        Self {
            damage: Damage {
                flush: planned.flush,
                object_key: planned.object.key.clone(),
                at: 0,
                bytes: planned.object.object_bytes,
                frames: planned.object.frames,
                times: TimeSpan::ALL,
                lost,
                error: error.to_string(),
            },
            record_times: None,
        }
    }

    /// Adds the event times of the points in it: those that `limits` allow beside the records' timestamps, or all of
    /// time when these are not known of each record.
    ///
    /// # Errors
    /// The bucket's, where the ledger has to be asked.
    pub async fn with_times(self, bucket: &Bucket, limits: &Limits) -> Result<Damage> {
        let mut damage = self.damage;
        let times = match self.record_times {
            Some(times) => Some(times),
            None => ledger_times(bucket, &damage.lost).await?,
        };
        // Records without a timestamp may hold points of any time.
        let known = times.filter(|times| !times.is_partial);
        damage.times = known.map_or(TimeSpan::ALL, |times| event_times(times, limits));
        Ok(damage)
    }
}

/// Timestamps of the records in `lost` by the ledger's entries; `None` when one of them does not tell.
async fn ledger_times(bucket: &Bucket, lost: &[LostOffsets]) -> Result<Option<RecordTimes>> {
    let ledger = Ledger::new(bucket.clone());
    let times: Vec<Option<RecordTimes>> = futures::stream::iter(lost)
        .map(|lost| entry_times(&ledger, lost))
        .buffered(REQUESTS_IN_FLIGHT)
        .try_collect()
        .await?;
    let times: Option<Vec<RecordTimes>> = times.into_iter().collect();
    Ok(times.and_then(|times| times.into_iter().reduce(RecordTimes::union)))
}

/// Only a span that is all of an entry is known: a fill, or a part of an entry, is not looked for.
async fn entry_times(ledger: &Ledger, lost: &LostOffsets) -> Result<Option<RecordTimes>> {
    match ledger.entry_at(&lost.stream.chain, lost.span.from).await {
        Ok(entry) => match entry.kind {
            EntryKind::Flushed { .. } if entry.span == lost.span => Ok(entry.times),
            EntryKind::Flushed { .. } | EntryKind::LostSpan { .. } => Ok(None),
        },
        Err(skein_shared::Error::Bucket {
            cause: BucketCause::NotFound,
            ..
        }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn event_times(records: RecordTimes, limits: &Limits) -> TimeSpan {
    let millis = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    let newest = records.newest.0.saturating_add(millis(limits.future.0));
    TimeSpan {
        from: TimestampMs(records.oldest.0.saturating_sub(millis(limits.past.0))),
        to: TimestampMs(newest.saturating_add(1)),
    }
}

/// `spans` less what `lost` holds of them.
fn without(spans: &[Span], lost: Span) -> Vec<Span> {
    let mut left = Vec::with_capacity(spans.len() + 1);
    for span in spans {
        if span.overlap(lost).is_none() {
            left.push(*span);
            continue;
        }
        if span.from < lost.from {
            left.push(Span::new(span.from, lost.from));
        }
        if lost.to < span.to {
            left.push(Span::new(lost.to, span.to));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use skein_shared::format::stored_version;
    use skein_shared::offset::Offset;

    use super::*;

    fn span([from, to]: [i64; 2]) -> Span {
        Span::new(Offset(from), Offset(to))
    }

    #[track_caller]
    fn check(lost: [i64; 2], left: &[[i64; 2]]) {
        let spans = [[0, 10], [20, 30]].map(span);
        let expected: Vec<Span> = left.iter().copied().map(span).collect();
        assert_eq!(without(&spans, span(lost)), expected, "without {lost:?}");
    }

    #[test]
    fn what_was_lost_is_cut_out_of_what_counts() {
        check([10, 20], &[[0, 10], [20, 30]]);
        check([3, 5], &[[0, 3], [5, 10], [20, 30]]);
        check([0, 10], &[[20, 30]]);
        check([5, 25], &[[0, 5], [25, 30]]);
        check([0, 99], &[]);
    }

    #[test]
    fn what_may_pass_is_no_damage_and_neither_is_what_another_build_wrote() {
        let bucket = |cause| {
            is_damage(&Error::Shared(skein_shared::Error::Bucket {
                operation: "get",
                key: "k".into(),
                cause,
                reason: "no".into(),
            }))
        };
        let passing = [
            BucketCause::Unavailable,
            BucketCause::Throttled,
            BucketCause::Denied,
            BucketCause::Refused,
            BucketCause::NoBucket,
        ];
        assert!(!passing.into_iter().any(bucket));
        assert!(bucket(BucketCause::NotFound) && bucket(BucketCause::Damaged));
        let decode = |reason: &str| Error::from(skein_shared::Error::decode("block", 0, reason));
        assert!(is_damage(&decode("crc32c is off")));
        assert!(!is_damage(&decode(
            "codec 7 is unknown: a newer version wrote it"
        )));
        let refused = |version| stored_version::check(version, 1).unwrap_err();
        assert!(!is_damage(&decode(&refused(0))) && !is_damage(&decode(&refused(2))));
    }
}
