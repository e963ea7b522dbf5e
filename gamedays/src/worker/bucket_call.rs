//! A model of the bucket's client: one request of the core, in as many requests to the bucket as its protocol takes.
//!
//! Each try is a single one: the core decides what to send again, and what to send twice at the same time. An unclear
//! end is resolved by whose the object is.

mod creation;
mod chain_lookup;
mod status_write;
mod uploads;

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use skein_connector::core::action::{Request, RequestId};
use skein_connector::core::event::{Answer, Failure, LedgerEnd, Remedy};
use skein_shared::ErrorKind;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{Chain, WriteId};
use skein_shared::offset::Offset;

use crate::model_s3::{Ask, Refusal, Reply};
use crate::mutants::Mutation;
use crate::promise_check::Violation;
use crate::worker::bucket_call::status_write::{EndsSeen, Told};
use crate::worker::bucket_call::uploads::Uploads;

/// What is under way.
#[derive(Debug, Default)]
pub struct BucketCalls {
    calls: BTreeMap<CallId, Call>,
    calls_made: u64,
    under_way: BTreeMap<RequestId, Tries>,
    /// How often each request was sent.
    sent: BTreeMap<RequestId, u32>,
    uploads: Uploads,
    ends_seen: EndsSeen,
    body_bytes: u64,
}

/// One try of a request; never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u64);

/// The tries of one request that have not come back.
#[derive(Debug, Default)]
struct Tries {
    calls: Vec<CallId>,
    body_bytes: u64,
}

#[derive(Debug)]
struct Call {
    id: RequestId,
    request: Request,
    stage: Stage,
    small: Option<Small>,
    told: Told,
}

/// A small object that is created if it is absent.
#[derive(Debug, Clone)]
struct Small {
    key: String,
    body: Bytes,
    write: WriteId,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Its first request is under way.
    First,
    /// A later life of the topic is looked for; where the chain of this one begins.
    NextLife(Offset),
    /// An upload is begun for it, or for another part of its object.
    Upload,
    /// A check comes before the write, which is a bug.
    Check,
    /// Whose is what is there?
    Whose,
    /// What is there?
    Read,
    /// The chain's last entry is looked for.
    LastKey(Offset),
    /// The last entry is read.
    LastEntry,
    /// Kafka is asked where a partition begins and ends.
    Kafka(Option<LedgerEnd>),
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Ask the bucket.
    Ask(Ask),
    /// Ask Kafka where partitions begin and end.
    AskKafka(Vec<Chain>),
    /// Wait for another call.
    Wait,
    /// This try is over.
    Done(Outcome),
    /// Its request is over.
    Ended(RequestId, Outcome),
    /// The worker was told what is not true.
    Broken(Violation),
}

/// How a request ended.
pub type Outcome = Result<Answer, Failure>;

/// What a call works with.
#[derive(Debug)]
pub struct Tools<'a> {
    /// For ids.
    pub rng: &'a mut Rng,
    /// The bug in this world.
    pub mutation: Option<Mutation>,
}

impl Tools<'_> {
    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

impl BucketCalls {
    /// Bytes of object data in requests under way.
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Uploads that were begun and not completed.
    pub fn open_uploads(&self) -> Vec<crate::model_s3::UploadId> {
        self.uploads.open()
    }

    /// Begins a request.
    pub fn begin(
        &mut self,
        id: RequestId,
        request: Request,
        tools: &mut Tools<'_>,
    ) -> (CallId, Next) {
        let tries = Tries {
            calls: Vec::new(),
            body_bytes: request.body_bytes(),
        };
        self.body_bytes += tries.body_bytes;
        self.under_way.insert(id, tries);
        *self.sent.entry(id).or_default() += 1;
        self.start(id, request, tools)
    }

