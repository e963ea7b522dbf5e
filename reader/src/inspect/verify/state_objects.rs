//! State objects: every byte is read, every block decoded, and compared with footer and flush manifest.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::block::{BlockDecoder, StreamSummary, merge_streams};
use skein_shared::format::checksum;
use skein_shared::format::digest::ContentDigest;
use skein_shared::format::flush_manifest::{FlushedObject, FlushedSpan};
use skein_shared::format::frame::Stream;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::state_bound::StateBound;
use skein_shared::format::state_object::{BlockEntry, HEAD_BYTES, Head, StateFooter};
use skein_shared::ids::{FlushId, ShardId};
use skein_shared::offset::Offset;
use skein_shared::state_fetch;
use skein_shared::units::MIB;

use crate::inspect::finding::{Finding, STATE};
use crate::inspect::verify::flushes::LiveFlush;
use crate::inspect::verify::journal::{Fingerprint, Known, Seen, SpanCount};
use crate::inspect::verify::recount::{Recounts, check_frames};
use crate::inspect::verify::truth::Truth;
use crate::inspect::verify::{CONCURRENT_OBJECTS, Check};

const FETCH_BYTES: u64 = 8 * MIB;

/// State objects that are missing and may be: all that their flushes read lies below a bound.
#[derive(Debug, Default)]
pub(super) struct Gone {
    bound: StateBound,
    pub(super) objects: u64,
}

impl Gone {
    pub(super) fn new(bound: StateBound) -> Self {
        Self { bound, objects: 0 }
    }

    /// Whether the object is one of them.
    async fn takes(
        &mut self,
        bucket: &Bucket,
        (flush, object): (&LiveFlush, &FlushedObject),
    ) -> Result<bool> {
        let may_be = self.bound.is_passed(&flush.contents);
        let is_gone = may_be && bucket.head(&object.key).await?.is_none();
        self.objects += u64::from(is_gone);
        Ok(is_gone)
    }
}

/// What one object gave.
#[derive(Debug, Default)]
struct ObjectCheck {
    findings: Vec<Finding>,
    streams: Vec<StreamSummary>,
    recounts: Recounts,
}

/// Checks the objects of every live flush, and counts again what they hold.
pub(super) async fn check_objects(
    check: &mut Check<'_>,
    truth: Truth,
    (flushes, mut gone): (&[LiveFlush], Gone),
) -> Result<(Recounts, Gone)> {
    let (truth, bucket) = (&Arc::new(truth), &check.bucket.clone());
    let mut recounts = Recounts::default();
    for flush in flushes {
        let known = known(check, truth, flush);
        let mut there = Vec::new();
        for (object, known) in flush.contents.objects.iter().zip(known) {
            if gone.takes(bucket, (flush, object)).await? {
                let place = (object.key.as_str(), object.object_bytes);
                check.object_done(place, &Known::default(), Seen::default());
            } else {
                there.push((object, known));
            }
        }
        let is_whole = there.len() == flush.contents.objects.len();
        let mut checks = futures::stream::iter(there)
            .map(|(object, known)| async move {
                let checked = seen_of(bucket, truth, (flush, object), known).await;
                checked.map(|(known, seen)| (object, known, seen))
            })
            .buffered(CONCURRENT_OBJECTS);
        let mut counts = BTreeMap::new();
        let mut is_sound = true;
        while let Some(checked) = checks.next().await {
            let (object, known, seen) = checked?;
            check.checked.state_objects += 1;
            check.checked.state_bytes += object.object_bytes;
            is_sound &= seen.findings.is_empty();
            seen.spans.iter().for_each(|count| add(&mut counts, count));
            recounts.add(&seen.recounts);
            check.object_done((&object.key, object.object_bytes), &known, seen);
        }
        if is_sound && is_whole {
            check.findings.extend(miscounts(flush, &counts));
        }
    }
    check.checked.records = recounts.records;
    check.checked.void_frames = recounts.void_frames;
    Ok((recounts, gone))
}

/// What is remembered of an object that is still there, or what its check gives.
async fn seen_of(
    bucket: &Bucket,
    truth: &Arc<Truth>,
    (flush, object): (&LiveFlush, &FlushedObject),
    known: Known,
) -> Result<(Known, Seen)> {
    let known = known
        .if_there(bucket, (&object.key, object.object_bytes))
        .await?;
    if let Some(seen) = known.seen() {
        return Ok((known, seen));
    }
    let checked = check_object(bucket, truth, flush.flush, object).await?;
    let mut seen = checked.seen(&flush.contents.spans);
    // It may be put back.
    seen.is_passing = !seen.findings.is_empty() && bucket.head(&object.key).await?.is_none();
    Ok((known, seen))
}

