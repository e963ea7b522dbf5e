//! The look-up of a chain: genesis, last entry, and then where Kafka stands.

use skein_connector::core::event::{Answer, ChainView, LedgerEnd};
use skein_shared::format::ledger_entry::{Genesis, LedgerEntry};
use skein_shared::format::object_key::Prefix;
use skein_shared::ids::{Chain, Incarnation};
use skein_shared::offset::Offset;

use crate::model_s3::{Ask, Intact, Refusal, Reply};
use crate::mutants::Mutation;
use crate::worker::bucket_call::{Next, Outcome, Stage, Tools, failed};

pub(super) fn replied(stage: &mut Stage, chain: &Chain, reply: Reply, tools: &Tools<'_>) -> Next {
    match (*stage, reply) {
        (Stage::First, Reply::Body(None, _)) => ask_kafka(stage, chain, None),
        (_, Reply::Body(_, Intact::FlippedBit(_))) if !tools.has(Mutation::SkipsChecksum) => {
            failed(Refusal::Unavailable)
        }
        (Stage::First, Reply::Body(Some(bytes), _)) => match Genesis::decode(&bytes) {
            Ok((_, genesis)) => {
                *stage = Stage::LastKey(genesis.start);
                Next::Ask(Ask::LastKey(Prefix::chain(chain)))
            }
            Err(_) => failed(Refusal::Invalid),
        },
        (Stage::LastKey(start), Reply::Key(None)) => {
            let end = LedgerEnd {
                offset: start,
                last: None,
            };
            ask_kafka(stage, chain, Some(end))
        }
        (Stage::LastKey(_), Reply::Key(Some(key))) => {
            *stage = Stage::LastEntry;
            Next::Ask(Ask::Get(key))
        }
        (Stage::LastEntry, Reply::Body(Some(bytes), intact)) => {
            let Ok((_, entry)) = LedgerEntry::decode(&bytes) else {
                return failed(Refusal::Invalid);
            };
            let mut offset = entry.span.to;
            if let Intact::FlippedBit(bit) = intact {
                offset.0 ^= 1 << bit;
            }
            let end = LedgerEnd {
                offset,
                last: entry.last,
            };
            ask_kafka(stage, chain, Some(end))
        }
        _ => failed(Refusal::Unavailable),
    }
}

fn ask_kafka(stage: &mut Stage, chain: &Chain, end: Option<LedgerEnd>) -> Next {
    *stage = Stage::Kafka(end);
    Next::AskKafka(chain.clone())
}

/// What is told when Kafka has answered, or has not.
pub(super) fn answer(stage: &Stage, reach: Option<(Offset, Offset)>) -> Outcome {
    match (stage, reach) {
        (Stage::Kafka(ledger), Some((kafka_low, kafka_high))) => Ok(Answer::Chain(ChainView {
            // Worlds stop what was made anew, so that there is no other.
            incarnation: Incarnation::default(),
            ledger: *ledger,
            kafka_low,
            kafka_high,
        })),
        _ => match failed(Refusal::TimedOut) {
            Next::Done(outcome) => outcome,
            Next::Ask(_) | Next::AskKafka(_) | Next::Wait | Next::Broken(_) => {
                unreachable!("a failure is an end")
            }
        },
    }
}
