//! Sends a segment to the bucket while it is still being encoded.
//!
//! The encoder's thread hands parts over through a short queue; a segment of one part goes out as one
//! request, a longer one as a multipart upload with few parts in flight.

use bytes::Bytes;
use futures::stream::{FuturesUnordered, TryStreamExt};
use skein_shared::bucket::{Bucket, MultipartUpload, UploadedPart};
use skein_shared::ids::WriteId;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::stage_timers::{Stage, StageTimers};

/// Parts of one segment that are sent at the same time.
pub const PARTS_IN_FLIGHT: usize = 2;

/// A segment on its way into the bucket.
#[derive(Debug)]
pub struct SegmentUpload {
    key: String,
    write_id: WriteId,
    parts: mpsc::Sender<Part>,
    sent: JoinHandle<Result<()>>,
}

/// A segment whose last part was handed over.
#[derive(Debug)]
pub struct ClosingUpload(JoinHandle<Result<()>>);

#[derive(Debug)]
enum Part {
    More(Bytes),
    Last(Bytes),
}

impl SegmentUpload {
    /// Begins to send the object `key`, which nobody else ever writes.
    pub fn start(runtime: &Handle, (bucket, key): (Bucket, String), timers: StageTimers) -> Self {
        let (parts, queue) = mpsc::channel(1);
        let write_id = WriteId::random();
        let sending = Sending {
            bucket,
            key: key.clone(),
            write_id,
            timers,
        };
        let sent = runtime.spawn(sending.send(queue));
        Self {
            key,
            write_id,
            parts,
            sent,
        }
    }

    /// The object's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Identity of the write.
    pub fn write_id(&self) -> WriteId {
        self.write_id
    }

    /// Hands a part over; waits while the queue is full. Not for an async thread. What goes wrong shows in
    /// [`ClosingUpload::finish`]; until then parts go nowhere.
    pub fn part(&self, bytes: Bytes) {
        let _ = self.parts.blocking_send(Part::More(bytes));
    }

    /// Hands the last part over. Without it the object does not come to be.
    pub fn close(self, rest: Bytes) -> ClosingUpload {
        let _ = self.parts.blocking_send(Part::Last(rest));
        ClosingUpload(self.sent)
    }
}

impl ClosingUpload {
    /// Waits until the object is there.
    ///
    /// # Errors
    /// The bucket's.
    ///
    /// # Panics
    /// If the sending task has panicked.
    pub async fn finish(self) -> Result<()> {
        self.0.await.expect("sending a segment does not panic")
    }
}

/// One object on its way.
struct Sending {
    bucket: Bucket,
    key: String,
    write_id: WriteId,
    timers: StageTimers,
}

impl Sending {
    async fn send(self, mut queue: mpsc::Receiver<Part>) -> Result<()> {
        let (bucket, key, write_id) = (&self.bucket, &self.key, self.write_id);
        match queue.recv().await {
            None => Ok(()),
            Some(Part::Last(only)) => {
                let put = bucket.put(key, only, write_id);
                Ok(self.timers.time_async(Stage::Upload, put).await?)
            }
            Some(Part::More(first)) => {
                let upload = bucket.start_multipart(key, write_id).await?;
                let parts = self.send_parts(&upload, first, &mut queue).await;
                let completed = match parts {
                    Ok(Some(parts)) => upload.complete(&parts).await.map(drop),
                    Ok(None) => return Ok(upload.abort().await?),
                    Err(error) => Err(error),
                };
                if completed.is_err() {
                    // The first error is the one to tell; an upload that stays is removed by the lifecycle rule.
                    let _ = upload.abort().await;
                }
                completed.map_err(Error::from)
            }
        }
    }

    /// Sends every part; `None` when the encoder gave the segment up.
    async fn send_parts(
        &self,
        upload: &MultipartUpload,
        first: Bytes,
        queue: &mut mpsc::Receiver<Part>,
    ) -> skein_shared::Result<Option<Vec<UploadedPart>>> {
        let mut in_flight = FuturesUnordered::new();
        let mut parts = Vec::new();
        let mut next = Some(Part::More(first));
        for number in 1.. {
            let Some(part) = next else {
                return Ok(None);
            };
            let (bytes, is_last) = match part {
                Part::More(bytes) => (bytes, false),
                Part::Last(bytes) => (bytes, true),
            };
            if !bytes.is_empty() {
                let sent = upload.upload_part(number, bytes);
                in_flight.push(self.timers.time_async(Stage::Upload, sent));
            }
            if is_last {
                break;
            }
            if in_flight.len() >= PARTS_IN_FLIGHT {
                parts.extend(in_flight.try_next().await?);
            }
            next = queue.recv().await;
        }
        parts.extend(in_flight.try_collect::<Vec<_>>().await?);
        Ok(Some(parts))
    }
}