/// What is remembered of the objects of a flush.
fn known(check: &Check<'_>, truth: &Truth, flush: &LiveFlush) -> Vec<Known> {
    let of = |object: &FlushedObject| {
        check.known(&object.key, || {
            let inputs = truth.inputs(flush.flush, object.shard);
            Fingerprint::of(&(flush.flush, object, &flush.contents.spans, inputs))
        })
    };
    flush.contents.objects.iter().map(of).collect()
}

/// What the objects of a flush hold of one of its spans.
#[derive(Debug, Clone, Copy)]
struct SpanTotal {
    frames: u64,
    digest: ContentDigest,
    first: Offset,
    last: Offset,
}

fn add(totals: &mut BTreeMap<usize, SpanTotal>, count: &SpanCount) {
    let (first, last) = (Offset(count.first), Offset(count.last));
    let total = totals.entry(count.span).or_insert(SpanTotal {
        frames: 0,
        digest: ContentDigest::EMPTY,
        first,
        last,
    });
    total.frames += count.frames;
    total.digest.add(count.digest);
    total.first = total.first.min(first);
    total.last = total.last.max(last);
}

/// Where the spans of a flush manifest differ from what its objects hold.
fn miscounts(flush: &LiveFlush, totals: &BTreeMap<usize, SpanTotal>) -> Vec<Finding> {
    let key = ObjectKey::Flush(flush.flush).to_string();
    let mut findings = Vec::new();
    for (number, span) in flush.contents.spans.iter().enumerate() {
        let found = totals.get(&number);
        let frames = found.map_or(0, |total| total.frames);
        let chain = &span.stream.chain;
        let what = if frames != span.frames {
            format!(
                "says {} records of {chain}, its objects hold {frames}",
                span.frames
            )
        } else if found.is_some_and(|total| total.digest != span.digest) {
            format!("the digest of the records of {chain} is another")
        } else if found.is_some_and(|total| {
            !span.span.contains(total.first) || !span.span.contains(total.last)
        }) {
            format!(
                "the objects hold records of {chain} outside of {}",
                span.span
            )
        } else {
            continue;
        };
        findings.push(STATE.broken(&key, None, what));
    }
    findings
}

impl ObjectCheck {
    /// As it is remembered: by the spans of its flush.
    fn seen(self, spans: &[FlushedSpan]) -> Seen {
        let held: HashMap<&Stream, &StreamSummary> =
            self.streams.iter().map(|sum| (&sum.stream, sum)).collect();
        let counts = spans.iter().enumerate().filter_map(|(span, of)| {
            let sum = held.get(&of.stream)?;
            Some(SpanCount {
                span,
                frames: sum.frames,
                digest: sum.digest,
                first: sum.first.0,
                last: sum.last.offset.0,
            })
        });
        Seen {
            spans: counts.collect(),
            findings: self.findings,
            recounts: self.recounts,
            ..Seen::default()
        }
    }
}

async fn check_object(
    bucket: &Bucket,
    truth: &Arc<Truth>,
    flush: FlushId,
    object: &FlushedObject,
) -> Result<ObjectCheck> {
    let mut checked = ObjectCheck::default();
    let finding = match state_fetch::read_footer(bucket, &object.key).await {
        Ok(tail) if tail.object_bytes == object.object_bytes => {
            match misfit(&tail.footer, flush, object) {
                None => match check_blocks(bucket, truth, tail.footer, object).await {
                    Ok(checked) => return Ok(checked),
                    Err(error) => STATE.blame(bucket, &object.key, error).await?,
                },
                Some(what) => STATE.broken(&object.key, None, what),
            }
        }
        Ok(tail) => {
            let (is, was) = (tail.object_bytes, object.object_bytes);
            let what = format!("has {is} bytes, its flush manifest says {was}");
            STATE.broken(&object.key, Some(is.min(was)), what)
        }
        Err(error) => STATE.blame(bucket, &object.key, error).await?,
    };
    checked.findings.push(finding);
    Ok(checked)
}

/// Where footer and flush manifest disagree.
fn misfit(footer: &StateFooter, flush: FlushId, object: &FlushedObject) -> Option<String> {
    let (frames, said) = (footer.frames(), object.frames);
    if footer.flush != flush || footer.shard != object.shard {
        let (flush, shard) = (footer.flush, footer.shard);
        return Some(format!("is an object of flush {flush}, shard {shard}"));
    }
    if frames != said || footer.raw_bytes() != object.raw_bytes {
        return Some(format!(
            "has {frames} records, its flush manifest says {said}"
        ));
    }
    (footer.digest() != object.digest)
        .then(|| "the digest in its flush manifest is another".to_owned())
}

