//! The look-up of a chain: genesis, the topic's later lives, last entry, and then where Kafka stands.

use skein_connector::core::action::Request;
use skein_connector::core::event::{Answer, ChainView, LedgerEnd};
use skein_shared::format::ledger_entry::{Genesis, LedgerEntry};
use skein_shared::format::object_key::{ObjectKey, Prefix};
use skein_shared::ids::{Chain, Incarnation};
use skein_shared::offset::Offset;

use crate::model_s3::{Ask, Intact, Refusal, Reply};
use crate::mutants::Mutation;
use crate::worker::bucket_call::{Call, Next, Stage, Tools, failed};

/// Goes on with a look-up. Its chain becomes the newest life's that has one.
pub(super) fn replied(call: &mut Call, reply: Reply, tools: &Tools<'_>) -> Next {
    let Request::LookUpChain(chain) = &mut call.request else {
        unreachable!("only chains are looked up");
    };
    let stage = &mut call.stage;
    match (*stage, reply) {
        (Stage::First, Reply::Body(None, _)) => ask_kafka(stage, chain, None),
        (Stage::NextLife(start), Reply::Body(None, _)) => {
            *stage = Stage::LastKey(start);
            Next::Ask(Ask::LastKey(Prefix::chain(chain)))
        }
        (_, Reply::Body(_, Intact::FlippedBit(_))) if !tools.has(Mutation::SkipsChecksum) => {
            failed(Refusal::Unavailable)
        }
        (Stage::First | Stage::NextLife(_), Reply::Body(Some(bytes), _)) => {
            let Ok((_, genesis)) = Genesis::decode(&bytes) else {
                return failed(Refusal::Invalid);
            };
            *stage = Stage::NextLife(genesis.start);
            *chain = genesis.chain;
            let next = Chain {
                incarnation: Incarnation(chain.incarnation.0 + 1),
                ..chain.clone()
            };
            Next::Ask(Ask::Get(ObjectKey::Genesis(next).to_string()))
        }
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
    Next::AskKafka(vec![chain.clone()])
}

/// What is told when Kafka has answered, or has not.
pub(super) fn answer(stage: &Stage, chain: &Chain, reaches: Option<&[(Offset, Offset)]>) -> Next {
    match (stage, reaches) {
        (Stage::Kafka(ledger), Some([(kafka_low, kafka_high)])) => {
            Next::Done(Ok(Answer::Chain(ChainView {
                incarnation: chain.incarnation,
                ledger: *ledger,
                kafka_low: *kafka_low,
                kafka_high: *kafka_high,
            })))
        }
        _ => failed(Refusal::TimedOut),
    }
}
