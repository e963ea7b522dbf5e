//! Which records are meant, and where they are to go.

use clap::{Args, ValueEnum};
use skein_config::Settings;
use skein_connector::replay::{OnDeleted, OnSameTopic, ReplayRequest};
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::format::replay_job::{OnGone, Only, ReplayInto};
use skein_shared::ids::{Incarnation, OrgId, PartitionId, ShardId, SourceName, TopicName};
use skein_shared::offset::{Offset, Span};
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Range")]
pub(super) struct RangeArgs {
    /// Topic whose records are replayed
    #[arg(long, value_parser = parse_topic)]
    topic: Option<TopicName>,
    /// Only this partition
    #[arg(long)]
    partition: Option<u32>,
    /// Only these offsets, `A..B` without B; else all that the ledger has
    #[arg(long, value_name = "A..B", value_parser = parse_offsets)]
    offsets: Option<Span>,
    /// Records from this time on (RFC 3339 or epoch milliseconds), by their own timestamp
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    from: Option<TimestampMs>,
    /// Records before this time
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    to: Option<TimestampMs>,
    /// Only records of this org (into a topic)
    #[arg(long)]
    org: Option<u64>,
    /// Only records that were routed to this shard, `org-mod-64-17` or `org-1000` (into a topic)
    #[arg(long)]
    shard: Option<ShardId>,
    /// Where to
    #[arg(long, value_enum)]
    into: Option<Direction>,
    /// Topic to write, with `--into topic`
    #[arg(long, value_name = "TOPIC", required_if_eq("into", "topic"), value_parser = parse_topic)]
    target: Option<TopicName>,
    /// Kafka cluster of the records, by its name in the ledger; `kafka.source` when it is not given
    #[arg(long, value_name = "NAME", value_parser = parse_source)]
    source: Option<SourceName>,
    /// Life of the topic; the newest when it is not given
    #[arg(long, value_name = "N")]
    incarnation: Option<u32>,
    /// Goes on without what is gone; `--into state` then gives it up for good
    #[arg(long)]
    skip_gone: bool,
    /// Also points that deletes take, each record as it came (into a topic)
    #[arg(long)]
    with_deleted: bool,
    /// Also into the topic that is replayed
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum Direction {
    /// From Kafka into the ledger's lost spans
    State,
    /// From state into a topic
    Topic,
}

impl RangeArgs {
    /// The same as a request.
    pub(super) fn request(&self, settings: &Settings) -> Result<ReplayRequest, Failure> {
        let missing = |what: &str| Failure::usage(format!("{what} is missing; see --help"));
        let into = match self.into.ok_or_else(|| missing("--into"))? {
            Direction::State => ReplayInto::State,
            Direction::Topic => {
                ReplayInto::Topic(self.target.clone().ok_or_else(|| missing("--target"))?)
            }
        };
        let times = (self.from.is_some() || self.to.is_some()).then(|| TimeSpan {
            from: self.from.unwrap_or(TimeSpan::ALL.from),
            to: self.to.unwrap_or(TimeSpan::ALL.to),
        });
        Ok(ReplayRequest {
            source: self
                .source
                .clone()
                .unwrap_or_else(|| settings.kafka.source_name()),
            topic: self.topic.clone().ok_or_else(|| missing("--topic"))?,
            incarnation: self.incarnation.map(Incarnation),
            partition: self.partition.map(PartitionId),
            offsets: self.offsets,
            only: Only {
                org: self.org.map(OrgId),
                shard: self.shard,
                times,
            },
            into,
            on_gone: if self.skip_gone {
                OnGone::Skip
            } else {
                OnGone::Refuse
            },
            on_same_topic: if self.force {
                OnSameTopic::Allow
            } else {
                OnSameTopic::Refuse
            },
            on_deleted: if self.with_deleted {
                OnDeleted::Send
            } else {
                OnDeleted::LeaveOut
            },
        })
    }
}

fn parse_topic(text: &str) -> Result<TopicName, String> {
    TopicName::new(text)
}

fn parse_source(text: &str) -> Result<SourceName, String> {
    SourceName::new(text)
}

fn parse_offsets(text: &str) -> Result<Span, String> {
    let refusal = || format!("`{text}` is not a range like 1000..2000");
    let (from, to) = text.split_once("..").ok_or_else(refusal)?;
    let number = |text: &str| text.trim().parse::<i64>().ok().filter(|n| *n >= 0);
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from < to => Ok(Span::new(Offset(from), Offset(to))),
        (_, _) => Err(refusal()),
    }
}
