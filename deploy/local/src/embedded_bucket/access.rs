//! Who is let in, and the count of what was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

use super::mood::Moods;

/// The one key pair that is let in.
pub(super) struct KnownKey {
    access_key: String,
    secret: SecretKey,
}

impl KnownKey {
    pub(super) fn new(access_key: &str, secret_key: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret: SecretKey::from(secret_key),
        }
    }
}

#[async_trait::async_trait]
impl S3Auth for KnownKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret.clone());
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "the access key id is not the one of this embedded bucket"
        ))
    }
}

/// Counts requests by operation, and refuses unsigned ones and those that the mood does not let in.
#[derive(Clone)]
pub(super) struct RequestCounter {
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
    moods: Moods,
}

impl RequestCounter {
    pub(super) fn new(moods: Moods) -> Self {
        Self {
            counts: Arc::default(),
            moods,
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait::async_trait]
impl S3Access for RequestCounter {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "requests must be signed"));
        }
        self.moods.admit().await?;
        let name = cx.s3_op().name().to_owned();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(name).or_default() += 1;
        Ok(())
    }
}
