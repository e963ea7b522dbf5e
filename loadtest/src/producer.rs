//! Sends payloads to Kafka, from the generator, from rows of CSV or from lines of JSON.

pub mod report;
pub mod partition;
mod backlog;
mod sender;
mod row_source;

use std::io;

use skein_config::kafka::KafkaSettings;
use skein_shared::format::points_csv::{BadRow, PointRow, PointsReader};
use skein_shared::format::points_jsonl::JsonLinesReader;
use skein_shared::ids::TopicName;
use skein_shared::payload::Limits;
use skein_shared::window::TimestampMs;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::generator::{Generator, OutgoingRecord};
use crate::metrics;
use crate::producer::row_source::Rows;
use crate::producer::sender::Sender;

pub use backlog::{Backlog, LedgerEnds};
pub use report::{BadRows, Ending, ProduceProgress, ProduceReport};

/// Where to send, and within which bounds.
#[derive(Debug)]
pub struct ProduceOptions<'a> {
    /// Addresses and properties of the cluster.
    pub kafka: &'a KafkaSettings,
    /// Into which topic.
    pub topic: TopicName,
    /// Creates the topic with so many partitions if it is not there.
    pub partitions: Option<u32>,
    /// Stops before a partition holds too much; `None` for a broker that does not trim.
    pub backlog: Option<Backlog>,
    /// Ends the sending early; what was sent is still delivered and reported.
    pub cancel: CancellationToken,
    /// Told every 100,000 records, and at the end.
    pub progress: fn(ProduceProgress),
}

/// Sends all records of a generator. Blocks: call it on a thread of its own.
///
/// # Errors
/// The broker is out of reach, the topic is not there, a record was not delivered, or a partition would
/// hold too much.
pub fn produce_generated(
    options: ProduceOptions<'_>,
    generator: &Generator,
) -> Result<ProduceReport> {
    let mut sender = Sender::open(options)?;
    let mut records = generator.records();
    let mut record = OutgoingRecord::default();
    let ending = loop {
        if sender.is_cancelled() {
            break Ending::Cancelled;
        }
        if !records.next_into(&mut record) {
            break Ending::Complete;
        }
        sender.send(&record)?;
    };
    let mut report = sender.finish()?;
    report.ending = ending;
    report.expected = (ending == Ending::Complete).then(|| generator.expectation());
    told(&report);
    Ok(report)
}

/// Sends the rows of a CSV file, grouped by series, in payloads of many points. All records carry `now`
/// as timestamp, so that of two rows for the same point the later row wins, and a later file wins over an
/// earlier one. A bad row is reported and left out. Blocks: call it on a thread of its own.
///
/// # Errors
/// As [`produce_generated`], for a header that is not one, and when the input cannot be read to its end. What
/// was sent until then is in Kafka; to send it again changes nothing.
pub fn produce_csv(
    options: ProduceOptions<'_>,
    input: impl io::Read,
    limits: Limits,
    now: TimestampMs,
) -> Result<ProduceReport> {
    let reader = PointsReader::new(input)
        .map_err(Error::Input)?
        .map_err(Error::Csv)?;
    produce_rows(options, reader, limits, now)
}

/// As [`produce_csv`], with one JSON object a line.
///
/// # Errors
/// As [`produce_generated`], and when the input cannot be read to its end.
pub fn produce_json_lines(
    options: ProduceOptions<'_>,
    input: impl io::Read,
    limits: Limits,
    now: TimestampMs,
) -> Result<ProduceReport> {
    let reader = JsonLinesReader::new(io::BufReader::new(input));
    produce_rows(options, reader, limits, now)
}

fn produce_rows(
    options: ProduceOptions<'_>,
    points: impl Iterator<Item = io::Result<std::result::Result<PointRow, BadRow>>>,
    limits: Limits,
    now: TimestampMs,
) -> Result<ProduceReport> {
    let mut sender = Sender::open(options)?;
    let mut rows = Rows::new(limits, now);
    let mut ending = Ending::Complete;
    for row in points {
        if sender.is_cancelled() {
            ending = Ending::Cancelled;
            break;
        }
        rows.push(row.map_err(Error::Input)?, &mut sender)?;
    }
    let (bad_rows, digest) = rows.finish(&mut sender)?;
    let mut report = sender.finish()?;
    report.ending = ending;
    report.bad_rows = bad_rows;
    report.sent_digest = Some(digest);
    told(&report);
    Ok(report)
}

fn told(report: &ProduceReport) {
    metrics::produced(
        &report.topic,
        report.records,
        report.points,
        report.bad_rows.count,
    );
}
