//! Stored runs of bytes: one per small object, one per part of a large one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, s3_error};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::checksum::{BodyCheck, Crcs};

/// Bodies are handed to the file system in runs of this size.
const WRITE_BYTES: usize = 256 * 1024;

/// One immutable run of bytes.
#[derive(Debug)]
pub(super) enum Blob {
    Memory(Bytes),
    File(BlobFile),
}

/// A file that goes when the last user of a doomed blob lets go of it: a reader that has begun keeps
/// what it reads also while the object is replaced.
#[derive(Debug)]
pub(super) struct BlobFile {
    path: PathBuf,
    doomed: AtomicBool,
}

impl BlobFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BlobFile {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed) {
            // What stays behind is swept at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Blob {
    /// A blob of a file that exists, named as in a sidecar.
    pub(super) fn existing(blobs: &Path, name: &str) -> Self {
        Self::File(BlobFile {
            path: path_of(blobs, name),
            doomed: AtomicBool::new(false),
        })
    }

    /// The file's name, if it is one.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => Some(file.path.file_name()?.to_str()?.to_owned()),
        }
    }

    /// The file's path, if it is one.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::File(file) => Some(&file.path),
        }
    }

    /// Marks the bytes as belonging to no object any more.
    pub(super) fn doom(&self) {
        if let Self::File(file) = self {
            file.doomed.store(true, Ordering::Relaxed);
        }
    }

    /// Marks the bytes as an object's.
    pub(super) fn spare(&self) {
        if let Self::File(file) = self {
            file.doomed.store(false, Ordering::Relaxed);
        }
    }
}

/// A blob that has arrived whole and matches what was announced. Doomed until an object takes it.
#[derive(Debug, Clone)]
pub(super) struct StoredRun {
    pub(super) blob: Arc<Blob>,
    pub(super) bytes: u64,
    pub(super) crcs: Crcs,
}

/// Receives a body into a new blob under `blobs`, or into memory where that is `None`, never holding
/// more than [`WRITE_BYTES`] and one chunk of a body that goes to a file.
pub(super) async fn receive(
    blobs: Option<&Path>,
    body: Option<StreamingBlob>,
    mut check: BodyCheck,
) -> S3Result<StoredRun> {
    let mut sink = Sink::open(blobs).await?;
    let mut bytes = 0;
    let mut body = body;
    while let Some(chunk) = next_chunk(&mut body).await? {
        check.update(&chunk);
        bytes += u64::try_from(chunk.len()).expect("a length fits 64 bits");
        sink.write(&chunk).await?;
    }
    let blob = sink.close().await?;
    Ok(StoredRun {
        blob: Arc::new(blob),
        bytes,
        crcs: check.finish()?,
    })
}

async fn next_chunk(body: &mut Option<StreamingBlob>) -> S3Result<Option<Bytes>> {
    let Some(stream) = body else {
        return Ok(None);
    };
    match stream.next().await {
        None => Ok(None),
        Some(Ok(chunk)) => Ok(Some(chunk)),
        Some(Err(error)) => Err(s3_error!(IncompleteBody, "the body ended early: {error}")),
    }
}

enum Sink {
    Memory(BytesMut),
    File {
        file: File,
        blob: BlobFile,
        waiting: Vec<u8>,
    },
}

impl Sink {
    async fn open(blobs: Option<&Path>) -> S3Result<Self> {
        let Some(blobs) = blobs else {
            return Ok(Self::Memory(BytesMut::new()));
        };
        let path = path_of(blobs, &Uuid::new_v4().simple().to_string());
        let file = File::create(&path).await.map_err(S3Error::internal_error)?;
        let doomed = AtomicBool::new(true);
        Ok(Self::File {
            file,
            blob: BlobFile { path, doomed },
            waiting: Vec::new(),
        })
    }

    async fn write(&mut self, chunk: &[u8]) -> S3Result<()> {
        match self {
            Self::Memory(bytes) => bytes.extend_from_slice(chunk),
            Self::File { file, waiting, .. } => {
                waiting.extend_from_slice(chunk);
                if waiting.len() >= WRITE_BYTES {
                    file.write_all(waiting)
                        .await
                        .map_err(S3Error::internal_error)?;
                    waiting.clear();
                }
            }
        }
        Ok(())
    }

    async fn close(self) -> S3Result<Blob> {
        match self {
            Self::Memory(bytes) => Ok(Blob::Memory(bytes.freeze())),
            Self::File {
                mut file,
                blob,
                waiting,
            } => {
                file.write_all(&waiting)
                    .await
                    .map_err(S3Error::internal_error)?;
                file.flush().await.map_err(S3Error::internal_error)?;
                Ok(Blob::File(blob))
            }
        }
    }
}

/// Files fan out over 256 directories by the first two characters of their random names.
fn path_of(blobs: &Path, name: &str) -> PathBuf {
    blobs.join(name.get(..2).unwrap_or("xx")).join(name)
}
