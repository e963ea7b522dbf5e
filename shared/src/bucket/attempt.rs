//! One try of a request, and the errors in which it ends.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::refusal;
use super::request_count::Operation;
use crate::error::{BucketCause, Error};

/// What one try is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) operation: Operation,
    /// Full key, for errors.
    pub(super) key: &'a str,
    /// Size of the body that is sent.
    pub(super) sent_bytes: u64,
}

impl<'a> Attempt<'a> {
    /// A try that sends no body.
    pub(super) fn bare(operation: Operation, key: &'a str) -> Self {
        Self {
            operation,
            key,
            sent_bytes: 0,
        }
    }

    /// The error of a try that failed without the SDK's saying so.
    pub(super) fn failed(self, cause: BucketCause, reason: impl Into<String>) -> Error {
        Error::Bucket {
            operation: self.operation.name(),
            key: self.key.to_owned(),
            cause,
            reason: reason.into(),
        }
    }

    /// The error that the store's refusal is.
    pub(super) fn refused<E>(self, refusal: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        refusal::to_error(self.operation.name(), self.key, refusal)
    }
}
