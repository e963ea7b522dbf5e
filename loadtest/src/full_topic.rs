//! Apache Kafka and `SeaweedFS` with one topic full of generated records, for what is measured on them.

use std::path::Path;

use skein_config::Settings;
use skein_config::load::{Layers, load};
use skein_local::apache_kafka::Nodes;
use skein_local::dev_stack::DevStackOptions;
use skein_local::real_stack::RealStack;
use skein_shared::ids::TopicName;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::generator::{Generator, GeneratorSettings};
use crate::producer::{ProduceOptions, ProduceReport, produce_generated};

/// The topic.
pub(crate) const TOPIC: &str = "load";
/// Enough orgs to hit all of 64 shared shards.
pub(crate) const ORGS: u32 = 80;
const PARTITIONS: u32 = 32;

/// The servers, which stop when this is dropped, and what was sent.
#[derive(Debug)]
pub(crate) struct FullTopic {
    pub(crate) stack: RealStack,
    pub(crate) settings: Settings,
    pub(crate) sent: ProduceReport,
}

impl FullTopic {
    /// Starts the servers and sends the records. `progress` is told what is being done.
    ///
    /// # Errors
    /// The servers cannot be had, or do not take the records.
    pub(crate) async fn make(
        points: GeneratorSettings,
        directory: &Path,
        progress: fn(&str),
    ) -> Result<Self> {
        progress("starting Apache Kafka and SeaweedFS");
        let topic = TopicName::new(TOPIC).expect("a word is a topic's name");
        let options = DevStackOptions {
            topics: vec![topic.clone()],
            partitions: PARTITIONS,
            ..DevStackOptions::new(directory.to_path_buf())
        };
        let stack = RealStack::start(&options, Nodes::One).await?;
        let settings = load(&Layers {
            file: Some(stack.config_file().to_path_buf()),
            ..Layers::default()
        })?;
        progress("sending the records");
        let generator = Generator::new(points)?;
        let kafka = settings.kafka.clone();
        let sending = move || {
            let options = ProduceOptions {
                kafka: &kafka,
                topic,
                partitions: None,
                backlog: None,
                cancel: CancellationToken::new(),
                progress: |_| {},
            };
            produce_generated(options, &generator)
        };
        let sent = tokio::task::spawn_blocking(sending).await;
        let sent = sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        Ok(Self {
            stack,
            settings,
            sent,
        })
    }
}