    /// Begins a second try of a request, unless its outcome is there already.
    pub fn hedge(
        &mut self,
        id: RequestId,
        request: Request,
        tools: &mut Tools<'_>,
    ) -> Option<(CallId, Next)> {
        self.under_way.contains_key(&id).then_some(())?;
        Some(self.start(id, request, tools))
    }

    fn start(&mut self, id: RequestId, request: Request, tools: &mut Tools<'_>) -> (CallId, Next) {
        self.calls_made += 1;
        let call_id = CallId(self.calls_made);
        let small = creation::small_object(&request, tools.rng);
        let mut call = Call {
            id,
            request,
            stage: Stage::First,
            small,
            told: Told::default(),
        };
        let next = match &call.request {
            Request::LookUpChain(chain) => {
                Next::Ask(Ask::Get(ObjectKey::Genesis(chain.clone()).to_string()))
            }
            Request::PutObject { key, write, body } => {
                Next::Ask(Ask::Put(key.clone(), body.clone(), *write))
            }
            Request::UploadPart { .. } => {
                self.uploads
                    .begin_part(call_id, &mut call.stage, &call.request)
            }
            Request::CompleteUpload(object) => Next::Ask(self.uploads.complete(*object)),
            Request::WriteStatus { standings, .. } => status_write::begin(standings, tools),
            Request::CreateGenesis { .. }
            | Request::CreateFlushManifest { .. }
            | Request::AppendLedger { .. } => {
                if tools.has(Mutation::ChecksThenWrites) {
                    call.stage = Stage::Check;
                }
                let overwrites = self.sent[&id] > 1 && tools.has(Mutation::OverwritesLate);
                call.create(if overwrites { Ask::Put } else { Ask::Create })
            }
        };
        self.calls.insert(call_id, call);
        if let Some(tries) = self.under_way.get_mut(&id) {
            tries.calls.push(call_id);
        }
        (call_id, next)
    }

    /// The bucket answered.
    pub fn replied(&mut self, id: CallId, reply: Reply, tools: &mut Tools<'_>) -> Next {
        let Some(mut call) = self.calls.remove(&id) else {
            return Next::Wait;
        };
        let next = if let Reply::Refused(refusal) = reply {
            self.refused(id, &call, refusal, tools)
        } else {
            self.went_on(id, &mut call, reply, tools)
        };
        self.go_on(id, call, next)
    }

    /// Kafka answered where the partitions begin and end, or did not.
    pub fn kafka_replied(
        &mut self,
        id: CallId,
        reaches: Option<&[(Offset, Offset)]>,
        tools: &mut Tools<'_>,
    ) -> Next {
        let Some(mut call) = self.calls.remove(&id) else {
            return Next::Wait;
        };
        let next = match &call.request {
            // The ends that it does not tell may be left out.
            Request::WriteStatus { .. } if reaches.is_none() && tools.rng.bool() => {
                failed(Refusal::TimedOut)
            }
            Request::WriteStatus { standings, .. } => {
                let claims = self.ends_seen.of(standings, reaches, tools);
                status_write::claims_made(&mut call, claims)
            }
            Request::LookUpChain(chain) => chain_lookup::answer(&call.stage, chain, reaches),
            Request::CreateGenesis { .. }
            | Request::PutObject { .. }
            | Request::UploadPart { .. }
            | Request::CompleteUpload(_)
            | Request::CreateFlushManifest { .. }
            | Request::AppendLedger { .. } => unreachable!("only these two ask Kafka"),
        };
        self.go_on(id, call, next)
    }

    /// A part that waited for its upload and may go on.
    pub fn next_waiting(&mut self) -> Option<(CallId, Next)> {
        loop {
            let id = self.uploads.next_ready()?;
            let Some(call) = self.calls.get_mut(&id) else {
                continue;
            };
            let next = self.uploads.begin_part(id, &mut call.stage, &call.request);
            return Some((id, next));
        }
    }

