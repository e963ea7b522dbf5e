//! An S3 server inside the process, over a directory or memory.
//!
//! Real HTTP on an ephemeral loopback port, real signatures; only the storage is small. It keeps what
//! Skein needs of S3: strong read-after-write and listing, exactly one winner of a conditional write,
//! refusal of bytes that do not match their checksum, multipart uploads, ranged reads, a Date header.
//! Contents become visible atomically but are not synced to the disk: it survives the end of the
//! process, not of the machine. Multipart uploads that are open when it stops are forgotten.

mod mood;
mod access;
mod checksum;
mod blob;
mod listing;
mod sidecar;
mod uploads;
mod object_store;
mod multipart;
mod read;
mod write;
mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::error::{Error, Result};
use access::{KnownKey, RequestCounter};
use mood::Moods;
use object_store::ObjectStore;
use service::EmbeddedS3;

pub use mood::{Mood, Refusal};

/// Smallest size of a part that is not the last of its upload, as in S3.
pub const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

/// Where the objects lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In memory; gone when the bucket is dropped.
    Memory,
    /// In this directory, created when absent. One process at a time may hold it.
    Directory(PathBuf),
}

/// Whether `If-None-Match` and `If-Match` of a write are obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// As S3 does.
    Honoured,
    /// As some stores do: every conditional write succeeds. For the tests of the start-up probe.
    Ignored,
}

/// How to start an embedded bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketOptions {
    /// Where the objects lie.
    pub storage: Storage,
    /// The only access key id that is let in.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// Whether conditions of writes are obeyed.
    pub conditions: Conditions,
    /// Most keys in one page of a listing, at most 1,000 as in S3. A store may cut pages short.
    pub page_keys: usize,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl BucketOptions {
    /// Starts from `storage`, the key pair `skein` and `skein-secret`, obeyed conditions and a free
    /// loopback port.
    pub fn new(storage: Storage) -> Self {
        Self {
            storage,
            access_key: "skein".to_owned(),
            secret_key: "skein-secret".to_owned(),
            conditions: Conditions::Honoured,
            page_keys: 1000,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}

/// Requests that were let in so far, by the operation's S3 name (`PutObject`, `GetObject`, …).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestCounts(BTreeMap<String, u64>);

impl RequestCounts {
    /// Requests of one operation.
    pub fn of(&self, operation: &str) -> u64 {
        self.0.get(operation).copied().unwrap_or(0)
    }

    /// Requests that write, delete or begin to write.
    pub fn writes(&self) -> u64 {
        const READS: [&str; 7] = [
            "GetObject",
            "HeadBucket",
            "HeadObject",
            "ListBuckets",
            "ListMultipartUploads",
            "ListObjectsV2",
            "ListParts",
        ];
        let is_write = |name: &String| !READS.contains(&name.as_str());
        self.0
            .iter()
            .filter(|(name, _)| is_write(name))
            .map(|(_, n)| n)
            .sum()
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Operations and their requests, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }
}

/// A running embedded S3 server; it stops when dropped.
pub struct EmbeddedBucket {
    address: SocketAddr,
    options: BucketOptions,
    store: Arc<ObjectStore>,
    counter: RequestCounter,
    moods: Moods,
    /// Taken out when dropped. Its own, so that the server answers also while its user's runtime is
    /// busy, blocked or single-threaded.
    runtime: Option<Runtime>,
}

impl EmbeddedBucket {
    /// Starts serving, with the buckets and objects that the directory holds from before.
    ///
    /// # Errors
    /// The address or the directory cannot be used.
    pub fn start(options: BucketOptions) -> Result<Self> {
        let store = Arc::new(ObjectStore::open(&options.storage, options.conditions)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("embedded-bucket")
            .enable_all()
            .build()
            .map_err(Error::start("the embedded bucket", "threads"))?;
        let (listener, address) = {
            let _inside = runtime.enter();
            listen(options.listen).map_err(Error::start("the embedded bucket", "listen"))?
        };
        let moods = Moods::new();
        let counter = RequestCounter::new(moods.clone());
        let service = build_service(&options, Arc::clone(&store), counter.clone());
        runtime.spawn(accept(listener, service));
        Ok(Self {
            address,
            options,
            store,
            counter,
            moods,
            runtime: Some(runtime),
        })
    }

    /// The server's URL: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The access key id that is let in.
    pub fn access_key(&self) -> &str {
        &self.options.access_key
    }

    /// Its secret.
    pub fn secret_key(&self) -> &str {
        &self.options.secret_key
    }

    /// Creates a bucket, without a request; one that exists stays as it is.
    ///
    /// # Errors
    /// Its directory cannot be made.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        self.store.create_bucket(name)
    }

    /// How requests are treated from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.moods.set(mood);
    }

    /// Requests since the start that came while the mood was not [`Mood::Serves`], let in or not.
    pub fn mood_met(&self) -> u64 {
        self.moods.met()
    }

    /// Requests that were let in since the start.
    pub fn request_counts(&self) -> RequestCounts {
        RequestCounts(self.counter.counts())
    }
}

impl fmt::Debug for EmbeddedBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBucket")
            .field("address", &self.address)
            .field("storage", &self.options.storage)
            .finish_non_exhaustive()
    }
}

impl Drop for EmbeddedBucket {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Binds without waiting, so that a bucket can be started inside and outside of a runtime.
fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

fn build_service(
    options: &BucketOptions,
    store: Arc<ObjectStore>,
    counter: RequestCounter,
) -> S3Service {
    let mut builder = S3ServiceBuilder::new(EmbeddedS3::new(store, options.page_keys));
    builder.set_auth(KnownKey::new(&options.access_key, &options.secret_key));
    builder.set_access(counter);
    builder.build()
}

async fn accept(listener: TcpListener, service: S3Service) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "embedded bucket: a connection was not accepted");
                tokio::task::yield_now().await;
                continue;
            }
        };
        // Small answers must not wait for a full packet; without it they are only slower.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            let connection = Builder::new(TokioExecutor::new());
            if let Err(error) = connection
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                tracing::debug!(error, "embedded bucket: a connection broke");
            }
        });
    }
}
