//! Where the bucket is and how to reach it.

use std::fmt;
use std::path::PathBuf;

use super::encryption::Encryption;
use crate::retry::RetryPolicy;

/// Which kind of store a bucket lies in, and how to reach it.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    /// S3, or a store that speaks its protocol.
    S3(BucketSettings),
    /// A directory of this machine.
    Directory(DirectorySettings),
}

/// A bucket that is a directory.
#[derive(Debug, Clone)]
pub struct DirectorySettings {
    /// The directory; it has to be there.
    pub root: PathBuf,
    /// Retries and time-outs.
    pub retry: RetryPolicy,
}

/// Where a bucket of S3 is and how to reach it.
#[derive(Debug, Clone)]
pub struct BucketSettings {
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of every key, without slashes at its ends; empty for none.
    pub prefix: String,
    /// URL of the store, `http://…` or `https://…`; `None` is AWS.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// Whether the bucket's name goes into the path, not into the host name: for most stores outside AWS.
    pub path_style: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// How the store is asked to encrypt what it keeps.
    pub encryption: Encryption,
    /// Certificates, PEM, of authorities to trust beside the system's.
    pub authorities: Option<Vec<u8>>,
    /// Retries and time-outs.
    pub retry: RetryPolicy,
}

/// Who asks.
#[derive(Clone)]
pub enum Credentials {
    /// What AWS' own chain finds: environment, profile, web identity, container, instance.
    Chain,
    /// One pair of keys.
    Static {
        /// Its public half.
        access_key: String,
        /// Its secret half; never printed.
        secret_key: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("Chain"),
            Self::Static { access_key, .. } => f
                .debug_struct("Static")
                .field("access_key", access_key)
                .finish_non_exhaustive(),
        }
    }
}

impl BucketSettings {
    /// The URL for messages: `s3://bucket/prefix`.
    pub fn url(&self) -> String {
        let Self { bucket, prefix, .. } = self;
        if prefix.is_empty() {
            return format!("s3://{bucket}");
        }
        format!("s3://{bucket}/{prefix}")
    }
}

impl DirectorySettings {
    /// The URL for messages: `file:///directory`.
    pub fn url(&self) -> String {
        format!("file://{}", self.root.display())
    }
}

impl From<&BucketSettings> for StoreSettings {
    fn from(settings: &BucketSettings) -> Self {
        Self::S3(settings.clone())
    }
}

impl From<&DirectorySettings> for StoreSettings {
    fn from(settings: &DirectorySettings) -> Self {
        Self::Directory(settings.clone())
    }
}

impl From<&StoreSettings> for StoreSettings {
    fn from(settings: &StoreSettings) -> Self {
        settings.clone()
    }
}