    /// Keeps a try that goes on. One that is over ends its request if it was answered, or if no other try can be.
    fn go_on(&mut self, id: CallId, call: Call, next: Next) -> Next {
        let Next::Done(outcome) = next else {
            self.calls.insert(id, call);
            return next;
        };
        let Some(tries) = self.under_way.get_mut(&call.id) else {
            return Next::Wait;
        };
        tries.calls.retain(|other| *other != id);
        if outcome.is_err() && !tries.calls.is_empty() {
            return Next::Wait;
        }
        let tries = self.under_way.remove(&call.id).unwrap_or_default();
        for other in tries.calls {
            self.drop_call(other);
        }
        self.body_bytes -= tries.body_bytes;
        if outcome.is_ok() {
            self.sent.remove(&call.id);
        }
        Next::Ended(call.id, outcome)
    }

    fn drop_call(&mut self, id: CallId) {
        let call = self.calls.remove(&id);
        if let Some(Request::UploadPart { object, .. }) = call.map(|call| call.request) {
            self.uploads.start_failed(object, id);
        }
    }

    fn refused(&mut self, id: CallId, call: &Call, refusal: Refusal, tools: &Tools<'_>) -> Next {
        if let Request::UploadPart { object, .. } = &call.request
            && call.stage == Stage::Upload
        {
            self.uploads.start_failed(*object, id);
        }
        let is_completion = matches!(call.request, Request::CompleteUpload(_));
        let swallows = tools.has(Mutation::SwallowsThrottledComplete);
        if is_completion && refusal == Refusal::Throttled && swallows {
            return Next::Done(Ok(Answer::Stored));
        }
        failed(refusal)
    }

    fn went_on(
        &mut self,
        id: CallId,
        call: &mut Call,
        reply: Reply,
        tools: &mut Tools<'_>,
    ) -> Next {
        match &call.request {
            Request::LookUpChain(_) => chain_lookup::replied(call, reply, tools),
            Request::PutObject { .. } => Next::Done(Ok(Answer::Stored)),
            Request::WriteStatus { .. } => status_write::replied(call, &reply),
            Request::UploadPart { object, .. } => {
                if let Reply::Upload(upload) = reply {
                    self.uploads.started(*object, upload);
                    return self.uploads.begin_part(id, &mut call.stage, &call.request);
                }
                if matches!(reply, Reply::NoSuchUpload) {
                    return gone();
                }
                self.uploads.part_stored(&call.request);
                Next::Done(Ok(Answer::Stored))
            }
            Request::CompleteUpload(object) => {
                let trusts = tools.has(Mutation::TakesMissingUploadForSuccess);
                if matches!(reply, Reply::NoSuchUpload) && !trusts {
                    call.stage = Stage::Whose;
                    return Next::Ask(Ask::Head(self.uploads.key_of(*object).to_owned()));
                }
                if let Reply::Meta(meta) = reply
                    && meta != Some(self.uploads.expected(*object))
                {
                    return gone();
                }
                self.uploads.completed(*object);
                Next::Done(Ok(Answer::Stored))
            }
            Request::CreateGenesis { .. }
            | Request::CreateFlushManifest { .. }
            | Request::AppendLedger { .. } => call.created(reply, tools),
        }
    }
}

fn gone() -> Next {
    Next::Done(Ok(Answer::UploadGone))
}

fn failed(refusal: Refusal) -> Next {
    let (remedy, reason) = match refusal {
        Refusal::Throttled => (Remedy::SlowDown, "SlowDown"),
        Refusal::Unavailable => (Remedy::Again, "InternalError"),
        Refusal::TimedOut => (Remedy::Again, "no answer in time"),
        Refusal::Denied => (Remedy::AgainAndAlert, "AccessDenied"),
        Refusal::Invalid => (Remedy::GiveUp(ErrorKind::Invalid), "InvalidRequest"),
    };
    Next::Done(Err(Failure {
        remedy,
        reason: reason.to_owned(),
    }))
}
