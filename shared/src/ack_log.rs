//! What nodes say about the fleet that they go by: one object a node, written again and again, gone when it ends.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

use crate::bucket::Bucket;
use crate::cutover::NodeRole;
use crate::error::Result;
use crate::format::cutover_ack::CutoverAck;
use crate::format::object_key::{CutoverKey, Prefix};
use crate::ids::{WorkerId, WriteId};

const CONCURRENT_GETS: usize = 32;

/// Says it.
///
/// # Errors
/// What the bucket says.
pub fn write<'a>(bucket: &'a Bucket, ack: &'a CutoverAck) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let key = CutoverKey::Ack {
            role: ack.role,
            node: ack.node,
        };
        let id = WriteId::random();
        bucket.put(&key.to_string(), ack.encode(id), id).await
    })
}

/// Nobody needs to wait for the node any more.
///
/// # Errors
/// What the bucket says.
pub fn remove(bucket: &Bucket, role: NodeRole, node: WorkerId) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let key = CutoverKey::Ack { role, node }.to_string();
        bucket.delete(&key).await
    })
}

/// What every node said last. One that has just ended is left out.
///
/// # Errors
/// `Corrupt` when one is damaged, and what the bucket says.
pub fn all(bucket: &Bucket) -> BoxFuture<'_, Result<Vec<CutoverAck>>> {
    Box::pin(async move {
        let listed = bucket.list(Prefix::ACKNOWLEDGEMENTS, None).await?;
        let acks: Vec<Option<CutoverAck>> = stream::iter(listed)
            .map(|object| read(bucket, object.key))
            .buffered(CONCURRENT_GETS)
            .try_collect()
            .await?;
        Ok(acks.into_iter().flatten().collect())
    })
}

async fn read(bucket: &Bucket, key: String) -> Result<Option<CutoverAck>> {
    let Some(bytes) = bucket.find(&key).await? else {
        return Ok(None);
    };
    let (_, ack) = CutoverAck::decode(&bytes).map_err(|error| error.in_object(&key))?;
    Ok(Some(ack))
}
