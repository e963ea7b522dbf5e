//! What a running connector is told and asked from outside, and how it answers.
//!
//! Whoever asks puts an [`Order`] into a bounded queue, and the polling thread answers it in its next turn: it
//! never waits for whoever asked.

mod ends;
mod still_watch;
mod status;
mod routes;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use skein_shared::admin_http::{Role, Vitals};
use skein_shared::bucket::RequestCounts;
use skein_shared::offset::Offset;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use ends::Ends;
pub use status::ConnectStatus;
pub use still_watch::StillWatch;

use crate::core::event::TopicPartition;
use crate::core::standing::Standing;
use crate::core::{CoreStats, RequestStats};
use crate::report::StoppedPartition;

/// Orders that may wait at once; who comes later is sent away.
const ORDERS_WAITING: usize = 64;

/// Something to be answered by the polling thread.
#[derive(Debug)]
pub enum Order {
    /// How does it stand?
    Look(oneshot::Sender<Snapshot>),
    /// Flush what was read so far; answered once that is durable.
    Flush(oneshot::Sender<FlushReceipt>),
    /// Look at these, which stand still though Kafka has more.
    LookAtStill(Vec<TopicPartition>),
    /// Read these topics from now on; answered with whether the consumer took them.
    ReadTopics(Vec<String>, oneshot::Sender<crate::Result<()>>),
}

/// How a connector stands at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Time since the start.
    pub elapsed_ms: u64,
    /// The core.
    pub standing: Standing,
    /// Counts since the start.
    pub stats: CoreStats,
    /// Partitions that a person must look at, and why.
    pub stopped: Vec<StoppedPartition>,
    /// When the last flush became durable, since the start.
    pub flushed_at_ms: Option<u64>,
    /// Requests of this process to the bucket.
    pub requests: RequestCounts,
    /// First tries, retries and hedges of the core's own requests.
    pub tries: RequestStats,
    /// Requests that may be under way at once, by the group of keys that shares a limit.
    pub upload_limits: BTreeMap<&'static str, u64>,
    /// What is read.
    pub topics: Vec<String>,
}

/// What a flush on demand made durable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FlushReceipt {
    /// Spans that were not durable when the flush was asked for, and are now.
    pub durable: Vec<FlushedSpan>,
    /// Partitions that went to another worker before: what was not durable is read again there.
    pub given_up: Vec<FlushedSpan>,
}

/// Offsets of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlushedSpan {
    /// Topic.
    pub topic: String,
    /// Partition of the topic.
    pub partition: u32,
    /// First offset.
    pub from: i64,
    /// Behind the last offset.
    pub to: i64,
}

/// The side that asks; clones ask the same connector.
#[derive(Debug, Clone)]
pub struct Operations {
    orders: Sender<Order>,
    vitals: Vitals,
    ends: Arc<Ends>,
    stop: CancellationToken,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Too many wait.
    #[error("too many orders wait: try again in a moment")]
    Busy,
    /// There is no polling thread any more, or not yet.
    #[error("the connector has ended, or ended before it could answer")]
    Ended,
}

/// Why other topics are not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// The order was not carried out.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The consumer refuses them.
    #[error(
        "the consumer does not take these topics: name each once, and write patterns that POSIX has"
    )]
    Refused(#[from] crate::Error),
}

impl Operations {
    /// Both sides.
    pub fn new(stop: CancellationToken) -> (Self, Receiver<Order>) {
        let (orders, inbox) = mpsc::channel(ORDERS_WAITING);
        let operations = Self {
            orders,
            vitals: Vitals::starting("the bucket and the brokers are being looked at"),
            ends: Arc::default(),
            stop,
        };
        (operations, inbox)
    }

    /// Looks at it.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn look(&self) -> Result<Snapshot, Unanswered> {
        self.ask(Order::Look).await
    }

    /// As [`look`](Self::look), joined with what Kafka had when it was last asked.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn status(&self) -> Result<ConnectStatus, Unanswered> {
        let snapshot = self.look().await?;
        Ok(ConnectStatus::of(
            &snapshot,
            &self.ends,
            self.vitals.reasons(),
        ))
    }

    /// Flushes, and waits until everything read before is durable, however long that takes.
    ///
    /// # Errors
    /// [`Unanswered`].
    ///
    /// # Cancel safety
    /// Safe: the flush goes on.
    pub async fn flush(&self) -> Result<FlushReceipt, Unanswered> {
        self.ask(Order::Flush).await
    }

    /// Reads other topics from now on.
    ///
    /// # Errors
    /// [`NotRead`]: what was read before is read on.
    pub async fn read_topics(&self, topics: Vec<String>) -> Result<(), NotRead> {
        let taken = self.ask(|reply| Order::ReadTopics(topics, reply)).await?;
        Ok(taken?)
    }

    /// Has partitions looked at that stand still though Kafka has more.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub(crate) fn look_at_still(&self, names: Vec<TopicPartition>) -> Result<(), Unanswered> {
        self.send(Order::LookAtStill(names))
    }

    /// Asks for the end: a last flush, a last commit, leaving the group.
    pub fn drain(&self) {
        self.stop.cancel();
    }

    /// How the polling thread is.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// Where Kafka's partitions end.
    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The role as it is served over HTTP.
    pub fn role(&self) -> Role {
        routes::role(self)
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.send(order(reply))?;
        answer.await.map_err(|_| Unanswered::Ended)
    }

    fn send(&self, order: Order) -> Result<(), Unanswered> {
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Ended,
        })
    }
}

impl FlushedSpan {
    pub(crate) fn new(name: &TopicPartition, from: Offset, to: Offset) -> Self {
        Self {
            topic: name.topic.to_string(),
            partition: name.partition.0,
            from: from.0,
            to: to.0,
        }
    }

    /// How many offsets it spans.
    pub fn offsets(&self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or(0)
    }
}
