//! Who and what: the names and numbers that identify orgs, chains, workers, flushes and shards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::offset::Offset;

/// A customer. Its number is all that ever enters an object key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OrgId(pub u64);

/// A series' number within its org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MetricId(pub u64);

/// One `(org, metric)`: the identity, and the sort key, of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeriesKey {
    /// Whose.
    pub org: OrgId,
    /// Which.
    pub metric: MetricId,
}

impl SeriesKey {
    /// No key is less.
    pub const MIN: Self = Self {
        org: OrgId(0),
        metric: MetricId(0),
    };

    /// No key is greater.
    pub const MAX: Self = Self {
        org: OrgId(u64::MAX),
        metric: MetricId(u64::MAX),
    };
}

/// Operator's name of a Kafka cluster: `[a-z0-9-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(Arc<str>);

/// A Kafka topic's name: `[A-Za-z0-9._-]{1,249}`, not `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// One life of a topic; 0 is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u32);

/// A Kafka partition's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PartitionId(pub u32);

/// The partition of one life of a topic: what a ledger chain is kept for. Ordered by its fields, which
/// is the order of positions in the total order of duplicates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    /// Kafka cluster.
    pub source: SourceName,
    /// Topic.
    pub topic: TopicName,
    /// Life of the topic.
    pub incarnation: Incarnation,
    /// Partition of the topic.
    pub partition: PartitionId,
}

/// A record's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Where it was read.
    pub chain: Chain,
    /// At which offset.
    pub offset: Offset,
}

/// A span that the ledger holds as lost, by its first offset. What comes in later for it is a chain of its own,
/// the hole's fills.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hole {
    /// Whose ledger holds it.
    pub chain: Chain,
    /// First offset of the lost span.
    pub from: Offset,
}

/// One replay, from its plan to its end. Text form 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// One plan of a compaction: a hash of what it says. Text form 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId(pub u128);

/// One run of a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub Uuid);

/// One unbroken stretch of one worker reading one partition; unique within its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tenure(pub u64);

/// The objects one worker seals together: worker and counter. Text form `<32 hex digits>-<10 digits>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlushId {
    /// Who sealed them.
    pub worker: WorkerId,
    /// The worker's how-manieth flush.
    pub counter: u64,
}

/// Identity of one attempt to write an object; tells an own write from another's after a lost reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub Uuid);

/// Number of a shard's manifest; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

/// An independent group of orgs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShardId {
    /// Orgs with `id mod modulus = remainder`: `org-mod-64-17`.
    Shared {
        /// How many shared shards there are.
        modulus: u32,
        /// Which of them.
        remainder: u32,
    },
    /// One org's own: `org-1000`.
    Dedicated(OrgId),
    /// Records whose org cannot be read or that are too large, kept as they came: `quarantine`.
    Quarantine,
}

impl SourceName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// A message that names what is wrong.
    pub fn new(name: impl Into<String>) -> Result<Self, String> {
        let name = name.into();
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=64).contains(&name.len()) && name.chars().all(legal) {
            return Ok(Self(name.into()));
        }
        Err(format!(
            "source name `{name}` must be 1 to 64 of a-z, 0-9 and `-`"
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TopicName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// A message that names what is wrong.
    pub fn new(name: impl Into<String>) -> Result<Self, String> {
        let name = name.into();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=249).contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".."
        {
            return Ok(Self(name.into()));
        }
        Err(format!(
            "topic name `{name}` must be 1 to 249 of A-Z, a-z, 0-9, `.`, `_` and `-`"
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl WriteId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl WorkerId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.chain, self.from)
    }
}

impl fmt::Display for SeriesKey {
    /// `<org>/<metric>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org.0, self.metric.0)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = u64::from_str_radix(text, 16).map(Self).ok();
        id.filter(|id| id.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a replay's id (16 hex digits)"))
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for PlanId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = u128::from_str_radix(text, 16).map(Self).ok();
        id.filter(|id| id.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a plan's id (32 hex digits)"))
    }
}

impl fmt::Display for FlushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:010}", self.worker.0.as_simple(), self.counter)
    }
}

impl FromStr for FlushId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || format!("`{text}` is not a flush id (32 hex digits, `-`, counter)");
        let (worker, counter) = text.split_once('-').ok_or_else(refusal)?;
        let worker = Uuid::try_parse(worker).map_err(|_| refusal())?;
        let counter = counter.parse().map_err(|_| refusal())?;
        let id = Self {
            worker: WorkerId(worker),
            counter,
        };
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(refusal())
        }
    }
}

impl FromStr for WorkerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let worker = Uuid::try_parse(text).ok().map(Self);
        worker
            .filter(|worker| worker.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a worker's id (32 hex digits)"))
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared { modulus, remainder } => write!(f, "org-mod-{modulus}-{remainder}"),
            Self::Dedicated(org) => write!(f, "org-{org}"),
            Self::Quarantine => f.write_str("quarantine"),
        }
    }
}

impl FromStr for ShardId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || format!("`{text}` is not a shard (org-mod-K-R, org-N or quarantine)");
        let id = if text == "quarantine" {
            Self::Quarantine
        } else if let Some(rest) = text.strip_prefix("org-mod-") {
            let (modulus, remainder) = rest.split_once('-').ok_or_else(refusal)?;
            let modulus = modulus.parse().map_err(|_| refusal())?;
            let remainder = remainder.parse().map_err(|_| refusal())?;
            if remainder >= modulus {
                return Err(refusal());
            }
            Self::Shared { modulus, remainder }
        } else {
            let org = text.strip_prefix("org-").ok_or_else(refusal)?;
            Self::Dedicated(OrgId(org.parse().map_err(|_| refusal())?))
        };
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(refusal())
        }
    }
}

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_inner!(
    OrgId,
    MetricId,
    SourceName,
    TopicName,
    Incarnation,
    PartitionId,
    Generation,
    Tenure
);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            topic,
            incarnation,
            partition,
        } = self;
        write!(f, "{source}/{topic}/{incarnation}/{partition}")
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_names_read_back() {
        for text in ["org-mod-64-17", "org-1000", "quarantine"] {
            assert_eq!(text.parse::<ShardId>().unwrap().to_string(), text);
        }
        for text in [
            "org-mod-64-64",
            "org-mod-64",
            "org-007",
            "org-",
            "org-mod-0-0",
            "x",
        ] {
            assert!(text.parse::<ShardId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_topic_name_can_never_leave_its_place_in_a_key() {
        for text in ["", ".", "..", "a/b", "a b", "é"] {
            assert!(TopicName::new(text).is_err(), "{text}");
        }
    }
}
