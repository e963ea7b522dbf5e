//! The numbered promises. Asserts, tests and reports cite them by these names.

/// What Skein promises at every instant, whatever fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// SK-1: committed offset ≤ ledger end ≤ durable records.
    CommitBehindLedger,
    /// SK-2: the ledger of a partition is contiguous and has no overlap.
    LedgerContiguous,
    /// SK-3: a record below the ledger's end is one valid frame, in quarantine, or in a recorded lost span.
    NothingLost,
    /// SK-4: a revoked or fenced worker cannot add twice, remove or alter what readers see.
    Fenced,
    /// SK-5: SIGTERM replays nothing if the flush fits the deadline; `kill -9` at most one flush interval.
    BoundedReplay,
    /// SK-6: memory stays within the budget plus a stated constant.
    BoundedMemory,
    /// SK-7: an object is complete or invisible; every byte is checksummed.
    CompleteOrInvisible,
    /// SK-8: a poison record never blocks a partition; a corrupt object is quarantined, never skipped silently.
    PoisonNeverBlocks,
    /// SK-9: manifest commits are atomic under concurrent, stalled and repeated compactors.
    AtomicManifest,
    /// SK-10: segment bytes are a pure function of records, seals and encoder version.
    PureSegments,
    /// SK-11: points in = points out + duplicates + not owned + quarantined + deleted + expired.
    Conservation,
    /// SK-12: every (org, timestamp) has exactly one visible owner, and that owner wrote it. Checked, with the two that follow,
    /// in every history of cutovers (`docs/simulation.md`).
    OneOwner,
    /// SK-13: a stitched read equals what one system would have returned.
    StitchedEqualsOne,
    /// SK-14: no transition of one org changes a byte of another's.
    Isolation,
    /// SK-15: when faults stop, lag returns to zero; nothing stays stuck.
    Liveness,
    /// SK-16: the same seed gives the same trace.
    SameSeedSameTrace,
}

impl Promise {
    /// The number in `SK-n`.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The promise with this number in `SK-n`.
    pub fn numbered(number: u8) -> Option<Self> {
        const ALL: [Promise; 16] = [
            Promise::CommitBehindLedger,
            Promise::LedgerContiguous,
            Promise::NothingLost,
            Promise::Fenced,
            Promise::BoundedReplay,
            Promise::BoundedMemory,
            Promise::CompleteOrInvisible,
            Promise::PoisonNeverBlocks,
            Promise::AtomicManifest,
            Promise::PureSegments,
            Promise::Conservation,
            Promise::OneOwner,
            Promise::StitchedEqualsOne,
            Promise::Isolation,
            Promise::Liveness,
            Promise::SameSeedSameTrace,
        ];
        ALL.into_iter().find(|promise| promise.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::Promise;

    #[test]
    fn numbers_run_from_one_to_sixteen() {
        assert_eq!(Promise::CommitBehindLedger.number(), 1);
        assert_eq!(Promise::SameSeedSameTrace.number(), 16);
        for number in 1..=16 {
            let promise = Promise::numbered(number);
            assert_eq!(promise.map(Promise::number), Some(number));
        }
        assert_eq!(Promise::numbered(0).or(Promise::numbered(17)), None);
    }
}
