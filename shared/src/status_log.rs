//! Worker statuses and retirements in the bucket, and what they say together with the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};

use crate::bucket::{Bucket, Created};
use crate::completeness::{ChainFacts, Completeness, JudgedAt, watermark};
use crate::error::{Error, Result};
use crate::error_kind::ErrorKind;
use crate::format::object_key::{ObjectKey, Prefix};
use crate::format::retirement::Retirement;
use crate::format::worker_status::WorkerStatus;
use crate::ids::{Chain, WorkerId, WriteId};
use crate::ledger::{ChainEnd, Ledger};
use crate::offset::Offset;
use crate::units::Millis;
use crate::window::TimestampMs;

const CONCURRENT_READS: usize = 32;

/// How often a chain is looked at while its worker may be between a ledger entry and its next status.
const LOOKS: u32 = 3;

/// Time between two looks: a status follows its flush within a few requests.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What the bucket says about how far everything is.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// The bucket's clock before anything else was read.
    pub now: TimestampMs,
    /// Every chain that has a genesis, and its end.
    pub chains: BTreeMap<Chain, ChainEnd>,
    /// What every worker said last.
    pub statuses: Vec<WorkerStatus>,
    /// The highest end at which a chain was retired.
    pub retired: BTreeMap<Chain, Offset>,
}

impl Gathered {
    /// How far every chain is complete.
    pub fn completeness(&self, delay: Millis) -> Completeness {
        let facts = |(chain, end): (&Chain, &ChainEnd)| {
            let retired_at = self.retired.get(chain).copied();
            (chain.clone(), ChainFacts::of(end, retired_at))
        };
        watermark(
            &self.chains.iter().map(facts).collect(),
            &self.statuses,
            JudgedAt {
                now: self.now,
                delay,
            },
        )
    }

    /// Chains that have claims of which none is about their end: their worker is about to tell, or another
    /// one has taken over.
    fn between(&self) -> Vec<Chain> {
        let mut told: BTreeMap<&Chain, Told> = BTreeMap::new();
        for claim in self.statuses.iter().flat_map(|status| &status.claims) {
            let Some(end) = self.chains.get(&claim.chain) else {
                continue;
            };
            let known = told.entry(&claim.chain).or_insert(Told::Elsewhere);
            if claim.position == end.offset {
                *known = Told::End;
            }
        }
        let elsewhere = told
            .into_iter()
            .filter(|(_, told)| *told == Told::Elsewhere);
        elsewhere.map(|(chain, _)| chain.clone()).collect()
    }
}

/// What the claims about a chain are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    End,
    Elsewhere,
}

/// Writes a worker's status over the one before.
///
/// # Errors
/// What the bucket says.
pub async fn write(bucket: &Bucket, status: &WorkerStatus, write_id: WriteId) -> Result<()> {
    let key = ObjectKey::Status(status.worker).to_string();
    bucket.put(&key, status.encode(write_id), write_id).await
}

/// Deletes a worker's status, if it has one.
///
/// # Errors
/// What the bucket says.
pub async fn remove(bucket: &Bucket, worker: WorkerId) -> Result<()> {
    bucket.delete(&ObjectKey::Status(worker).to_string()).await
}

/// Every worker's last status. One that is damaged says nothing, and its worker overwrites it.
///
/// # Errors
/// What the bucket says.
pub fn statuses(bucket: &Bucket) -> BoxFuture<'_, Result<Vec<WorkerStatus>>> {
    Box::pin(async move {
        let listed = bucket.list(Prefix::STATUS, None).await?;
        let read: Vec<Option<WorkerStatus>> = futures::stream::iter(listed)
            .map(|object| async move { read_status(bucket, &object.key).await })
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await?;
        Ok(read.into_iter().flatten().collect())
    })
}

async fn read_status(bucket: &Bucket, key: &str) -> Result<Option<WorkerStatus>> {
    let found = match bucket.find(key).await {
        Ok(Some(bytes)) => WorkerStatus::decode(&bytes).map_err(|error| error.in_object(key)),
        Ok(None) => return Ok(None),
        Err(error) => Err(error),
    };
    match found {
        Ok((_, status)) if ObjectKey::Status(status.worker).to_string() == key => Ok(Some(status)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%error, "a worker's status cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Retires a chain at its end; safe to repeat.
///
/// # Errors
/// What the bucket says.
pub async fn retire(bucket: &Bucket, retirement: &Retirement) -> Result<()> {
    let chain = retirement.chain.clone();
    let end = retirement.end;
    let key = ObjectKey::Retirement { chain, end }.to_string();
    let id = WriteId::random();
    match bucket.create(&key, retirement.encode(id), id).await? {
        // Another person's words are as good.
        Created::Ours | Created::Taken => Ok(()),
    }
}

/// For each chain that was ever retired, the highest end at which it was. The key says it all.
///
/// # Errors
/// `Invalid` when a key is none of ours.
pub async fn retirements(bucket: &Bucket) -> Result<BTreeMap<Chain, Offset>> {
    let mut retired = BTreeMap::new();
    for object in bucket.list(Prefix::RETIRED, None).await? {
        // In the order of keys the highest end of a chain comes last.
        if let ObjectKey::Retirement { chain, end } = object.key.parse()? {
            retired.insert(chain, end);
        }
    }
    Ok(retired)
}

/// Reads everything that completeness is judged by.
///
/// # Errors
/// `Corrupt` when a genesis or a last entry is damaged, and what the bucket says.
pub fn gather(bucket: &Bucket) -> BoxFuture<'_, Result<Gathered>> {
    Box::pin(async move {
        let ledger = Ledger::new(bucket.clone());
        let mut gathered = Gathered {
            now: bucket.now().await?,
            statuses: statuses(bucket).await?,
            retired: retirements(bucket).await?,
            ..Gathered::default()
        };
        let mut chains = ledger.chains().await?;
        for look in 1..=LOOKS {
            let ends = ends(&ledger, chains, &gathered.statuses).await?;
            gathered.chains.extend(ends);
            chains = gathered.between();
            if chains.is_empty() || look == LOOKS {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            gathered.statuses = statuses(bucket).await?;
        }
        Ok(gathered)
    })
}

/// The ends of chains that have a genesis; where a worker last said it was is where to look first.
async fn ends(
    ledger: &Ledger,
    chains: Vec<Chain>,
    statuses: &[WorkerStatus],
) -> Result<Vec<(Chain, ChainEnd)>> {
    let mut hints: BTreeMap<&Chain, Offset> = BTreeMap::new();
    for claim in statuses.iter().flat_map(|status| &status.claims) {
        let hint = hints.entry(&claim.chain).or_default();
        *hint = (*hint).max(claim.position);
    }
    let hinted = chains.into_iter().map(|chain| {
        let hint = hints.get(&chain).copied();
        (chain, hint)
    });
    let ends: Vec<Option<(Chain, ChainEnd)>> = futures::stream::iter(hinted)
        .map(|(chain, hint)| async move {
            let end = ledger.end(&chain, hint).await?;
            Ok::<_, Error>(end.map(|end| (chain, end)))
        })
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await?;
    Ok(ends.into_iter().flatten().collect())
}
