//! Why a request is not answered, for a person and for a program.

use hyper::StatusCode;
use serde::Serialize;
use skein_shared::ErrorKind;
use skein_shared::error::BucketCause;

use crate::error::Error;
use crate::metrics;

/// Seconds after which a request may be made again.
const RETRY_AFTER_S: u32 = 1;

/// A status, and what the caller must do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// What is wrong.
    error: String,
    /// In which parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'static str>,
    /// With which value.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// What to do.
    #[serde(rename = "do")]
    remedy: String,
}

impl Refusal {
    /// A refusal that is about no parameter.
    pub(super) fn new(
        status: StatusCode,
        error: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status,
            error: error.into(),
            parameter: None,
            value: None,
            remedy: remedy.into(),
        }
    }

    /// A parameter that is not what it has to be.
    pub(super) fn of(
        parameter: &'static str,
        value: impl Into<String>,
        (error, remedy): (impl Into<String>, impl Into<String>),
    ) -> Self {
        Self {
            parameter: Some(parameter),
            value: Some(value.into()),
            ..Self::new(StatusCode::BAD_REQUEST, error, remedy)
        }
    }

    /// The same with another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// After how many seconds the same request may be answered.
    pub(super) fn retry_after_s(&self) -> Option<u32> {
        (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S)
    }

    /// All reads that may go on at the same time do.
    pub(super) fn busy(reads: u32) -> Self {
        let error = format!("{reads} reads go on already, which is serve.concurrent_reads");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(
            status,
            error,
            "ask again after a second, or start more servers",
        )
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::PageToken { reason } => {
                let remedy = "give next_page as it was given, or begin the scan anew";
                Self::of("page", "(token)", (reason.clone(), remedy))
            }
            Error::PageExpired { .. } => {
                let remedy = "begin the scan anew, without the parameter page";
                let refusal = Self::of("page", "(token)", (error.to_string(), remedy));
                refusal.with_status(StatusCode::GONE)
            }
            Error::Series { metric, reason, .. } => {
                let remedy = "give an id or a full name: /api/v1/series has them";
                let refusal = Self::of("metric", metric, (reason.clone(), remedy));
                refusal.with_status(StatusCode::NOT_FOUND)
            }
            Error::Shared(_)
            | Error::OldPlace { .. }
            | Error::OldUnknown { .. }
            | Error::ParquetFile { .. }
            | Error::ParquetColumn { .. }
            | Error::NotYet { .. }
            | Error::Output(_)
            | Error::Export { .. }
            | Error::Table { .. }
            | Error::Unsuitable { .. }
            | Error::Stopped
            | Error::Comparison { .. } => Self::failed(&error),
        }
    }
}

impl From<skein_shared::Error> for Refusal {
    fn from(error: skein_shared::Error) -> Self {
        Error::from(error).into()
    }
}

impl Refusal {
    fn failed(error: &Error) -> Self {
        metrics::request_failed(error);
        match error.kind() {
            ErrorKind::Transient => {
                let text = format!("the bucket does not answer: {error}");
                let remedy = "ask again after a second";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text, remedy)
            }
            ErrorKind::Fenced | ErrorKind::Corrupt | ErrorKind::Invalid => {
                let remedy =
                    "see the server's log; `skein verify` checks everything that is stored";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), remedy)
            }
        }
    }
}

/// Whether something is not there.
pub(super) fn is_missing(error: &skein_shared::Error) -> bool {
    matches!(
        error,
        skein_shared::Error::Bucket {
            cause: BucketCause::NotFound,
            ..
        }
    )
}
