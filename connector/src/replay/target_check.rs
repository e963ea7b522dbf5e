//! Whether a topic can take a replay: it is there, has the partitions, and is not the topic that is replayed.

use std::collections::BTreeMap;

use skein_shared::bucket::Bucket;
use skein_shared::format::object_key::ObjectKey;
use skein_shared::format::source_identity::SourceIdentity;
use skein_shared::ids::{Chain, SourceName, TopicName};
use skein_shared::offset::Span;

use crate::error::{Error, Result};
use crate::replay::request::{OnSameTopic, ReplayRequest};
use crate::replay::running::ReplaySetup;

/// Checks the target of `request`, whose records come from `spans`.
///
/// # Errors
/// [`Error::Setting`] that says what is wrong with it and what to do; `Transient` when the brokers do not answer.
pub(super) async fn check(
    setup: &ReplaySetup,
    (request, target): (&ReplayRequest, &TopicName),
    spans: &BTreeMap<Chain, Span>,
) -> Result<()> {
    let kafka = setup.kafka.clone();
    let asked = tokio::task::spawn_blocking(move || kafka.look()).await;
    let view = asked.expect("looking at the cluster does not panic")?;
    let refuse = |reason: String| {
        Err(Error::Setting {
            key: "--target",
            reason,
        })
    };
    if *target == request.topic && request.on_same_topic == OnSameTopic::Refuse {
        let bound = bound_cluster(&setup.bucket, &request.source).await?;
        if view.cluster_id.is_none() || bound.is_none() || bound == view.cluster_id {
            return refuse(format!(
                "`{target}` is the topic that is replayed: its consumers would read every record again; \
                 choose another, or say --force"
            ));
        }
    }
    let needed = spans
        .keys()
        .map(|chain| chain.partition.0 + 1)
        .max()
        .unwrap_or(0);
    match view.topics.get(target) {
        None => refuse(format!(
            "`{target}` is not on {}; --partitions {needed} creates it",
            setup.kafka.brokers
        )),
        Some(has) if *has < needed => refuse(format!(
            "`{target}` has {has} partitions, {needed} are needed: every record keeps its partition"
        )),
        Some(_) => Ok(()),
    }
}

async fn bound_cluster(bucket: &Bucket, source: &SourceName) -> Result<Option<String>> {
    let key = ObjectKey::Source(source.clone()).to_string();
    let Some(bytes) = bucket.find(&key).await? else {
        return Ok(None);
    };
    let (_, identity) = SourceIdentity::decode(&bytes).map_err(|error| error.in_object(&key))?;
    Ok(Some(identity.cluster_id))
}
