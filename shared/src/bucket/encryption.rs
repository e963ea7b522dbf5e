//! Encryption at rest: what every write asks of the store, and the proof that it did it.

use aws_sdk_s3::types::ServerSideEncryption;

use super::attempt::Attempt;
use crate::error::{BucketCause, Result};

/// How the store is asked to encrypt what it keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Encryption {
    /// As the bucket's own default says.
    #[default]
    BucketDefault,
    /// With keys of the store (SSE-S3).
    Store,
    /// With a key of the key service (SSE-KMS). Entity tags are then no MD5 of anything; nothing here reads them
    /// as one.
    KeyService {
        /// Id, ARN or alias; `None` is the account's own key for S3.
        key: Option<String>,
    },
}

impl Encryption {
    /// What a write asks for.
    pub(super) fn algorithm(&self) -> Option<ServerSideEncryption> {
        match self {
            Self::BucketDefault => None,
            Self::Store => Some(ServerSideEncryption::Aes256),
            Self::KeyService { .. } => Some(ServerSideEncryption::AwsKms),
        }
    }

    /// The key that a write asks for.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::BucketDefault | Self::Store => None,
            Self::KeyService { key } => key.clone(),
        }
    }

    /// Whether a write lets the store derive its keys from one of the bucket's: a call to the key service for each
    /// object would cost more than the object.
    pub(super) fn bucket_key(&self) -> Option<bool> {
        matches!(self, Self::KeyService { .. }).then_some(true)
    }

    /// Refuses a store that began an upload otherwise than it was asked to. Not all say it there, and a store that
    /// does not encrypt at all has been found out by the first whole object.
    pub(super) fn check_begun(
        &self,
        attempt: Attempt<'_>,
        done: Option<&ServerSideEncryption>,
    ) -> Result<()> {
        match done {
            Some(_) => self.check(attempt, done),
            None => Ok(()),
        }
    }

    /// Refuses a store that kept an object otherwise than it was asked to.
    pub(super) fn check(
        &self,
        attempt: Attempt<'_>,
        done: Option<&ServerSideEncryption>,
    ) -> Result<()> {
        let asked = self.algorithm();
        if asked.is_none() || asked.as_ref() == done {
            return Ok(());
        }
        let asked = asked.as_ref().map_or("", ServerSideEncryption::as_str);
        let done = done.map_or("nothing", ServerSideEncryption::as_str);
        let reason = format!(
            "the store was asked to encrypt with {asked} and answers {done}: set bucket.encryption to what it can do"
        );
        Err(attempt.failed(BucketCause::Refused, reason))
    }
}
