//! Threads that compress blocks, so that neither polling nor the network ever waits for the CPU.

use std::collections::VecDeque;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use skein_shared::format::block::{BlockBuffer, EncodedBlock, SyncMarker};

use crate::core::action::ObjectNumber;
use crate::error::{Error, Result};

/// A block to be compressed.
#[derive(Debug)]
pub struct Job {
    /// Of which object.
    pub object: ObjectNumber,
    /// The frames.
    pub block: BlockBuffer,
    /// The object's marker.
    pub marker: SyncMarker,
}

/// The threads and the blocks on their way to and from them.
#[derive(Debug)]
pub struct BlockCompressor {
    jobs: Option<Sender<Job>>,
    done: Receiver<(ObjectNumber, EncodedBlock)>,
    /// Blocks that no thread was free for. The memory budget bounds them, so that adding one never waits.
    waiting: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    under_way: usize,
}

impl BlockCompressor {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(threads: u32) -> Result<Self> {
        let count = threads as usize;
        let (jobs, inbox) = bounded::<Job>(count * 2);
        let (outbox, done) = bounded(count * 2);
        let start = |number: usize| {
            let (inbox, outbox) = (inbox.clone(), outbox.clone());
            thread::Builder::new()
                .name(format!("compress-{number}"))
                .spawn(move || compress(&inbox, &outbox))
                .map_err(|error| Error::Ended {
                    what: "a compression thread",
                    reason: error.to_string(),
                })
        };
        Ok(Self {
            jobs: Some(jobs),
            done,
            waiting: VecDeque::new(),
            threads: (0..count).map(start).collect::<Result<_>>()?,
            under_way: 0,
        })
    }

    /// Hands a block over. Never waits.
    pub fn push(&mut self, job: Job) {
        self.under_way += 1;
        self.waiting.push_back(job);
        self.hand_out();
    }

    /// The next compressed block, if one is there.
    pub fn try_next(&mut self) -> Option<(ObjectNumber, EncodedBlock)> {
        let done = self.done.try_recv().ok();
        self.under_way -= usize::from(done.is_some());
        self.hand_out();
        done
    }

    /// Whether every thread still runs.
    ///
    /// # Errors
    /// A thread has ended before its time: its block never comes back.
    pub fn check(&self) -> Result<()> {
        if self.threads.iter().any(JoinHandle::is_finished) {
            return Err(Error::Ended {
                what: "a compression thread",
                reason: "it panicked, see the log".to_owned(),
            });
        }
        Ok(())
    }

    /// Blocks that have not come back.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    fn hand_out(&mut self) {
        let Some(jobs) = &self.jobs else {
            return;
        };
        while let Some(job) = self.waiting.pop_front() {
            match jobs.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => {
                    self.waiting.push_front(job);
                    return;
                }
                // Every thread has ended, which only a panic can do; see `check`.
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

impl Drop for BlockCompressor {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // A thread that waits for room for its block goes on when there is some.
        while self.done.recv().is_ok() {}
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a compression thread panicked");
            }
        }
    }
}

fn compress(inbox: &Receiver<Job>, outbox: &Sender<(ObjectNumber, EncodedBlock)>) {
    while let Ok(job) = inbox.recv() {
        let encoded = job.block.encode(&job.marker);
        if outbox.send((job.object, encoded)).is_err() {
            return;
        }
    }
}
