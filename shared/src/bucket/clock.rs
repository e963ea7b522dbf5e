//! The store's own clock: the Date header of its answers. One clock for all who write there.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use super::attempt::Attempt;
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Result};
use crate::window::TimestampMs;

/// Asks the store for nothing but the time. The header counts whole seconds and was written before the
/// answer came, so that the time given has passed.
pub(super) async fn now(store: &Store) -> Result<TimestampMs> {
    let attempt = Attempt::bare(Operation::HeadBucket, store.url());
    let ask_once = || async {
        let date = DateHeader::default();
        let request = store.client().head_bucket().bucket(store.bucket());
        let request = request.customize().interceptor(date.clone());
        store.send(attempt, request.send()).await?;
        let text = date.text();
        let time = DateTime::from_str(&text, DateTimeFormat::HttpDate).ok();
        time.and_then(|time| time.to_millis().ok())
            .map(TimestampMs)
            .ok_or_else(|| {
                let reason = format!("the answer's Date header `{text}` is no time");
                attempt.failed(BucketCause::Refused, reason)
            })
    };
    store.retrying(ask_once).await
}

/// Keeps the Date header of one answer.
#[derive(Debug, Clone, Default)]
struct DateHeader(Arc<Mutex<String>>);

impl DateHeader {
    fn text(&self) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}

impl Intercept for DateHeader {
    fn name(&self) -> &'static str {
        "date header"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        date.unwrap_or_default().clone_into(&mut text);
        Ok(())
    }
}
