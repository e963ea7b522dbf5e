//! What a core with a [`Mutant`] does at the points where it goes wrong.

use std::collections::BTreeSet;

use skein_shared::offset::Offset;

use crate::core::Core;
use crate::core::action::{Action, RequestId};
use crate::core::event::{Answer, Failure, LedgerEnd, Remedy};
use crate::core::mutant::Mutant;
use crate::core::partition::{Partition, Phase, Slot};
use crate::core::purpose::Purpose;

impl Core {
    pub(super) fn has(&self, mutant: Mutant) -> bool {
        self.options.mutant == Some(mutant)
    }

    /// What a buggy core commits of a partition.
    pub(super) fn mutated_commit(&self, partition: &Partition) -> Option<Offset> {
        let wrong = match (self.options.mutant?, &partition.phase) {
            (Mutant::CommitsHighestOffset, Phase::Reading(tenure)) => tenure.position,
            (Mutant::CommitsBeforeUpload, Phase::Reading(tenure)) => tenure.sealed_to,
            (Mutant::CommitsForLostPartition, Phase::Away) => partition.ledger_end,
            _ => return None,
        };
        (partition.committed < wrong).then_some(wrong)
    }

    /// What a buggy core makes of a failed request; whether it made anything of it.
    pub(super) fn mutated_failure(
        &mut self,
        id: RequestId,
        failure: &Failure,
        actions: &mut Vec<Action>,
    ) -> Option<()> {
        let mutant = self.options.mutant?;
        let purpose = self.requests.purpose(id)?;
        match (mutant, purpose) {
            (Mutant::DropsFlushOnError, Purpose::Manifest(flush)) => {
                self.requests.finish(id, actions);
                for slot in self.flushes.slots(flush) {
                    self.cut_ledger(slot);
                }
                Some(())
            }
            (Mutant::DropsBatchWhenDenied, Purpose::Put(_) | Purpose::Complete(_))
                if failure.remedy == Remedy::AgainAndAlert =>
            {
                self.answered(id, Answer::Stored, actions);
                Some(())
            }
            _ => None,
        }
    }

    /// Drops what was read of every partition but these, and goes on reading behind it.
    pub(super) fn mutated_revocation(&mut self, but: &BTreeSet<Slot>) {
        if !self.has(Mutant::RevokeDropsAllBuffers) {
            return;
        }
        for (slot, partition) in self.partitions.iter_mut() {
            if let Some(tenure) = partition.tenure_mut().filter(|_| !but.contains(&slot)) {
                tenure.sealed_to = tenure.position;
            }
        }
    }

    /// Where a buggy core begins in a chain that does not exist.
    pub(super) fn mutated_end(&self, kafka_low: Offset) -> Option<LedgerEnd> {
        self.has(Mutant::ReadsWithoutGenesis).then_some(LedgerEnd {
            offset: kafka_low,
            last: None,
        })
    }
}
