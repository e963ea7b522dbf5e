//! Small objects that are created if they are absent, and whose they are when they are not.

use bytes::Bytes;
use fastrand::Rng;
use skein_connector::core::action::Request;
use skein_connector::core::event::Answer;
use skein_shared::format::ledger_entry::{Genesis, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::WriteId;
use skein_shared::promise::Promise;
use uuid::Uuid;

use crate::model_s3::{Ask, Refusal, Reply};
use crate::mutants::Mutation;
use crate::promise_check::violation;
use crate::worker::bucket_call::{Call, Next, Small, Stage, Tools, failed};

impl Call {
    pub(super) fn created(&mut self, reply: Reply, tools: &mut Tools<'_>) -> Next {
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
                Ok((write, entry)) => self.taken_by(write, entry),
                Err(_) => failed(Refusal::Unavailable),
            },
            // Among them: the key is taken, and then there is nothing, because somebody removed it in between.
            _ => failed(Refusal::Unavailable),
        }
    }

    /// The request that writes the small object, or that looks for it first.
    pub(super) fn create(&self, write: fn(String, Bytes, WriteId) -> Ask) -> Next {
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

    /// Another's entry. That it is never the own one is SK-4: who is not fenced must not believe to be. Two workers may
    /// write the same of a span that both found lost, so it is the write that tells.
    fn taken_by(&self, write: WriteId, standing: LedgerEntry) -> Next {
        if self.small.as_ref().is_some_and(|own| own.write == write) {
            let words = format!("{} {} is the worker's own", standing.chain, standing.span);
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
pub(super) fn small_object(request: &Request, rng: &mut Rng) -> Option<Small> {
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
