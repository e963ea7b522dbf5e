//! A model of the bucket's client: one request of the core, in as many requests to the bucket as its protocol takes.
//!
//! Each try is a single one: the core decides what to send again. An unclear end is resolved by whose the object is.

mod chain_lookup;
mod uploads;

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use skein_connector::core::action::{Request, RequestId};
use skein_connector::core::event::{Answer, Failure, LedgerEnd, Remedy};
use skein_shared::ErrorKind;
use skein_shared::format::ledger_entry::{Genesis, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{Chain, WriteId};
use skein_shared::offset::Offset;
use skein_shared::promise::Promise;
use uuid::Uuid;

use crate::model_s3::{Ask, Refusal, Reply};
use crate::mutants::Mutation;
use crate::promise_check::{Violation, violation};
use crate::worker::bucket_call::uploads::Uploads;

/// What is under way.
#[derive(Debug, Default)]
pub struct BucketCalls {
    calls: BTreeMap<RequestId, Call>,
    uploads: Uploads,
    body_bytes: u64,
    tries: BTreeMap<RequestId, u32>,
}

#[derive(Debug)]
struct Call {
    request: Request,
    stage: Stage,
    small: Option<Small>,
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
    /// Kafka is asked.
    Kafka(Option<LedgerEnd>),
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Ask the bucket.
    Ask(Ask),
    /// Ask Kafka where a partition begins and ends.
    AskKafka(Chain),
    /// Wait for another call.
    Wait,
    /// It is over.
    Done(Outcome),
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
    pub fn begin(&mut self, id: RequestId, request: Request, tools: &mut Tools<'_>) -> Next {
        self.body_bytes += request.body_bytes();
        let tries = self.tries.entry(id).or_default();
        *tries += 1;
        let is_again = *tries > 1;
        let small = small_object(&request, tools.rng);
        let mut call = Call {
            request,
            stage: Stage::First,
            small,
        };
        let next = match &call.request {
            Request::LookUpChain(chain) => {
                Next::Ask(Ask::Get(ObjectKey::Genesis(chain.clone()).to_string()))
            }
            Request::PutObject { key, write, body } => {
                Next::Ask(Ask::Put(key.clone(), body.clone(), *write))
            }
            Request::UploadPart { .. } => {
                self.uploads.begin_part(id, &mut call.stage, &call.request)
            }
            Request::CompleteUpload(object) => Next::Ask(self.uploads.complete(*object)),
            Request::WriteStatus { worker, write, .. } => {
                let key = ObjectKey::Status(*worker).to_string();
                Next::Ask(Ask::Put(key, Bytes::new(), *write))
            }
            Request::CreateGenesis { .. }
            | Request::CreateFlushManifest { .. }
            | Request::AppendLedger { .. } => {
                if tools.has(Mutation::ChecksThenWrites) {
                    call.stage = Stage::Check;
                }
                let overwrites = is_again && tools.has(Mutation::OverwritesLate);
                call.create(if overwrites { Ask::Put } else { Ask::Create })
            }
        };
        self.calls.insert(id, call);
        next
    }

    /// The bucket answered.
    pub fn replied(&mut self, id: RequestId, reply: Reply, tools: &mut Tools<'_>) -> Next {
        let Some(mut call) = self.calls.remove(&id) else {
            return Next::Wait;
        };
        let next = if let Reply::Refused(refusal) = reply {
            self.refused(id, &call, refusal, tools)
        } else {
            self.went_on(id, &mut call, reply, tools)
        };
        if let Next::Done(outcome) = &next {
            self.body_bytes -= call.request.body_bytes();
            if outcome.is_ok() {
                self.tries.remove(&id);
            }
        } else {
            self.calls.insert(id, call);
        }
        next
    }

    /// Kafka answered, or did not.
    pub fn kafka_replied(&mut self, id: RequestId, reach: Option<(Offset, Offset)>) -> Next {
        let Some(call) = self.calls.remove(&id) else {
            return Next::Wait;
        };
        Next::Done(chain_lookup::answer(&call.stage, reach))
    }

    /// A part that waited for its upload and may go on.
    pub fn next_waiting(&mut self) -> Option<(RequestId, Next)> {
        loop {
            let id = self.uploads.next_ready()?;
            let Some(call) = self.calls.get_mut(&id) else {
                continue;
            };
            let next = self.uploads.begin_part(id, &mut call.stage, &call.request);
            return Some((id, next));
        }
    }

    fn refused(&mut self, id: RequestId, call: &Call, refusal: Refusal, tools: &Tools<'_>) -> Next {
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
        id: RequestId,
        call: &mut Call,
        reply: Reply,
        tools: &mut Tools<'_>,
    ) -> Next {
        match &call.request {
            Request::LookUpChain(chain) => {
                let chain = chain.clone();
                chain_lookup::replied(&mut call.stage, &chain, reply, tools)
            }
            Request::PutObject { .. } | Request::WriteStatus { .. } => {
                Next::Done(Ok(Answer::Stored))
            }
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

impl Call {
    fn created(&mut self, reply: Reply, tools: &mut Tools<'_>) -> Next {
        let meant = {
            let small = self.small.as_ref().expect("it creates a small object");
            (small.write, small.body.len())
        };
        match (self.stage, reply) {
            (Stage::Check, Reply::Meta(None)) => {
                self.stage = Stage::First;
                self.create(Ask::Put)
            }
            (Stage::First, Reply::Done) => Next::Done(Ok(self.ours())),
            (Stage::First, Reply::Precondition) if tools.has(Mutation::ReadsOwnWriteAsFenced) => {
                self.taken()
            }
            (Stage::First, Reply::Precondition) => {
                self.stage = Stage::Whose;
                Next::Ask(Ask::Head(self.key()))
            }
            (Stage::Check | Stage::Whose, Reply::Meta(Some(meta))) if meta == meant => {
                Next::Done(Ok(self.ours()))
            }
            (Stage::Check | Stage::Whose, Reply::Meta(Some(_))) => self.taken(),
            (Stage::Read, Reply::Body(Some(bytes), _)) => match LedgerEntry::decode(&bytes) {
                Ok((_, entry)) => self.taken_by(entry),
                Err(_) => failed(Refusal::Unavailable),
            },
            // Among them: the key is taken, and then there is nothing, because somebody removed it in between.
            _ => failed(Refusal::Unavailable),
        }
    }

    /// The request that writes the small object, or that looks for it first.
    fn create(&self, write: fn(String, Bytes, WriteId) -> Ask) -> Next {
        let small = self.small.clone().expect("it creates a small object");
        if self.stage == Stage::Check {
            return Next::Ask(Ask::Head(small.key));
        }
        Next::Ask(write(small.key, small.body, small.write))
    }

    fn key(&self) -> String {
        let small = self.small.as_ref().expect("it creates a small object");
        small.key.clone()
    }

    fn taken(&mut self) -> Next {
        if matches!(self.request, Request::AppendLedger { .. }) {
            self.stage = Stage::Read;
            return Next::Ask(Ask::Get(self.key()));
        }
        Next::Done(Ok(Answer::Taken))
    }

    /// Another's entry. That it is never the own one is SK-4: who is not fenced must not believe to be.
    fn taken_by(&self, standing: LedgerEntry) -> Next {
        if let Request::AppendLedger { entry, .. } = &self.request
            && **entry == standing
        {
            let words = format!("{} {} is the worker's own", entry.chain, entry.span);
            let words = format!("{words}, and was read as another's");
            return Next::Broken(violation(Promise::Fenced, words));
        }
        Next::Done(Ok(Answer::AppendTaken(Box::new(standing))))
    }

    fn ours(&self) -> Answer {
        if matches!(self.request, Request::AppendLedger { .. }) {
            return Answer::Appended;
        }
        Answer::Ours
    }
}

/// What a request creates if it is absent.
fn small_object(request: &Request, rng: &mut Rng) -> Option<Small> {
    let (key, body, write) = match request {
        Request::CreateGenesis {
            chain,
            start,
            policy,
        } => {
            let genesis = Genesis {
                chain: chain.clone(),
                start: *start,
                policy: *policy,
            };
            let write = WriteId(Uuid::from_u128(rng.u128(..)));
            let key = ObjectKey::Genesis(chain.clone());
            (key, genesis.encode(write), write)
        }
        Request::CreateFlushManifest { manifest, write } => {
            let key = ObjectKey::Flush(manifest.flush);
            (key, manifest.encode(*write), *write)
        }
        Request::AppendLedger { entry, write } => {
            let key = ObjectKey::LedgerEntry {
                chain: entry.chain.clone(),
                from: entry.span.from,
            };
            (key, entry.encode(*write), *write)
        }
        Request::LookUpChain(_)
        | Request::PutObject { .. }
        | Request::UploadPart { .. }
        | Request::CompleteUpload(_)
        | Request::WriteStatus { .. } => return None,
    };
    Some(Small {
        key: key.to_string(),
        body,
        write,
    })
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
