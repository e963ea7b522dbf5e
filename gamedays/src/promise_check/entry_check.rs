//! SK-1, SK-2 and SK-3 for one ledger entry: what it says is durable, in order, and all that Kafka held.

use skein_config::connector::OnLostOffsets;
use skein_shared::format::ledger_entry::{EntryKind, LedgerEntry};
use skein_shared::ids::{FlushId, Tenure};
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;

use crate::model_kafka::log::{Histories, Log};
use crate::promise_check::object_facts::{FrameFact, StreamKey};
use crate::promise_check::watermark_check::times_of;
use crate::promise_check::{PromiseCheck, Truth, Verdict, Violation, broken, violation};

impl PromiseCheck {
    pub(super) fn entry_written(&mut self, truth: Truth<'_>, entry: &LedgerEntry) -> Verdict {
        let place = truth.kafka.place_of_chain(&entry.chain);
        let key = (place, entry.chain.incarnation);
        let Some(chain) = self.chains.get(&key) else {
            let words = format!("{} has an entry and no genesis", entry.chain);
            return broken(Promise::LedgerContiguous, words);
        };
        if chain.end != entry.span.from {
            let words = format!(
                "{} ends at {}, the next entry is {}",
                entry.chain, chain.end, entry.span
            );
            return broken(Promise::LedgerContiguous, words);
        }
        let log = truth.kafka.log(place);
        let mut histories = chain.histories;
        match &entry.kind {
            EntryKind::Flushed { flush, tenure } => {
                let stream = StreamKey {
                    place,
                    incarnation: entry.chain.incarnation,
                    tenure: *tenure,
                };
                let frames = self.counted_frames(entry, *flush, stream)?;
                histories = held_by(log, (entry, &frames), histories)?;
                self.count(*flush);
            }
            EntryKind::LostSpan { .. } => self.check_lost(log, entry)?,
        }
        let chain = self.chains.get_mut(&key).expect("it was just found");
        chain.end = entry.span.to;
        chain.last = entry.last.map(|last| last.offset);
        chain.histories = histories;
        chain.times = times_of(entry);
        self.watermarks_hold(truth.kafka)
    }

    /// SK-3: what is called lost is lost, and an operator said that it may be.
    fn check_lost(&self, log: &Log, entry: &LedgerEntry) -> Verdict {
        let (low, _) = log.reach(log.history());
        let first = log.next_at(entry.span.from);
        let is_there = low < entry.span.to && first.is_some_and(|(at, _)| at < entry.span.to);
        if !is_there && self.settings.on_lost_offsets == OnLostOffsets::SkipAndRecord {
            return Ok(());
        }
        let words = format!(
            "{} {} is called lost, kafka has it from {low} on",
            entry.chain, entry.span
        );
        broken(Promise::NothingLost, words)
    }

    /// The frames that the entry makes count, in order. SK-1: its manifest and all its objects are there.
    fn counted_frames(
        &self,
        entry: &LedgerEntry,
        flush: FlushId,
        stream: StreamKey,
    ) -> Result<Vec<FrameFact>, Violation> {
        let missing = |what: String| {
            violation(
                Promise::CommitBehindLedger,
                format!("{} {}: {what}", entry.chain, entry.span),
            )
        };
        let contents = self
            .flushes
            .get(&flush)
            .ok_or_else(|| missing(format!("the manifest of flush {flush} is not there")))?;
        let is_named = contents.spans.iter().any(|named| {
            named.span == entry.span
                && named.stream.chain == entry.chain
                && named.stream.tenure == Tenure(stream.tenure.0)
        });
        if !is_named {
            return Err(missing(format!("flush {flush} does not name it")));
        }
        let mut frames = Vec::new();
        for object in &contents.objects {
            let facts = self
                .objects
                .get(&object.key)
                .ok_or_else(|| missing(format!("object `{}` is gone", object.key)))?;
            frames.extend_from_slice(facts.frames_of(stream, entry.span.from, entry.span.to));
        }
        frames.sort_unstable_by_key(|frame| frame.offset);
        if let Some(twice) = frames.windows(2).find(|two| two[0].offset == two[1].offset) {
            let words = format!("{} offset {} counts twice", entry.chain, twice[0].offset);
            return Err(violation(Promise::NothingLost, words));
        }
        let last = frames.last().map(|frame| frame.offset);
        if entry.frames != frames.len() as u64 || entry.last.map(|last| last.offset) != last {
            let words = format!(
                "{} {} says {} frames, last {:?}; there are {}, last {last:?}",
                entry.chain,
                entry.span,
                entry.frames,
                entry.last,
                frames.len()
            );
            return Err(violation(Promise::NothingLost, words));
        }
        Ok(frames)
    }

    fn count(&mut self, flush: FlushId) {
        for object in &self.flushes[&flush].objects {
            if !self.counting.contains(&object.key) {
                self.counting.insert(object.key.clone());
            }
        }
    }
}

/// The histories, of those that the chain may be of, that hold exactly these records in the entry's span.
fn held_by(
    log: &Log,
    (entry, frames): (&LedgerEntry, &[FrameFact]),
    mut histories: Histories,
) -> Result<Histories, Violation> {
    let mut why = String::new();
    for history in histories.iter() {
        if let Some(difference) = difference(log, (entry, frames), history) {
            why = difference;
            histories.remove(history);
        }
    }
    if histories.is_empty() {
        let words = format!("{} {}: {why}", entry.chain, entry.span);
        return Err(violation(Promise::NothingLost, words));
    }
    Ok(histories)
}

fn difference(
    log: &Log,
    (entry, frames): (&LedgerEntry, &[FrameFact]),
    history: usize,
) -> Option<String> {
    let (_, high) = log.reach(history);
    if high < entry.span.to {
        return Some(format!("history {history} ends at {high}"));
    }
    let is_of = |frame: &FrameFact| log.agrees(history, frame.histories, frame.offset);
    let mut frames = frames.iter();
    for expected in log.offsets(history, entry.span.from, entry.span.to) {
        match frames.next() {
            Some(frame) if frame.offset == expected && is_of(frame) => {}
            Some(frame) if frame.offset == expected => {
                return Some(format!(
                    "offset {expected} is not as history {history} has it"
                ));
            }
            Some(_) | None => return Some(format!("offset {expected} is lost")),
        }
    }
    let extra: Option<Offset> = frames.next().map(|frame| frame.offset);
    extra.map(|offset| format!("offset {offset} is not in history {history}"))
}
