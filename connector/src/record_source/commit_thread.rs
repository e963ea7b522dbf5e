//! Commits offsets on a thread of its own, because the client library tells how a commit ended only to a
//! caller that waits for it: its callback fires for automatic commits alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use crate::core::action::CommitNumber;
use crate::core::event::CommitOutcome;
use crate::record_source::group_context::GroupContext;

/// The thread, and the one commit that may wait for it.
#[derive(Debug)]
pub(super) struct CommitThread {
    offsets: Sender<(CommitNumber, TopicPartitionList)>,
    /// Commits without an outcome.
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl CommitThread {
    /// Starts the thread; it ends when this is dropped.
    pub(super) fn start(consumer: Arc<BaseConsumer<GroupContext>>) -> std::io::Result<Self> {
        let (offsets, waiting) = bounded(1);
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let thread = thread::Builder::new()
            .name("commit".to_owned())
            .spawn(move || commit_each(&consumer, &waiting, &counted))?;
        Ok(Self {
            offsets,
            open,
            thread,
        })
    }

    /// Hands over offsets to commit; how it ends is noted in the consumer's context.
    pub(super) fn commit(
        &self,
        number: CommitNumber,
        offsets: TopicPartitionList,
    ) -> Result<(), String> {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.offsets.try_send((number, offsets)).map_err(|_| {
            self.open.fetch_sub(1, Ordering::SeqCst);
            "the commits before it have not ended".to_owned()
        })
    }

    /// Ends the thread. One that still waits for the brokers is left behind: it ends with its request.
    pub(super) fn end(self) {
        drop(self.offsets);
        if self.open.load(Ordering::SeqCst) == 0 && self.thread.join().is_err() {
            tracing::error!("the committing thread panicked, see above");
        }
    }
}

fn commit_each(
    consumer: &BaseConsumer<GroupContext>,
    waiting: &Receiver<(CommitNumber, TopicPartitionList)>,
    open: &AtomicUsize,
) {
    for (number, offsets) in waiting {
        let outcome = match consumer.commit(&offsets, CommitMode::Sync) {
            Ok(()) => CommitOutcome::Done,
            Err(error) => CommitOutcome::Failed(error.to_string()),
        };
        open.fetch_sub(1, Ordering::SeqCst);
        consumer.context().note_commit(number, outcome);
    }
}
