//! Where a partition stands: the ledger's end in the bucket, low and high watermark in Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_config::kafka::KafkaSettings;
use skein_config::kafka::lookup_client::LookupClient;
use skein_shared::ErrorKind;
use skein_shared::ids::{Chain, Incarnation};
use skein_shared::ledger::{ChainEnd, Ledger};
use skein_shared::offset::Offset;

use crate::core::event::{ChainView, LedgerEnd};
use crate::error::{Error, Result};

/// Tells where partitions begin and end. It may take as long as it likes to answer.
pub trait PartitionEnds: Send + Sync {
    /// The lowest offset that a partition has, and the one behind its highest.
    ///
    /// # Errors
    /// Why it is not told.
    fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)>;

    /// For each partition the offset behind its newest record, if that is told.
    ///
    /// # Errors
    /// Why nothing is told.
    fn ends(&self, partitions: &[(String, i32)]) -> Result<Vec<Option<i64>>>;
}

impl PartitionEnds for LookupClient {
    fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        Ok(Self::watermarks(self, topic, partition)?)
    }

    fn ends(&self, partitions: &[(String, i32)]) -> Result<Vec<Option<i64>>> {
        Ok(Self::ends(self, partitions)?)
    }
}

/// Asks Kafka and the bucket. Its client is no member of any group, so it may wait as long as it likes.
#[derive(Clone)]
pub struct ChainLookup {
    ends: Arc<dyn PartitionEnds>,
    brokers: String,
}

impl ChainLookup {
    /// Connects.
    ///
    /// # Errors
    /// `Invalid` when librdkafka refuses a setting.
    pub fn connect(kafka: &KafkaSettings) -> Result<Self> {
        let client = kafka.lookup_client()?;
        Ok(Self::new(Arc::new(client), &kafka.brokers))
    }

    /// Asks `ends`, which stands for the cluster at `brokers`.
    pub fn new(ends: Arc<dyn PartitionEnds>, brokers: &str) -> Self {
        Self {
            ends,
            brokers: brokers.to_owned(),
        }
    }

    /// Looks a chain up.
    ///
    /// # Errors
    /// What the bucket or Kafka says; `Corrupt` when the ledger cannot be read.
    pub async fn look_up(&self, ledger: &Ledger, chain: &Chain) -> Result<ChainView> {
        // The ledger first: its end cannot lie beyond what Kafka has a moment later.
        let (chain, end) = newest_chain(ledger, chain).await?;
        let (kafka_low, kafka_high) = self.watermarks(&chain).await?;
        Ok(ChainView {
            incarnation: chain.incarnation,
            ledger: end.map(|end| LedgerEnd {
                offset: end.offset,
                last: end.last.and_then(|entry| entry.last),
            }),
            kafka_low,
            kafka_high,
        })
    }

    /// The offsets behind the newest records of many partitions: one question to each broker. Partitions of
    /// which Kafka does not tell are left out.
    ///
    /// # Errors
    /// What Kafka says.
    pub async fn ends(&self, chains: &[Chain]) -> Result<BTreeMap<Chain, Offset>> {
        let place = |chain: &Chain| {
            let topic = chain.topic.as_str().to_owned();
            (topic, chain.partition.0.cast_signed())
        };
        let asked: Vec<(String, i32)> = chains.iter().map(place).collect();
        let client = Arc::clone(&self.ends);
        let answered = tokio::task::spawn_blocking(move || client.ends(&asked)).await;
        let ends = answered.map_err(|error| Error::Kafka {
            operation: "fetch ends",
            brokers: self.brokers.clone(),
            reason: error.to_string(),
            kind: ErrorKind::Transient,
        })??;
        let told = chains.iter().zip(ends);
        let told = told.filter_map(|(chain, end)| Some((chain.clone(), Offset(end?))));
        Ok(told.collect())
    }

    async fn watermarks(&self, chain: &Chain) -> Result<(Offset, Offset)> {
        let client = Arc::clone(&self.ends);
        let (topic, partition) = (
            chain.topic.as_str().to_owned(),
            chain.partition.0.cast_signed(),
        );
        let asked = tokio::task::spawn_blocking(move || client.watermarks(&topic, partition));
        let failed = |reason: String| Error::Kafka {
            operation: "fetch watermarks",
            brokers: self.brokers.clone(),
            reason: format!("{chain}: {reason}"),
            kind: ErrorKind::Transient,
        };
        let answered = asked.await.map_err(|error| failed(error.to_string()))?;
        let (low, high) = answered?;
        Ok((Offset(low), Offset(high)))
    }
}

/// The newest life of the topic that has a chain, from the given one on, and where that ends.
async fn newest_chain(ledger: &Ledger, from: &Chain) -> Result<(Chain, Option<ChainEnd>)> {
    let mut chain = from.clone();
    loop {
        let next = Chain {
            incarnation: Incarnation(chain.incarnation.0 + 1),
            ..chain.clone()
        };
        let (end, next_genesis) =
            futures::try_join!(ledger.end(&chain, None), ledger.genesis(&next))?;
        if next_genesis.is_none() {
            return Ok((chain, end));
        }
        chain = next;
    }
}

impl std::fmt::Debug for ChainLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainLookup")
            .field("brokers", &self.brokers)
            .finish_non_exhaustive()
    }
}
