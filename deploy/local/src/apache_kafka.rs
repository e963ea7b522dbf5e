//! Real Apache Kafka for tests: one or three combined nodes, `KRaft`, ephemeral ports, own directory.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::future::BoxFuture;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::process::Command;
use uuid::Uuid;

use crate::child::ServerProcess;
use crate::fetched;
use crate::free_port::free_ports;
use crate::unavailable::Unavailable;

/// How long a cluster may take to come up.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// How often a start is tried, each time on other ports.
const STARTS: usize = 3;

/// How many nodes a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// One, without replication.
    One,
    /// Three, with internal topics replicated over all of them.
    Three,
}

/// A running Kafka cluster; it stops when dropped, and when the process dies.
#[derive(Debug)]
pub struct ApacheKafka {
    bootstrap: String,
    nodes: Vec<RunningNode>,
}

#[derive(Debug)]
struct RunningNode {
    address: String,
    process: ServerProcess,
}

/// What a node has beside its plain listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExtraListeners {
    /// Name, security protocol and port of each.
    pub(crate) listeners: Vec<(&'static str, &'static str, u16)>,
    /// Lines for the node's properties.
    pub(crate) properties: Vec<String>,
    /// Users with SCRAM passwords, as Kafka's storage tool takes them.
    pub(crate) scram_users: Vec<String>,
    /// Names and texts of files beside the properties.
    pub(crate) files: Vec<(&'static str, String)>,
}

/// Ports of one node.
#[derive(Debug, Clone, Copy)]
struct Node {
    id: usize,
    broker_port: u16,
    controller_port: u16,
}

impl ApacheKafka {
    /// Fetches Kafka if need be, starts a fresh cluster and waits until it serves.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub fn start(nodes: Nodes) -> BoxFuture<'static, Result<Self, Unavailable>> {
        Box::pin(async move { Self::start_with(nodes, &ExtraListeners::default()).await })
    }

    pub(crate) async fn start_with(
        nodes: Nodes,
        extra: &ExtraListeners,
    ) -> Result<Self, Unavailable> {
        let jars = fetched::apache_kafka().await?;
        let mut last = Unavailable::because("never tried");
        for _ in 0..STARTS {
            match Self::start_once(&jars, nodes, extra).await {
                Ok(cluster) => return Ok(cluster),
                Err(unavailable) => last = unavailable,
            }
        }
        Err(last)
    }

    /// `bootstrap.servers` for clients.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Address of each node that runs.
    pub fn brokers(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// Kills the node at `broker`, as `kill -9` would.
    ///
    /// # Panics
    /// If no node runs there.
    pub fn kill(&mut self, broker: &str) {
        let place = self.nodes.iter().position(|node| node.address == broker);
        drop(self.nodes.remove(place.expect("a node of this cluster")));
    }

    /// Creates a topic, replicated over all nodes.
    ///
    /// # Errors
    /// The cluster's words.
    pub async fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), String> {
        let count = i32::try_from(partitions).map_err(|error| error.to_string())?;
        let replicas = i32::try_from(self.nodes.len()).map_err(|error| error.to_string())?;
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()
            .map_err(|error| error.to_string())?;
        let topic = NewTopic::new(topic, count, TopicReplication::Fixed(replicas));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let created = admin.create_topics(&[topic], &options).await;
        for result in created.map_err(|error| error.to_string())? {
            result.map_err(|(topic, code)| format!("topic `{topic}`: {code}"))?;
        }
        Ok(())
    }

    async fn start_once(
        jars: &Path,
        nodes: Nodes,
        extra: &ExtraListeners,
    ) -> Result<Self, Unavailable> {
        let nodes = plan(nodes)?;
        let cluster_id = cluster_id();
        let bootstrap: Vec<String> = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.broker_port))
            .collect();
        let mut cluster = Self {
            bootstrap: bootstrap.join(","),
            nodes: Vec::new(),
        };
        for node in &nodes {
            let directory = tempfile::Builder::new()
                .prefix("skein-kafka-")
                .tempdir()
                .map_err(|error| {
                    Unavailable::because(format!("no directory for Kafka: {error}"))
                })?;
            let properties = properties(&nodes, *node, extra);
            let files = extra.files.iter().map(|(name, text)| (*name, text));
            for (name, text) in files.chain([("node.properties", &properties)]) {
                fs::write(directory.path().join(name), text)
                    .map_err(|error| Unavailable::because(format!("Kafka's settings: {error}")))?;
            }
            format_storage(jars, directory.path(), &cluster_id, &extra.scram_users).await?;
            let command = java(jars, &["kafka.Kafka", "node.properties"]);
            let process = ServerProcess::start("apache-kafka", directory.path(), &command)
                .map_err(|error| Unavailable::because(error.to_string()))?;
            // From here on the process' shell clears the directory.
            let _cleared_elsewhere = directory.keep();
            cluster.nodes.push(RunningNode {
                address: format!("127.0.0.1:{}", node.broker_port),
                process,
            });
        }
        tokio::task::spawn_blocking(move || cluster.wait_until_ready())
            .await
            .map_err(|error| Unavailable::because(error.to_string()))?
    }

    fn wait_until_ready(mut self) -> Result<Self, Unavailable> {
        for node in &mut self.nodes {
            let started =
                |line: Option<&str>| line.is_some_and(|line| line.contains("Kafka Server started"));
            node.process
                .wait_until(READY_WITHIN, started)
                .map_err(Unavailable::because)?;
        }
        Ok(self)
    }
}

