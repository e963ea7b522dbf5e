//! What a worker tells of where it stands: the bucket's clock first, then Kafka's ends, then the status.

use std::collections::BTreeMap;

use skein_connector::core::action::{Request, Standing};
use skein_connector::core::event::Answer;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::worker_status::{Claim, WorkerStatus};
use skein_shared::ids::Chain;
use skein_shared::offset::Offset;
use skein_shared::window::TimestampMs;

use crate::model_s3::{Ask, Refusal, Reply};
use crate::mutants::Mutation;
use crate::worker::bucket_call::{Call, Next, Tools, failed};

/// Kafka's end of each partition when it was first asked for at a position; only a bug remembers it.
#[derive(Debug, Default)]
pub(super) struct EndsSeen(BTreeMap<Chain, (Offset, Option<Offset>)>);

impl EndsSeen {
    /// What is claimed of each partition: `None` for an end that Kafka did not tell.
    pub(super) fn of(
        &mut self,
        standings: &[Standing],
        reaches: Option<&[(Offset, Offset)]>,
        tools: &Tools<'_>,
    ) -> Vec<Claim> {
        let highs = |place: usize| {
            reaches
                .and_then(|all| all.get(place))
                .map(|(_, high)| *high)
        };
        let claim = |(place, standing): (usize, &Standing)| Claim {
            chain: standing.chain.clone(),
            position: standing.position,
            log_end: highs(place),
            stopped: standing.stopped.clone(),
        };
        let mut claims: Vec<Claim> = standings.iter().enumerate().map(claim).collect();
        if tools.has(Mutation::RemembersLogEnd) {
            for claim in &mut claims {
                self.remember(claim);
            }
        }
        claims
    }

    fn remember(&mut self, claim: &mut Claim) {
        let now = (claim.position, claim.log_end);
        let before = self.0.entry(claim.chain.clone()).or_insert(now);
        if before.0 == claim.position && before.1.is_some() {
            claim.log_end = before.1;
        } else {
            *before = now;
        }
    }
}

/// What a status is to say, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Told {
    as_of: Option<TimestampMs>,
    claims: Option<Vec<Claim>>,
}

/// Begins with the clock: what is at its end after that was so at that time.
pub(super) fn begin(standings: &[Standing], tools: &Tools<'_>) -> Next {
    if tools.has(Mutation::ReadsClockLast) {
        return ask_kafka(standings);
    }
    Next::Ask(Ask::Clock)
}

/// Goes on after the bucket's answer.
pub(super) fn replied(call: &mut Call, reply: &Reply) -> Next {
    if let Reply::Clock(as_of) = reply {
        call.told.as_of = Some(*as_of);
        go_on(call)
    } else if matches!(reply, Reply::Done) {
        Next::Done(Ok(Answer::Stored))
    } else {
        failed(Refusal::Unavailable)
    }
}

/// Goes on after Kafka's answer.
pub(super) fn claims_made(call: &mut Call, claims: Vec<Claim>) -> Next {
    call.told.claims = Some(claims);
    go_on(call)
}

fn go_on(call: &Call) -> Next {
    let Request::WriteStatus {
        worker,
        standings,
        write,
    } = &call.request
    else {
        unreachable!("only statuses are told");
    };
    match (call.told.as_of, &call.told.claims) {
        (None, _) => Next::Ask(Ask::Clock),
        (Some(_), None) => ask_kafka(standings),
        (Some(as_of), Some(claims)) => {
            let status = WorkerStatus {
                worker: *worker,
                as_of,
                claims: claims.clone(),
            };
            let key = ObjectKey::Status(*worker).to_string();
            Next::Ask(Ask::Put(key, status.encode(*write), *write))
        }
    }
}

fn ask_kafka(standings: &[Standing]) -> Next {
    let chains = standings.iter().map(|standing| standing.chain.clone());
    Next::AskKafka(chains.collect())
}
