//! A Kafka-protocol broker inside the process, in memory.
//!
//! It is librdkafka's mock cluster: real sockets, so that other processes can connect, and the whole
//! protocol of producers, consumers and groups. What it is not: durable, or large. A partition keeps its
//! newest [`PARTITION_BYTES_KEPT`] bytes or [`PARTITION_BATCHES_KEPT`] record batches and *drops older
//! ones without a word*, whether or not they were consumed; whoever produces must watch that. It answers
//! no admin requests (topics come from [`EmbeddedBroker::create_topic`]), knows no offsets for times,
//! takes 3 s for a group's first join, and balances two members well with range assignment only. Each
//! start is a new cluster with a cluster id of its own, which clients see in the metadata.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rdkafka::mocking::MockCluster;

use crate::error::{Error, Result};

/// What one partition keeps; older records go silently.
pub const PARTITION_BYTES_KEPT: u64 = 5 * 1024 * 1024;

/// How many record batches one partition keeps; older ones go silently.
pub const PARTITION_BATCHES_KEPT: u64 = 100_000;

/// How long a drop waits for the cluster to go.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A running embedded broker; it stops when dropped.
pub struct EmbeddedBroker {
    bootstrap: String,
    /// Taken out when dropped, which ends the thread.
    commands: Option<SyncSender<Command>>,
    /// Disconnects when the thread has ended.
    ended: Receiver<()>,
}

struct Command {
    topic: String,
    partitions: i32,
    reply: SyncSender<std::result::Result<(), String>>,
}

impl EmbeddedBroker {
    /// Starts a cluster of one broker on an ephemeral loopback port.
    ///
    /// # Errors
    /// librdkafka or the operating system refuses.
    pub fn start() -> Result<Self> {
        let (commands, inbox) = sync_channel(1);
        let (started, start) = sync_channel(1);
        let (end, ended) = sync_channel(1);
        // The cluster's handle may not leave the thread that made it.
        thread::Builder::new()
            .name("embedded-broker".to_owned())
            .spawn(move || {
                let _held_until_the_end = end;
                serve(&started, &inbox);
            })
            .map_err(Error::start("the embedded broker", "thread"))?;
        let bootstrap = start
            .recv()
            .unwrap_or_else(|_| Err("its thread ended".to_owned()))
            .map_err(refused("start"))?;
        Ok(Self {
            bootstrap,
            commands: Some(commands),
            ended,
        })
    }

    /// `bootstrap.servers` for clients: `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic. Do it before any client names the topic: one that a client's request creates
    /// gets four partitions.
    ///
    /// # Errors
    /// The topic exists, or the number of partitions is not positive.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        if partitions == 0 {
            let reason = format!("topic `{topic}` needs at least one partition");
            return Err(refused("create topic")(reason));
        }
        let (reply, answer) = sync_channel(1);
        let command = Command {
            topic: topic.to_owned(),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            reply,
        };
        let gone = || "its thread has ended".to_owned();
        let sent = self.commands.as_ref().map(|inbox| inbox.send(command));
        if !matches!(sent, Some(Ok(()))) {
            return Err(refused("create topic")(gone()));
        }
        answer
            .recv()
            .unwrap_or_else(|_| Err(gone()))
            .map_err(refused("create topic"))
    }
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker")
            .field("bootstrap", &self.bootstrap)
            .finish_non_exhaustive()
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Either way the answer is an error: the thread never sends, it only lets go.
        if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
            self.ended.recv_timeout(STOP_WITHIN)
        {
            tracing::warn!("the embedded broker did not stop in time; its thread is left behind");
        }
    }
}

fn serve(started: &SyncSender<std::result::Result<String, String>>, inbox: &Receiver<Command>) {
    let cluster = match MockCluster::new(1) {
        Ok(cluster) => cluster,
        Err(error) => {
            let _ = started.send(Err(error.to_string()));
            return;
        }
    };
    let _ = started.send(Ok(cluster.bootstrap_servers()));
    while let Ok(command) = inbox.recv() {
        let created = cluster
            .create_topic(&command.topic, command.partitions, 1)
            .map_err(|error| error.to_string());
        let _ = command.reply.send(created);
    }
}

fn refused(operation: &'static str) -> impl FnOnce(String) -> Error {
    move |reason| Error::Broker { operation, reason }
}
