//! The stores that the tests run on.

use std::path::PathBuf;

use bytes::Bytes;
use skein_local::embedded_bucket::{BucketOptions, Conditions, EmbeddedBucket, Storage};
use skein_shared::bucket::{Bucket, BucketSettings, Credentials, DirectorySettings, Encryption};
use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;
use tempfile::TempDir;

pub(super) const BUCKET: &str = "skein-test";

pub(super) fn embedded(conditions: Conditions) -> EmbeddedBucket {
    started(BucketOptions {
        conditions,
        ..BucketOptions::new(Storage::Memory)
    })
}

fn started(options: BucketOptions) -> EmbeddedBucket {
    let server = EmbeddedBucket::start(options).expect("an embedded bucket starts");
    server
        .create_bucket(BUCKET)
        .expect("a bucket is made in memory");
    server
}

/// Settings with waits so short that a test can afford every retry.
pub(super) fn settings(endpoint: &str) -> BucketSettings {
    BucketSettings {
        bucket: BUCKET.into(),
        prefix: "some/prefix".into(),
        endpoint: Some(endpoint.into()),
        region: "us-east-1".into(),
        path_style: true,
        credentials: Credentials::Static {
            access_key: "skein".into(),
            secret_key: "skein-secret".into(),
        },
        encryption: Encryption::BucketDefault,
        authorities: None,
        retry: retry(),
    }
}

fn retry() -> RetryPolicy {
    RetryPolicy {
        attempts: 6,
        base: Millis(1),
        cap: Millis(5),
        ..RetryPolicy::default()
    }
}

/// As [`settings`], of a bucket that is a directory.
pub(crate) fn directory_settings(root: impl Into<PathBuf>) -> DirectorySettings {
    DirectorySettings {
        root: root.into(),
        retry: retry(),
    }
}

/// An open bucket over a directory, which goes with what is returned beside it.
pub(crate) async fn open_directory() -> (TempDir, Bucket) {
    let directory = tempfile::tempdir().unwrap();
    let bucket = Bucket::open(&directory_settings(directory.path())).await;
    (directory, bucket.unwrap())
}

/// An open bucket over an embedded server; dropping the server ends it.
pub(crate) async fn open_embedded() -> (EmbeddedBucket, Bucket) {
    opened(embedded(Conditions::Honoured)).await
}

/// As [`open_embedded`], on a server that cuts the pages of a listing off after `page_keys` keys.
pub(crate) async fn open_with_short_pages(page_keys: usize) -> (EmbeddedBucket, Bucket) {
    let server = started(BucketOptions {
        page_keys,
        ..BucketOptions::new(Storage::Memory)
    });
    opened(server).await
}

async fn opened(server: EmbeddedBucket) -> (EmbeddedBucket, Bucket) {
    let bucket = Bucket::open(&settings(&server.endpoint()))
        .await
        .expect("the bucket is there");
    (server, bucket)
}

/// `len` bytes that look different everywhere.
pub(super) fn noise(len: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let bytes = (0..len).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    });
    bytes.collect()
}
