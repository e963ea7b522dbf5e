//! What a store's refusal means: from status and code to a cause and to what a person should do.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::error::{BucketCause, Error};

/// Codes that mean "slow down", whatever the status.
const THROTTLED: [&str; 6] = [
    "SlowDown",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
];

/// Codes of failures that pass, whatever the status: a completion may answer 200 and fail in its body;
/// bytes damaged on their way in are sent again.
const PASSING: [&str; 8] = [
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentChecksumMismatch",
    "OperationAborted",
    "ConditionalRequestConflict",
];

/// Codes of stores that have no room left, whatever the status: AWS has none, others do.
const FULL: [&str; 5] = [
    "QuotaExceeded",
    "StorageFull",
    "InsufficientStorage",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
];

/// Codes about who asks that come with status 400.
const DENIED: [&str; 4] = [
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
];

/// Builds the error of a request that the SDK gave up on.
pub(super) fn to_error<E>(
    operation: &'static str,
    key: &str,
    refusal: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = status(refusal);
    let cause = cause(status, refusal.code(), refusal);
    let said = match (refusal.code(), refusal.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => match status {
            Some(status) if !(200..300).contains(&status) => format!("http status {status}"),
            Some(_) | None => innermost(refusal),
        },
    };
    let advice = advice(cause, refusal);
    Error::Bucket {
        operation,
        key: key.to_owned(),
        cause,
        reason: format!("{said}{advice}"),
    }
}

/// HTTP status of the answer, if there was one.
pub(super) fn status<E>(refusal: &SdkError<E, HttpResponse>) -> Option<u16> {
    refusal
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// Region in which the store says the bucket is.
pub(super) fn bucket_region<E>(refusal: &SdkError<E, HttpResponse>) -> Option<&str> {
    refusal
        .raw_response()
        .and_then(|response| response.headers().get("x-amz-bucket-region"))
}

fn cause<E>(
    status: Option<u16>,
    code: Option<&str>,
    refusal: &SdkError<E, HttpResponse>,
) -> BucketCause
where
    E: std::error::Error + 'static,
{
    let Some(status) = status else {
        return cause_without_answer(refusal);
    };
    if let Some(code) = code {
        if THROTTLED.contains(&code) {
            return BucketCause::Throttled;
        }
        if PASSING.contains(&code) {
            return BucketCause::Unavailable;
        }
        if DENIED.contains(&code) {
            return BucketCause::Denied;
        }
        if FULL.contains(&code) {
            return BucketCause::Full;
        }
        if code == "NoSuchBucket" {
            return BucketCause::NoBucket;
        }
        if code == "NoSuchUpload" {
            return BucketCause::UploadGone;
        }
        if code.starts_with("NoSuch") {
            return BucketCause::NotFound;
        }
    }
    match status {
        429 | 503 => BucketCause::Throttled,
        401 | 403 => BucketCause::Denied,
        404 => BucketCause::NotFound,
        501 => BucketCause::Refused,
        507 => BucketCause::Full,
        // A success that cannot be read is a lost answer; so is one with an unknown code in its body.
        200..300 | 408 | 409 | 500.. => BucketCause::Unavailable,
        _ => BucketCause::Refused,
    }
}

/// No answer came: the connection failed, or the request could not even be signed.
fn cause_without_answer<E>(refusal: &SdkError<E, HttpResponse>) -> BucketCause
where
    E: std::error::Error + 'static,
{
    if matches!(refusal, SdkError::ConstructionFailure(_)) {
        return BucketCause::Refused;
    }
    // The SDK keeps the kind of a failed search for credentials to itself, but for its text. One that
    // timed out or lost its connection passes; one that found nothing does not.
    let found_none = chain(refusal).any(|error| {
        let text = error.to_string();
        text.contains("credential")
            && (text.contains("not enabled") || text.contains("not properly configured"))
    });
    if found_none {
        return BucketCause::Denied;
    }
    BucketCause::Unavailable
}

/// Whether the request was never sent for want of credentials.
pub(super) fn lacks_credentials<E>(refusal: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + 'static,
{
    refusal.raw_response().is_none()
        && chain(refusal).any(|error| error.to_string().contains("credential"))
}

/// Whether the store's certificate was refused.
pub(super) fn is_not_trusted<E>(refusal: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + 'static,
{
    refusal.raw_response().is_none()
        && chain(refusal).any(|error| error.to_string().contains("certificate"))
}

fn advice<E>(cause: BucketCause, refusal: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if lacks_credentials(refusal) {
        return "; no credentials were found: set `bucket.credentials`, or what AWS' own chain reads"
            .into();
    }
    let text = match cause {
        BucketCause::Denied if refusal.code() == Some("RequestTimeTooSkewed") => {
            "; set this machine's clock"
        }
        BucketCause::Denied => {
            "; check `bucket.credentials` and that their policy allows this request"
        }
        BucketCause::NoBucket => "; create the bucket or correct `bucket.url`",
        BucketCause::Full => "; make room in the store, or raise its quota",
        BucketCause::Refused if refusal.code() == Some("AuthorizationHeaderMalformed") => {
            "; correct `bucket.region`"
        }
        BucketCause::Unavailable
        | BucketCause::Throttled
        | BucketCause::NotFound
        | BucketCause::Refused
        | BucketCause::Damaged
        | BucketCause::UploadGone => "",
    };
    text.to_owned()
}

/// The root of the SDK's chain of errors: "connection refused" rather than "dispatch failure".
fn innermost<E>(refusal: &SdkError<E, HttpResponse>) -> String
where
    E: std::error::Error + 'static,
{
    chain(refusal)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// An error, its source, the source's source, …
fn chain<'a>(
    first: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(first), |error| error.source())
}