async fn check_blocks(
    bucket: &Bucket,
    truth: &Arc<Truth>,
    footer: StateFooter,
    object: &FlushedObject,
) -> Result<ObjectCheck> {
    let mut checked = ObjectCheck::default();
    let key = &object.key;
    let head_bytes = bucket.get_range(key, 0..HEAD_BYTES as u64).await?;
    let head = match Head::decode(&head_bytes) {
        Ok(head) if (head.flush, head.number) == (footer.flush, footer.number) => head,
        Ok(_) => {
            let what = "head and footer are of two objects";
            checked.findings.push(STATE.broken(key, Some(0), what));
            return Ok(checked);
        }
        Err(error) => {
            checked.findings.push(STATE.finding_for(key, error)?);
            return Ok(checked);
        }
    };
    let mut crc32c = checksum::crc32c(&head_bytes);
    for range in stretches(&footer.blocks) {
        let entries = footer.blocks[range].to_vec();
        let (first, last) = (&entries[0], &entries[entries.len() - 1]);
        let bytes = bucket
            .get_range(key, first.at..last.at + last.bytes)
            .await?;
        crc32c = checksum::combine(crc32c, checksum::crc32c(&bytes), bytes.len() as u64);
        let stretch = Stretch {
            key: key.clone(),
            head,
            shard: object.shard,
            entries,
            bytes,
            truth: Arc::clone(truth),
        };
        let part = tokio::task::spawn_blocking(move || stretch.check())
            .await
            .expect("checking a stretch does not panic")?;
        checked.findings.extend(part.findings);
        merge_streams(&mut checked.streams, &part.streams);
        checked.recounts.add(&part.recounts);
    }
    let footer_at = footer
        .blocks
        .last()
        .map_or(HEAD_BYTES as u64, |last| last.at + last.bytes);
    let tail = bucket
        .get_range(key, footer_at..object.object_bytes)
        .await?;
    crc32c = checksum::combine(crc32c, checksum::crc32c(&tail), tail.len() as u64);
    if checked.findings.is_empty() {
        checked
            .findings
            .extend(whole_misfit(&checked, &footer, (crc32c, object)));
    }
    Ok(checked)
}

/// What is wrong with the object as a whole, when no block by itself is.
fn whole_misfit(
    checked: &ObjectCheck,
    footer: &StateFooter,
    (crc32c, object): (u32, &FlushedObject),
) -> Option<Finding> {
    let what = if checked.streams != footer.streams {
        "the footer says other counts or digests than its blocks".to_owned()
    } else if crc32c != object.crc32c {
        let said = object.crc32c;
        format!("crc32c is {crc32c:08x}, its flush manifest says {said:08x}")
    } else {
        return None;
    };
    Some(STATE.broken(&object.key, None, what))
}

/// Neighbouring blocks that are fetched and decoded together.
struct Stretch {
    key: String,
    head: Head,
    shard: ShardId,
    entries: Vec<BlockEntry>,
    bytes: Bytes,
    truth: Arc<Truth>,
}

impl Stretch {
    /// CPU work: not for an async thread.
    fn check(&self) -> Result<ObjectCheck> {
        let mut decoder = BlockDecoder::new();
        let mut checked = ObjectCheck::default();
        for entry in &self.entries {
            if let Err(error) = self.check_block(&mut decoder, entry, &mut checked) {
                let error = error.moved_by(entry.at);
                checked.findings.push(STATE.finding_for(&self.key, error)?);
            }
        }
        Ok(checked)
    }

    fn check_block(
        &self,
        decoder: &mut BlockDecoder,
        entry: &BlockEntry,
        checked: &mut ObjectCheck,
    ) -> Result<()> {
        let start = entry.at - self.entries[0].at;
        let place = |at: u64| usize::try_from(at).expect("a stretch fits memory");
        let bytes = &self.bytes[place(start)..place(start + entry.bytes)];
        let block = decoder.decode(&self.head.marker, bytes)?;
        check_frames(&block, entry.frames)?;
        merge_streams(&mut checked.streams, &block.stream_summaries()?);
        let object = (self.head.flush, self.shard);
        checked.recounts.add_block(&self.truth, object, &block)
    }
}

/// Groups blocks into stretches of at most [`FETCH_BYTES`], or of one block that is longer.
fn stretches(blocks: &[BlockEntry]) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    for (index, block) in blocks.iter().enumerate() {
        if index > start && block.at + block.bytes - blocks[start].at > FETCH_BYTES {
            groups.push(start..index);
            start = index;
        }
    }
    if start < blocks.len() {
        groups.push(start..blocks.len());
    }
    groups
}
