//! What a request is answered with.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;

/// Status, kind and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body's kind.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A text for people.
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: text.into(),
        }
    }

    /// What was asked for, as one JSON document.
    pub fn json(document: &impl Serialize) -> Self {
        Self::json_of(StatusCode::OK, document)
    }

    /// What was asked for is under way.
    pub fn accepted(document: &impl Serialize) -> Self {
        Self::json_of(StatusCode::ACCEPTED, document)
    }

    /// It cannot be had now.
    pub fn unavailable(reason: &str) -> Self {
        let document = serde_json::json!({ "error": reason });
        Self::json_of(StatusCode::SERVICE_UNAVAILABLE, &document)
    }

    fn json_of(status: StatusCode, document: &impl Serialize) -> Self {
        match serde_json::to_vec_pretty(document) {
            Ok(body) => Self {
                status,
                content_type: "application/json",
                body: body.into(),
            },
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}
