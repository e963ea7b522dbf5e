//! Carries out the core's requests, many at once and each once, and says what became of each.

mod remedy;

use std::collections::HashMap;
use std::sync::Arc;

use skein_shared::bucket::{Bucket, Created};
use skein_shared::error::BucketCause;
use skein_shared::format::flush_manifest::FlushManifest;
use skein_shared::format::ledger_entry::{Genesis, LedgerEntry};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::worker_status::{Claim, WorkerStatus};
use skein_shared::ids::{Chain, WorkerId, WriteId};
use skein_shared::ledger::{Appended, Ledger};
use skein_shared::status_log;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::bucket_request::remedy::{failure_of, remedy_of, remedy_of_question};
use crate::chain_lookup::ChainLookup;
use crate::core::action::{Request, RequestId, Standing};
use crate::core::event::{Answer, Failure, Remedy};
use crate::error::{Error, Result};
use crate::hold_point::{HoldPoint, Holding};
use crate::multipart_upload::{Part, Uploads};

/// Requests under way on the asynchronous runtime.
#[derive(Debug)]
pub struct BucketRequests {
    runtime: Handle,
    services: Arc<Services>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    outbox: Sender<(RequestId, Outcome)>,
    outcomes: Receiver<(RequestId, Outcome)>,
    under_way: HashMap<RequestId, Tries>,
}

/// The tries of one request that have not come back.
#[derive(Debug)]
struct Tries {
    left: u32,
    cancel: CancellationToken,
}

/// What became of a request.
pub type Outcome = std::result::Result<Answer, Failure>;

/// What requests are carried out with.
#[derive(Debug)]
pub struct Services {
    /// Tries every request once: the core sends again what failed.
    bucket: Bucket,
    /// Writes through the same.
    ledger: Ledger,
    /// Reads with retries: a search of many steps is not begun anew because one of them failed.
    chains: Ledger,
    lookup: ChainLookup,
    uploads: Uploads,
    holding: Arc<Holding>,
}

impl Services {
    /// Everything that requests need.
    pub fn new(bucket: &Bucket, lookup: ChainLookup, holding: Arc<Holding>) -> Self {
        let once = bucket.single_attempts();
        Self {
            ledger: Ledger::new(once.clone()),
            chains: Ledger::new(bucket.clone()),
            lookup,
            uploads: Uploads::new(once.clone()),
            holding,
            bucket: once,
        }
    }

    async fn carry_out(&self, request: Request) -> Result<Answer> {
        match request {
            Request::LookUpChain(chain) => {
                let view = self.lookup.look_up(&self.chains, &chain).await?;
                Ok(Answer::Chain(view))
            }
            Request::CreateGenesis {
                chain,
                start,
                policy,
            } => {
                let genesis = Genesis {
                    chain,
                    start,
                    policy,
                };
                self.create_genesis(&genesis).await
            }
            Request::PutObject { key, write, body } => {
                self.bucket.put(&key, body, write).await?;
                self.holding.pass(HoldPoint::ObjectDone).await;
                Ok(Answer::Stored)
            }
            Request::UploadPart {
                object,
                key,
                write,
                part: number,
                body,
            } => {
                let part = Part {
                    object,
                    key,
                    write,
                    number,
                    body,
                };
                let uploaded = self.uploads.upload(part).await;
                self.holding.pass(HoldPoint::PartDone).await;
                stored_unless_gone(uploaded)
            }
            Request::CompleteUpload(object) => {
                let completed = self.uploads.complete(object).await;
                self.holding.pass(HoldPoint::ObjectDone).await;
                stored_unless_gone(completed)
            }
            Request::CreateFlushManifest { manifest, write } => {
                self.create_manifest(&manifest, write).await
            }
            Request::AppendLedger { entry, write } => self.append_ledger(&entry, write).await,
            Request::WriteStatus {
                worker,
                standings,
                write,
            } => self.write_status(worker, standings, write).await,
        }
    }

    /// The clock is read before the ends are asked for, so that what is at its end was so at that time.
    async fn write_status(
        &self,
        worker: WorkerId,
        standings: Vec<Standing>,
        write: WriteId,
    ) -> Result<Answer> {
        let as_of = self.bucket.now().await?;
        let chains: Vec<Chain> = standings.iter().map(|one| one.chain.clone()).collect();
        let ends = self.lookup.ends(&chains).await?;
        let claims = standings.into_iter().map(|standing| Claim {
            log_end: ends.get(&standing.chain).copied(),
            chain: standing.chain,
            position: standing.position,
            stopped: standing.stopped,
        });
        let status = WorkerStatus {
            worker,
            as_of,
            claims: claims.collect(),
        };
        status_log::write(&self.bucket, &status, write).await?;
        Ok(Answer::Stored)
    }

