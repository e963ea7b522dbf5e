//! The AWS SDK against a local server.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::RequestId;
use aws_smithy_http_client::Builder;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "skein";

/// A client of `endpoint` that never retries, so that a test sees every answer.
pub(crate) fn client_of(endpoint: &str, access_key: &str, secret_key: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .http_client(Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

pub(crate) fn client(bucket: &EmbeddedBucket) -> Client {
    client_of(&bucket.endpoint(), bucket.access_key(), bucket.secret_key())
}

pub(crate) fn start(options: BucketOptions) -> EmbeddedBucket {
    let bucket = EmbeddedBucket::start(options).unwrap();
    bucket.create_bucket(BUCKET).unwrap();
    bucket
}

/// An embedded bucket of each kind of storage, and the directory that one of them lies in.
pub(crate) fn both() -> (TempDir, [EmbeddedBucket; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(directory.path().to_owned());
    let buckets = [Storage::Memory, storage].map(|storage| start(BucketOptions::new(storage)));
    (directory, buckets)
}

/// The error's S3 code, or what else went wrong.
pub(crate) fn code<T, E, R>(answer: Result<T, aws_sdk_s3::error::SdkError<E, R>>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
    aws_sdk_s3::error::SdkError<E, R>: RequestId,
{
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(error) => match error.as_service_error().and_then(|error| error.code()) {
            Some(code) => code.to_owned(),
            None => format!("{error:?}"),
        },
    }
}