fn plan(nodes: Nodes) -> Result<Vec<Node>, Unavailable> {
    let ports: [u16; 6] = free_ports().map_err(|error| Unavailable::because(error.to_string()))?;
    let count = match nodes {
        Nodes::One => 1,
        Nodes::Three => 3,
    };
    let (pairs, _) = ports.as_chunks::<2>();
    let nodes = pairs.iter().enumerate().take(count);
    Ok(nodes
        .map(|(index, [broker_port, controller_port])| Node {
            id: index + 1,
            broker_port: *broker_port,
            controller_port: *controller_port,
        })
        .collect())
}

/// 16 random bytes in the 22 characters of unpadded base64; hexadecimal digits are a part of its
/// alphabet.
fn cluster_id() -> String {
    let digits = Uuid::new_v4().simple().to_string();
    format!("{}A", &digits[..21])
}

fn properties(nodes: &[Node], node: Node, extra: &ExtraListeners) -> String {
    let voters: Vec<String> = nodes
        .iter()
        .map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller_port))
        .collect();
    let Node {
        id,
        broker_port,
        controller_port,
    } = node;
    let replicas = nodes.len();
    let more = |shown: &dyn Fn(&(&str, &str, u16)) -> String| -> String {
        extra.listeners.iter().map(shown).collect()
    };
    let addresses = more(&|(name, _, port)| format!(",{name}://127.0.0.1:{port}"));
    let protocols = more(&|(name, protocol, _)| format!(",{name}:{protocol}"));
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        format!("node.id={id}"),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!(
            "listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}{addresses}"
        ),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{broker_port}{addresses}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!(
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}"
        ),
        "inter.broker.listener.name=PLAINTEXT".to_owned(),
        "log.dirs=log".to_owned(),
        format!("offsets.topic.replication.factor={replicas}"),
        format!("transaction.state.log.replication.factor={replicas}"),
        format!("transaction.state.log.min.isr={}", replicas.div_ceil(2)),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        "auto.create.topics.enable=false".to_owned(),
        // Tests send records with timestamps of years ago, which a retention by time would delete.
        "log.retention.ms=-1".to_owned(),
        "message.max.bytes=16777216".to_owned(),
    ];
    lines.extend(extra.properties.iter().cloned());
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").expect("a string takes any text");
        text
    })
}

async fn format_storage(
    jars: &Path,
    directory: &Path,
    cluster_id: &str,
    scram_users: &[String],
) -> Result<(), Unavailable> {
    let mut tool = vec![
        "kafka.tools.StorageTool",
        "format",
        "-t",
        cluster_id,
        "-c",
        "node.properties",
    ];
    for user in scram_users {
        tool.extend(["--add-scram", user]);
    }
    let command = java(jars, &tool);
    let (program, arguments) = command.split_first().expect("a command has a program");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(READY_WITHIN, output)
        .await
        .map_err(|_| Unavailable::because("formatting Kafka's storage took too long"))?
        .map_err(|error| Unavailable::because(format!("`java` cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).replace('\n', " | ");
    Err(Unavailable::because(format!(
        "formatting Kafka's storage failed: {said}"
    )))
}

/// Small and quick to start; the collector and compiler that fit a busy machine of two cores.
fn java(jars: &Path, arguments: &[&str]) -> Vec<String> {
    let class_path: PathBuf = jars.join("*");
    let fixed = [
        "java",
        "-Xms128m",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
    ];
    let mut command: Vec<String> = fixed.map(str::to_owned).to_vec();
    command.push(class_path.display().to_string());
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    command
}
