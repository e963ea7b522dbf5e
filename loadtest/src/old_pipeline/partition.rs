//! One consumer of one partition: reads on from where the progress ends, and flushes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use skein_config::kafka::login::Login;
use skein_config::kafka::{FetchShare, KafkaSettings};
use skein_connector::record_source::kafka::record_of;
use skein_shared::format::frame::{HeaderBuffer, RecordRef};
use skein_shared::format::old_progress::OldProgress;
use skein_shared::format::order_column::{ChainIndex, Order};
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, ORG_HEADER, PayloadView, Refusal, UNREADABLE_HEADERS};
use skein_shared::units::ByteCount;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::old_pipeline::Until;
use crate::old_pipeline::flush::FileWriter;
use crate::old_pipeline::metric_buffers::MetricBuffers;
use crate::old_pipeline::report::Tally;

const POLL: Duration = Duration::from_millis(100);

/// What the consumers of all partitions share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) kafka: KafkaSettings,
    pub(super) limits: Limits,
    pub(super) writer: FileWriter,
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
    pub(super) tally: Tally,
    pub(super) until: Until,
    /// Time between two flushes.
    pub(super) every: Duration,
    /// What each consumer may hold of records that it has not taken yet.
    pub(super) queue: ByteCount,
    /// What each partition may hold of points; beyond it is flushed early.
    pub(super) buffers: ByteCount,
}

/// A partition and its consumer.
pub(super) struct Partition {
    common: Arc<Common>,
    consumer: BaseConsumer<Login>,
    buffers: MetricBuffers,
    /// Where the last flush ended.
    progress: OldProgress,
    /// Behind the newest record that was read.
    next: Offset,
    /// Behind the newest record that Kafka had at the start.
    end: Offset,
    records: u64,
    refused: u64,
}

impl Partition {
    /// Begins to read behind `progress`; `end` is where Kafka's log ends.
    pub(super) fn open(common: Arc<Common>, progress: OldProgress, end: Offset) -> Result<Self> {
        let kafka = &common.kafka;
        let config = kafka.consumer_config(FetchShare::of_one_broker(common.queue))?;
        let consumer: BaseConsumer<Login> = kafka.create(&config, kafka.login())?;
        let partition = Self {
            consumer,
            buffers: MetricBuffers::default(),
            next: progress.to,
            progress,
            end,
            records: 0,
            refused: 0,
            common,
        };
        partition.assign()?;
        Ok(partition)
    }

    /// Reads until it is asked to end, or to its end. Blocks.
    pub(super) fn run(mut self) -> Result<()> {
        let mut headers = HeaderBuffer::default();
        let mut flush_at = Instant::now() + self.common.every;
        while !self.is_over() {
            self.poll(&mut headers)?;
            let is_full = self.buffers.bytes() >= self.common.buffers.0;
            if is_full || Instant::now() >= flush_at {
                self.flush()?;
                flush_at = Instant::now() + self.common.every;
            }
        }
        self.flush()
    }

    fn is_over(&self) -> bool {
        let is_at_end = match self.common.until {
            Until::End => self.next >= self.end,
            Until::Asked => false,
        };
        is_at_end || self.common.stop.is_cancelled()
    }

    fn poll(&mut self, headers: &mut HeaderBuffer) -> Result<()> {
        match self.consumer.poll(POLL) {
            None => {
                self.pass_markers();
                Ok(())
            }
            Some(Ok(message)) => {
                let record = record_of(&message, headers);
                take(
                    &record,
                    &self.common.limits,
                    (&mut self.buffers, &mut self.refused),
                );
                assert!(record.offset >= self.next, "offsets of a partition rise");
                self.next = record.offset.next();
                self.records += 1;
                self.common.tally.read(1);
                Ok(())
            }
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ))) => Err(Error::OldPosition {
                chain: self.progress.chain.clone(),
                position: self.next,
                reason: "kafka has dropped it meanwhile".to_owned(),
            }),
            Some(Err(error)) => {
                // librdkafka tries again by itself.
                tracing::warn!(%error, "kafka could not be read for now");
                Ok(())
            }
        }
    }

    /// Behind the last record there may be markers of transactions, which the consumer passes without a word.
    fn pass_markers(&mut self) {
        let Ok(positions) = self.consumer.position() else {
            return;
        };
        for element in positions.elements() {
            if let KafkaOffset::Offset(position) = element.offset() {
                self.next = self.next.max(Offset(position));
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.next == self.progress.to {
            return Ok(());
        }
        let counted = (self.records, self.refused);
        let (writer, runtime) = (&self.common.writer, &self.common.runtime);
        let flush = writer.flush(&self.buffers, &self.progress, self.next, counted);
        self.progress = runtime.block_on(flush)?;
        self.common.tally.flushed(&self.progress.counts);
        self.buffers.clear();
        (self.records, self.refused) = (0, 0);
        let (progress, counts) = (&self.progress, &self.progress.counts);
        tracing::info!(
            chain = %progress.chain,
            to = progress.to.0,
            files = counts.files,
            points = counts.points,
            not_owned = counts.not_owned,
            fleet = progress.fleet,
            "flushed"
        );
        Ok(())
    }

    fn assign(&self) -> Result<()> {
        let chain = &self.progress.chain;
        let refused = |error: KafkaError| Error::Kafka {
            operation: "assign a partition",
            topic: chain.topic.to_string(),
            brokers: self.common.kafka.brokers.clone(),
            reason: error.to_string(),
        };
        let mut list = TopicPartitionList::new();
        let partition = chain.partition.0.cast_signed();
        list.add_partition_offset(
            chain.topic.as_str(),
            partition,
            KafkaOffset::Offset(self.next.0),
        )
        .map_err(refused)?;
        self.consumer.assign(&list).map_err(refused)
    }
}

/// Takes the points of a record in. One that is no payload is counted and passed over.
fn take(
    record: &RecordRef<'_>,
    limits: &Limits,
    (buffers, refused): (&mut MetricBuffers, &mut u64),
) {
    let order = Order {
        seals: 0,
        record_timestamp: record.timestamp.time(),
        chain: ChainIndex(0),
        offset: record.offset,
    };
    match read(record, limits) {
        Ok(view) => buffers.add(&view, order),
        Err(refusal) => {
            *refused += 1;
            tracing::debug!(offset = record.offset.0, %refusal, "a record is no payload");
        }
    }
}

fn read<'a>(
    record: &RecordRef<'a>,
    limits: &Limits,
) -> std::result::Result<PayloadView<'a>, Refusal> {
    if record.headers.last(UNREADABLE_HEADERS.as_bytes()).is_some() {
        return Err(Refusal::HeadersUnreadable);
    }
    let payload = record.value.ok_or(Refusal::NoValue)?;
    let view = PayloadView::parse(payload, limits, record.timestamp.time())?;
    let header = record.headers.last(ORG_HEADER.as_bytes());
    view.check_org(header.and_then(|header| header.value))?;
    Ok(view)
}
