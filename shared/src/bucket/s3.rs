//! The S3 client: its settings, one try under a time limit, and the retry loop around it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials as KeyPair, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use tokio::time::timeout;
use tracing::Instrument;

use super::attempt::Attempt;
use super::encryption::Encryption;
use super::request_count::RequestCounter;
use super::settings::{BucketSettings, Credentials};
use crate::aws_chain;
use crate::error::{BucketCause, Error, Result};
use crate::retry::{Retrier, RetryPolicy};

/// Longest key that S3 takes, and so any store of ours.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// What the SDK makes of one request.
pub(super) type Answer<T, E> = std::result::Result<T, SdkError<E, HttpResponse>>;

/// One bucket of one store.
#[derive(Debug)]
pub(super) struct Store {
    client: Client,
    bucket: String,
    /// Empty, or ends in `/`.
    prefix: String,
    url: String,
    encryption: Encryption,
    retrier: Retrier,
    requests: Arc<RequestCounter>,
}

impl Store {
    /// Builds the client; asks nothing of the store yet.
    pub(super) async fn connect(settings: &BucketSettings, retrier: Retrier) -> Result<Self> {
        if let Some(endpoint) = &settings.endpoint
            && !["http://", "https://"]
                .iter()
                .any(|scheme| endpoint.starts_with(scheme))
        {
            return Err(Error::Invalid {
                what: "bucket endpoint",
                input: endpoint.clone(),
                reason: "it must begin with http:// or https://".into(),
            });
        }
        let mut prefix = settings.prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        Ok(Self {
            client: Client::from_conf(client_config(settings).await?),
            bucket: settings.bucket.clone(),
            prefix,
            url: settings.url(),
            encryption: settings.encryption.clone(),
            retrier,
            requests: Arc::new(RequestCounter::new()),
        })
    }

    /// The same store, connections and counts, without a retry loop.
    pub(super) fn single_attempts(&self) -> Self {
        Self {
            client: self.client.clone(),
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            url: self.url.clone(),
            encryption: self.encryption.clone(),
            retrier: Retrier::new(self.retrier.policy().single_attempt()),
            requests: Arc::clone(&self.requests),
        }
    }

    pub(super) fn retry_policy(&self) -> &RetryPolicy {
        self.retrier.policy()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn encryption(&self) -> &Encryption {
        &self.encryption
    }

    pub(super) fn requests(&self) -> &RequestCounter {
        &self.requests
    }

    /// The key as the store knows it.
    pub(super) fn full_key(&self, key: &str) -> Result<String> {
        let full = format!("{}{key}", self.prefix);
        if key.is_empty() || full.len() > MAX_KEY_BYTES {
            return Err(Error::Invalid {
                what: "object key",
                input: full,
                reason: format!("with the bucket's prefix it must have 1 to {MAX_KEY_BYTES} bytes"),
            });
        }
        Ok(full)
    }

    /// The retry loop.
    pub(super) async fn retrying<T, F, Fut>(&self, attempt: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        self.retrier
            .run(attempt, |error| self.requests.retrying(error))
            .await
    }

    /// Counts and sends one try.
    pub(super) fn send<T, E>(
        &self,
        attempt: Attempt<'_>,
        request: impl Future<Output = Answer<T, E>>,
    ) -> impl Future<Output = Result<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answer = self.send_and_look(attempt, request);
        async move { answer.await?.map_err(|refusal| attempt.refused(&refusal)) }
    }

    /// Counts and sends one try. A refusal comes back as it is, for a caller to whom some are answers.
    pub(super) fn send_and_look<T, E>(
        &self,
        attempt: Attempt<'_>,
        request: impl Future<Output = Answer<T, E>>,
    ) -> impl Future<Output = Result<Answer<T, E>>> {
        // The SDK's futures take kilobytes: on the heap, or every future around them takes as many.
        let request = Box::pin(request);
        let (operation, key) = (attempt.operation.name(), attempt.key);
        let span = tracing::debug_span!("bucket", operation, key, attempt.sent_bytes);
        let tried = async move {
            self.requests.sending(attempt.operation, attempt.sent_bytes);
            self.limited(attempt, attempt.sent_bytes, request).await
        };
        tried.instrument(span)
    }

    /// Waits for one step of a try as long as `body_bytes` may take.
    pub(super) async fn limited<T>(
        &self,
        attempt: Attempt<'_>,
        body_bytes: u64,
        step: impl Future<Output = T>,
    ) -> Result<T> {
        let limit: Duration = self.retrier.policy().time_limit(body_bytes);
        timeout(limit, step).await.map_err(|_| {
            let reason = format!("not finished within {limit:?}");
            attempt.failed(BucketCause::Unavailable, reason)
        })
    }
}

/// Everything the SDK would do on its own is off: retries, time-outs and checksums are ours.
async fn client_config(settings: &BucketSettings) -> Result<aws_sdk_s3::Config> {
    let authorities = settings.authorities.as_deref();
    let http_client = aws_chain::http_client(authorities).map_err(|reason| Error::Invalid {
        what: "bucket.ca",
        input: "a file of certificates".into(),
        reason,
    })?;
    let region = Region::new(settings.region.clone());
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(settings.retry.connect_timeout.duration())
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .http_client(http_client.clone())
        .region(region)
        .force_path_style(settings.path_style);
    let builder = match &settings.endpoint {
        Some(url) => builder.endpoint_url(url),
        None => builder,
    };
    let builder = match &settings.credentials {
        Credentials::Static {
            access_key,
            secret_key,
        } => builder
            .credentials_provider(KeyPair::new(access_key, secret_key, None, None, "settings")),
        Credentials::Chain => {
            let mut builder = builder;
            builder
                .set_credentials_provider(aws_chain::provider(http_client, &settings.region).await);
            builder
        }
    };
    Ok(builder.build())
}
