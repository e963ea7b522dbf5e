//! Which path is answered by what, and who may ask.

use std::fmt;

use futures::future::BoxFuture;
use hyper::{Method, StatusCode};

use crate::admin_http::{Answer, Token, VERSION, Vitals};
use crate::telemetry;

/// A role as it is served.
#[derive(Debug)]
pub struct Role {
    name: &'static str,
    endpoints: Vec<Endpoint>,
}

/// One path, and what answers it.
pub struct Endpoint {
    path: &'static str,
    kind: Kind,
    answer: Box<dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync>,
}

/// Whether an endpoint tells something or does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `GET`, for everyone.
    Question,
    /// `POST`, for whoever has the token.
    Order,
}

impl Endpoint {
    /// Answers `GET path` to everyone.
    pub fn question<F>(path: &'static str, answer: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(path, Kind::Question, answer)
    }

    /// Does what `POST path` asks for, to whoever has the token.
    pub fn order<F>(path: &'static str, answer: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(path, Kind::Order, answer)
    }

    fn new<F>(
        path: &'static str,
        kind: Kind,
        answer: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let answer = Box::new(move || -> BoxFuture<'static, Answer> { Box::pin(answer()) });
        Self { path, kind, answer }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.path)
    }
}

impl Role {
    /// A command that runs once and takes no orders.
    pub fn one_shot(name: &'static str) -> Self {
        let vitals = Vitals::steady();
        let shown = vitals.clone();
        let status = Endpoint::question("/status", move || {
            let uptime_ms = shown.uptime().as_millis();
            let document =
                serde_json::json!({"role": name, "version": VERSION, "uptime_ms": uptime_ms});
            async move { Answer::json(&document) }
        });
        Self::new(name, &vitals, vec![status])
    }

    /// A role that tells how it is by `vitals`, and has these endpoints, `/status` among them.
    pub fn new(name: &'static str, vitals: &Vitals, endpoints: Vec<Endpoint>) -> Self {
        let (alive, ready) = (vitals.clone(), vitals.clone());
        let common = [
            Endpoint::question("/livez", move || {
                let answer = livez(&alive);
                async { answer }
            }),
            Endpoint::question("/readyz", move || {
                let answer = readyz(&ready);
                async { answer }
            }),
            Endpoint::question("/metrics", || async { metrics_text() }),
        ];
        Self {
            name,
            endpoints: common.into_iter().chain(endpoints).collect(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Answers one request; `authorization` is what that header says.
    pub fn answer<'a>(
        &'a self,
        (method, path): (&'a Method, &'a str),
        token: Option<&'a Token>,
        authorization: Option<&'a [u8]>,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let Some(endpoint) = self.endpoints.iter().find(|known| known.path == path) else {
                return Answer::text(StatusCode::NOT_FOUND, self.paths());
            };
            let refused = match endpoint.kind {
                Kind::Question if [Method::GET, Method::HEAD].contains(method) => None,
                Kind::Order if method == Method::POST => refusal(token, authorization),
                Kind::Question | Kind::Order => Some(Answer::text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "GET asks, POST orders\n",
                )),
            };
            match refused {
                Some(refused) => refused,
                None => (endpoint.answer)().await,
            }
        })
    }

    fn paths(&self) -> String {
        let paths: Vec<&str> = self.endpoints.iter().map(|known| known.path).collect();
        format!("not here; there is {}\n", paths.join(" "))
    }
}

fn refusal(token: Option<&Token>, authorization: Option<&[u8]>) -> Option<Answer> {
    let Some(token) = token else {
        let reason = "no token is configured: set http.token_file or SKEIN_HTTP_TOKEN\n";
        return Some(Answer::text(StatusCode::FORBIDDEN, reason));
    };
    let given = authorization.and_then(|value| value.strip_prefix(b"Bearer "));
    if given.is_some_and(|given| token.is(given)) {
        return None;
    }
    let reason = "the header `Authorization: Bearer TOKEN` is missing or wrong\n";
    Some(Answer::text(StatusCode::UNAUTHORIZED, reason))
}

fn livez(vitals: &Vitals) -> Answer {
    match vitals.stalled() {
        None => Answer::text(StatusCode::OK, "ok\n"),
        Some(since) => {
            let text = format!("nothing has moved for {} s\n", since.as_secs());
            Answer::text(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

fn readyz(vitals: &Vitals) -> Answer {
    let reasons = vitals.reasons();
    if reasons.is_empty() {
        return Answer::text(StatusCode::OK, "ok\n");
    }
    Answer::text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}

fn metrics_text() -> Answer {
    Answer {
        status: StatusCode::OK,
        content_type: "text/plain; version=0.0.4",
        body: telemetry::metrics_text().into(),
    }
}