    async fn create_manifest(&self, manifest: &FlushManifest, write: WriteId) -> Result<Answer> {
        let key = ObjectKey::Flush(manifest.flush).to_string();
        let body = manifest.encode(write);
        let created = self.bucket.create(&key, body, write).await?;
        self.holding.pass(HoldPoint::FlushManifest).await;
        Ok(match created {
            Created::Ours => Answer::Ours,
            Created::Taken => Answer::Taken,
        })
    }

    async fn create_genesis(&self, genesis: &Genesis) -> Result<Answer> {
        let standing = self.ledger.create_genesis(genesis).await?;
        Ok(if standing == *genesis {
            Answer::Ours
        } else {
            Answer::Taken
        })
    }

    async fn append_ledger(&self, entry: &LedgerEntry, write: WriteId) -> Result<Answer> {
        self.holding.pass_append().await;
        let appended = self.ledger.append(entry, write).await?;
        self.holding.pass(HoldPoint::LedgerSome).await;
        Ok(match appended {
            Appended::Ours => Answer::Appended,
            Appended::Taken(other) => Answer::AppendTaken(Box::new(other)),
        })
    }
}

impl BucketRequests {
    /// Nothing under way yet.
    pub fn new(runtime: Handle, services: Services) -> Self {
        // A task that finds it full waits; the poll loop never does.
        let (outbox, outcomes) = channel(1024);
        Self {
            runtime,
            services: Arc::new(services),
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
            outbox,
            outcomes,
            under_way: HashMap::new(),
        }
    }

    /// Begins a request. Never waits: the core bounds how many there are.
    pub fn send(&mut self, id: RequestId, request: Request) {
        let cancel = self.cancel.child_token();
        let tries = Tries {
            left: 1,
            cancel: cancel.clone(),
        };
        self.under_way.insert(id, tries);
        self.start(id, request, cancel);
    }

    /// Begins a second try of a request, unless its outcome is there already.
    pub fn hedge(&mut self, id: RequestId, request: Request) {
        if let Some(tries) = self.under_way.get_mut(&id) {
            tries.left += 1;
            let cancel = tries.cancel.clone();
            self.start(id, request, cancel);
        }
    }

    fn start(&self, id: RequestId, request: Request, cancel: CancellationToken) {
        let (services, outbox) = (Arc::clone(&self.services), self.outbox.clone());
        let step = request.step();
        let judge: fn(&Error) -> Remedy = if request.is_about_one_partition() {
            remedy_of_question
        } else {
            remedy_of
        };
        let span = tracing::debug_span!("request", step);
        let task = async move {
            let outcome = tokio::select! {
                outcome = services.carry_out(request) => outcome,
                () = cancel.cancelled() => return,
            };
            let outcome = outcome.map_err(|error| failure_of(step, judge(&error), &error));
            // The receiver is gone only when the pipeline has ended.
            let _ = outbox.send((id, outcome)).await;
        };
        self.tasks.spawn_on(task.instrument(span), &self.runtime);
    }

    /// What became of the next request that came to its end, if one did.
    pub fn try_next(&mut self) -> Option<(RequestId, Outcome)> {
        loop {
            let (id, outcome) = self.outcomes.try_recv().ok()?;
            if self.is_the_end(id, &outcome) {
                return Some((id, outcome));
            }
        }
    }

    /// Whether a try's outcome is that of its request: the first answer is, and it ends the other try; a
    /// failure is if no other try can still be answered.
    fn is_the_end(&mut self, id: RequestId, outcome: &Outcome) -> bool {
        let Some(tries) = self.under_way.get_mut(&id) else {
            return false;
        };
        tries.left -= 1;
        if outcome.is_err() && tries.left > 0 {
            return false;
        }
        tries.cancel.cancel();
        self.under_way.remove(&id);
        true
    }

    /// Ends every request that is under way and drops uploads that will never be completed.
    pub async fn end(self) {
        self.cancel.cancel();
        self.tasks.close();
        drop(self.outcomes);
        self.tasks.wait().await;
        self.services.uploads.abort_all().await;
    }
}

/// That an upload is gone is an answer, not a failure: sending it again cannot help, and nothing is wrong.
fn stored_unless_gone(outcome: skein_shared::Result<()>) -> Result<Answer> {
    match outcome {
        Ok(()) => Ok(Answer::Stored),
        Err(skein_shared::Error::Bucket {
            cause: BucketCause::UploadGone,
            ..
        }) => Ok(Answer::UploadGone),
        Err(error) => Err(error.into()),
    }
}
