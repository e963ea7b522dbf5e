//! What somebody wants replayed, and which chains and offsets that are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skein_shared::bucket::Bucket;
use skein_shared::format::replay_job::{OnGone, Only, ReplayInto};
use skein_shared::ids::{Chain, Incarnation, PartitionId, SourceName, TopicName};
use skein_shared::ledger::Ledger;
use skein_shared::offset::{Offset, Span};

use crate::error::{Error, Result};
use crate::replay::passage::Gone;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    /// Whose records, by the name of their Kafka cluster.
    pub source: SourceName,
    /// Of which topic.
    pub topic: TopicName,
    /// Of which life of it; the newest one when it is not said.
    pub incarnation: Option<Incarnation>,
    /// Of which partition; all when it is not said.
    pub partition: Option<PartitionId>,
    /// Which offsets; all that the ledger has when it is not said.
    pub offsets: Option<Span>,
    /// Which records of these.
    pub only: Only,
    /// Where to.
    pub into: ReplayInto,
    /// What to do about offsets that are gone.
    pub on_gone: OnGone,
    /// What to do when the target is the topic itself.
    pub on_same_topic: OnSameTopic,
    /// What to do, into a topic, about points that deletes take.
    pub on_deleted: OnDeleted,
}

/// What a replay into a topic does about points that deletes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeleted {
    /// They are not brought back.
    LeaveOut,
    /// Every record goes as it came.
    Send,
}

/// What to do when a replay's target is the topic that is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSameTopic {
    /// Refuse: its consumers would read every record again, and so would the connector.
    Refuse,
    /// That is what is wanted.
    Allow,
}

/// Which offsets a request means, by chain; and which of them no ledger knows.
///
/// # Errors
/// [`Error::NothingToReplay`]; `Corrupt` when a ledger does not read back.
pub async fn resolve(
    bucket: &Bucket,
    request: &ReplayRequest,
) -> Result<(BTreeMap<Chain, Span>, Vec<Gone>)> {
    let ledger = Ledger::new(bucket.clone());
    let (mut spans, mut gone) = (BTreeMap::new(), Vec::new());
    for chain in chains(&ledger, request).await? {
        let Some(end) = ledger.end(&chain, None).await? else {
            continue;
        };
        let held = Span::new(end.genesis.start, end.offset);
        let asked = request.offsets.unwrap_or(held);
        gone.extend(outside(&chain, asked, held));
        if let Some(span) = asked.overlap(held) {
            spans.insert(chain, span);
        }
    }
    if spans.is_empty() && gone.is_empty() {
        return Err(request.nothing());
    }
    Ok((spans, gone))
}

async fn chains(ledger: &Ledger, request: &ReplayRequest) -> Result<Vec<Chain>> {
    let is_meant = |chain: &Chain| {
        chain.source == request.source
            && chain.topic == request.topic
            && request
                .partition
                .is_none_or(|wanted| wanted == chain.partition)
            && request
                .incarnation
                .is_none_or(|wanted| wanted == chain.incarnation)
    };
    // Chains ascend, so that the newest life of a partition comes last.
    let mut newest: BTreeMap<PartitionId, Chain> = BTreeMap::new();
    for chain in ledger.chains().await?.into_iter().filter(is_meant) {
        newest.insert(chain.partition, chain);
    }
    if newest.is_empty() {
        return Err(request.nothing());
    }
    Ok(newest.into_values().collect())
}

/// What of `asked` lies before or behind what the ledger holds.
fn outside(chain: &Chain, asked: Span, held: Span) -> Vec<Gone> {
    let forever = Offset(i64::MAX);
    let before = Span::new(Offset(0), held.from);
    let behind = Span::new(held.to, forever);
    let places = [
        (before, format!("the ledger begins at {}", held.from)),
        (
            behind,
            format!("not in the ledger yet, which ends at {}", held.to),
        ),
    ];
    let parts = places.into_iter().filter_map(|(place, why)| {
        let span = asked.overlap(place)?;
        let chain = chain.clone();
        Some(Gone { chain, span, why })
    });
    parts.collect()
}

impl ReplayRequest {
    fn nothing(&self) -> Error {
        let mut what = format!("{}/{}", self.source, self.topic);
        if let Some(partition) = self.partition {
            let _ = write!(what, " partition {partition}");
        }
        if let Some(offsets) = self.offsets {
            let _ = write!(what, " offsets {offsets}");
        }
        Error::NothingToReplay { what }
    }
}
