//! A source's name stands for one Kafka cluster for ever: offsets of another would be other records.

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::format::object_key::ObjectKey;
use crate::format::source_identity::SourceIdentity;
use crate::ids::{SourceName, WriteId};

/// Binds `source` to the cluster at its first use, and checks the binding at every later one.
///
/// # Errors
/// `Invalid` when the name is bound to another cluster, saying what to do; else what the bucket says.
pub async fn bind(bucket: &Bucket, source: &SourceName, cluster_id: &str) -> Result<()> {
    let key = ObjectKey::Source(source.clone()).to_string();
    let wanted = SourceIdentity {
        source: source.clone(),
        cluster_id: cluster_id.to_owned(),
    };
    let bound = if let Some(bytes) = bucket.find(&key).await? {
        bytes
    } else {
        let id = WriteId::random();
        match bucket.create(&key, wanted.encode(id), id).await? {
            Created::Ours => return Ok(()),
            Created::Taken => bucket.get(&key).await?,
        }
    };
    let (_, bound) = SourceIdentity::decode(&bound).map_err(|error| error.in_object(&key))?;
    if bound == wanted {
        return Ok(());
    }
    Err(Error::Invalid {
        what: "source",
        input: source.to_string(),
        reason: format!(
            "this bucket knows it as Kafka cluster `{}`, but the brokers are cluster `{cluster_id}`; \
             connect to the brokers it was bound to, or choose another `kafka.source` for this cluster",
            bound.cluster_id
        ),
    })
}
