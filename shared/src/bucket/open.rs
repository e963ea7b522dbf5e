//! The first question to a store: is the bucket there, and may it be used?

use super::attempt::Attempt;
use super::refusal;
use super::request_count::Operation;
use super::s3::{Answer, Store};
use super::settings::BucketSettings;
use crate::error::{Error, Result};
use crate::retry::{Retrier, RetryPolicy};

/// Tries at start-up, where a person waits for the answer.
const OPEN_TRIES: u32 = 3;

/// Connects and asks for the bucket.
pub(super) async fn open(settings: &BucketSettings) -> Result<Store> {
    let store = Store::connect(settings, Retrier::new(settings.retry.clone())).await?;
    let endpoint = settings.endpoint.as_deref().unwrap_or("AWS");
    let place = format!("{} at {endpoint}", store.url());
    let attempt = Attempt::bare(Operation::HeadBucket, &place);
    let asked = || async {
        let request = store.client().head_bucket().bucket(store.bucket());
        let answer = store.send_and_look(attempt, request.send()).await?;
        let advice = advice(&answer);
        answer
            .map(drop)
            .map_err(|refusal| attempt.refused(&refusal).with_reason(&advice))
    };
    let retrier = Retrier::new(RetryPolicy {
        attempts: settings.retry.attempts.min(OPEN_TRIES),
        ..settings.retry.clone()
    });
    let counted = |error: &Error| store.requests().retrying(error);
    retrier.run(asked, counted).await?;
    Ok(store)
}

/// What a person should do. The answer to a HEAD has no body, so that only its status tells.
fn advice<T, E>(answer: &Answer<T, E>) -> String
where
    E: std::error::Error + 'static,
{
    let Err(refusal) = answer else {
        return String::new();
    };
    match refusal::status(refusal) {
        None if refusal::lacks_credentials(refusal) => String::new(),
        None if refusal::is_not_trusted(refusal) => {
            "; name the authority that signed the store's certificate in `bucket.ca`".into()
        }
        None => "; is the store running, and `bucket.endpoint` right?".into(),
        Some(404) => "; there is no such bucket: create it or correct `bucket.url`".into(),
        Some(300..400) => refusal::bucket_region(refusal)
            .map(|region| format!("; set `bucket.region` to `{region}`"))
            .unwrap_or_default(),
        Some(400) => "; check `bucket.region`, `bucket.path_style` and `bucket.credentials`".into(),
        Some(_) => String::new(),
    }
}
