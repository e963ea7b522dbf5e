//! Uploads under way: started by the first part, parts in parallel while the object still grows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use skein_shared::bucket::{Bucket, MultipartUpload, UploadedPart};
use skein_shared::ids::WriteId;
use tokio::sync::OnceCell;

use crate::core::action::ObjectNumber;

/// How long aborting all uploads may take at the end; the janitor has the rest.
const ABORT_PATIENCE: Duration = Duration::from_secs(10);

/// Every upload of this worker that is not complete.
#[derive(Debug)]
pub struct Uploads {
    bucket: Bucket,
    under_way: Mutex<HashMap<ObjectNumber, Arc<Upload>>>,
}

#[derive(Debug, Default)]
struct Upload {
    started: OnceCell<MultipartUpload>,
    parts: Mutex<Vec<UploadedPart>>,
}

/// One part to be uploaded.
#[derive(Debug)]
pub struct Part {
    /// Of which object.
    pub object: ObjectNumber,
    /// Its key.
    pub key: String,
    /// Identity of the write.
    pub write: WriteId,
    /// From 1.
    pub number: u32,
    /// The bytes.
    pub body: Bytes,
}

impl Uploads {
    /// None yet.
    pub fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            under_way: Mutex::new(HashMap::new()),
        }
    }

    /// Uploads a part; starts the upload if this is the first to be sent. Safe to repeat.
    ///
    /// # Errors
    /// What the bucket says.
    pub async fn upload(&self, part: Part) -> skein_shared::Result<()> {
        let upload = Arc::clone(locked(&self.under_way).entry(part.object).or_default());
        let started = upload
            .started
            .get_or_try_init(|| self.bucket.start_multipart(&part.key, part.write))
            .await?;
        let stored = started.upload_part(part.number, part.body).await?;
        let mut parts = locked(&upload.parts);
        parts.retain(|known| known.number != stored.number);
        parts.push(stored);
        Ok(())
    }

    /// Makes an object out of its parts, all of which are stored. Safe to repeat after an error.
    ///
    /// # Errors
    /// What the bucket says.
    ///
    /// # Panics
    /// If no part was uploaded.
    pub async fn complete(&self, object: ObjectNumber) -> skein_shared::Result<()> {
        let upload = locked(&self.under_way).get(&object).map(Arc::clone);
        let upload = upload.expect("an upload is completed after its parts");
        let started = upload.started.get().expect("its first part started it");
        let parts = locked(&upload.parts).clone();
        started.complete(&parts).await?;
        locked(&self.under_way).remove(&object);
        Ok(())
    }

    /// Drops what will never be completed; what cannot be dropped is left to the janitor.
    pub async fn abort_all(&self) {
        let uploads: Vec<Arc<Upload>> = locked(&self.under_way).drain().map(|(_, u)| u).collect();
        let started = uploads.iter().filter_map(|upload| upload.started.get());
        let aborts = started.map(|started| async {
            if let Err(error) = started.abort().await {
                tracing::debug!(%error, "an upload was left behind");
            }
        });
        let all = futures::future::join_all(aborts);
        if tokio::time::timeout(ABORT_PATIENCE, all).await.is_err() {
            tracing::debug!("the bucket does not answer: uploads were left behind");
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
