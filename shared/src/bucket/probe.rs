//! Proves at start-up that the store honours create-if-absent: some ignore the condition and answer 200.

use bytes::Bytes;
use futures::future::join_all;

use super::backend::Backend;
use super::conditional_put::Created;
use crate::error::{Error, Result};
use crate::error_kind::ErrorKind;
use crate::format::object_key::Prefix;
use crate::ids::WriteId;

const ROUNDS: usize = 8;
const WRITERS: usize = 8;

/// Races writers for one key in each round; each has to have exactly one winner.
///
/// The rounds run at the same time: some stores take a second to settle one race, and every start waits.
pub(super) async fn probe(store: &Backend) -> Result<()> {
    let run = WriteId::random();
    let rounds = (0..ROUNDS).map(|round| async move {
        let key = format!("{}{run}-{round}", Prefix::PROBE);
        // What the store is worth matters more than what it makes of the leftovers.
        let verdict = race(store, &key).await;
        let cleaned = clean_up(store, &key).await;
        verdict.and(cleaned)
    });
    // Every round goes to its end, also behind one that failed: none may leave its object behind.
    let outcomes = join_all(rounds).await;
    let (unfit, others): (Vec<_>, Vec<_>) = outcomes
        .into_iter()
        .partition(|outcome| matches!(outcome, Err(Error::Unfit { .. })));
    unfit.into_iter().chain(others).collect()
}

async fn race(store: &Backend, key: &str) -> Result<()> {
    let ids: [WriteId; WRITERS] = std::array::from_fn(|_| WriteId::random());
    let racing = ids.iter().map(|id| async {
        let body = Bytes::from(id.to_string());
        Ok::<_, Error>((*id, store.create(key, body, *id).await?))
    });
    let mut winners = Vec::new();
    for outcome in join_all(racing).await {
        let (id, created) = outcome?;
        if created == Created::Ours {
            winners.push(id);
        }
    }
    let unfit = |reason: String| Error::Unfit {
        bucket: store.url().to_owned(),
        reason: format!("{reason}; use a store that {}", store.promise()),
    };
    let [winner] = winners.as_slice() else {
        let count = winners.len();
        return Err(unfit(format!(
            "{WRITERS} writers created the same key at once and {count} of them won"
        )));
    };
    let stored = store.head(key).await?.and_then(|meta| meta.write_id);
    if stored != Some(*winner) {
        return Err(unfit(
            "the winner of a create-if-absent is not who the object says; user metadata must be kept"
                .into(),
        ));
    }
    Ok(())
}

/// A writer without the right to delete leaves a few small objects: no reason to refuse.
async fn clean_up(store: &Backend, key: &str) -> Result<()> {
    match store.delete(key).await {
        Err(error) if error.kind() == ErrorKind::Invalid => {
            tracing::warn!(%error, "the probe's object stays");
            Ok(())
        }
        other => other,
    }
}
