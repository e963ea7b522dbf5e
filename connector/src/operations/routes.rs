//! Operations over HTTP.

use serde::Serialize;
use serde_json::json;
use skein_shared::admin_http::{Answer, Endpoint, Role};

use crate::operations::{Operations, Unanswered};

/// `GET /status`, `POST /flush` and `POST /drain`.
pub(super) fn role(operations: &Operations) -> Role {
    let [looked_at, flushed, drained] = [(); 3].map(|()| operations.clone());
    let endpoints = vec![
        Endpoint::question("/status", move || {
            let operations = looked_at.clone();
            async move { answer(&operations.status().await) }
        }),
        Endpoint::order("/flush", move || {
            let operations = flushed.clone();
            async move { answer(&operations.flush().await) }
        }),
        Endpoint::order("/drain", move || {
            drained.drain();
            let told = json!({"draining": "a last flush, a last commit, then the process ends"});
            async move { Answer::accepted(&told) }
        }),
    ];
    Role::new("connect", operations.vitals(), endpoints)
}

fn answer<T: Serialize>(outcome: &Result<T, Unanswered>) -> Answer {
    match outcome {
        Ok(document) => Answer::json(document),
        Err(unanswered) => Answer::unavailable(&unanswered.to_string()),
    }
}
