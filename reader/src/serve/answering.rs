//! Which request is answered by what: who may ask, whether there is room, and for how long.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use skein_shared::admin_http::{Answer, Endpoint, Role, VERSION, Vitals};
use skein_shared::units::Millis;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::ServeSetup;
use super::fleets::Fleets;
use super::open_scans::OpenScans;
use super::query::Query;
use super::reads::Reads;
use super::refusal::Refusal;
use super::reply::{Form, Reply};
use crate::metrics;
use crate::mirror::{BothRead, MirrorQueue};
use crate::page_token::Paged;

/// What the next page is asked for by.
const NEXT_PAGE: HeaderName = HeaderName::from_static("skein-next-page");
/// The fleet that the scan goes by.
const FLEET: HeaderName = HeaderName::from_static("skein-fleet");
/// Damages for which rows may be missing.
const DAMAGES: HeaderName = HeaderName::from_static("skein-damages");

const POINTS: &str = "/api/v1/points";
const SERIES: &str = "/api/v1/series";

/// Answers requests; clones answer from the same.
#[derive(Debug, Clone)]
pub(super) struct Answering {
    reads: Arc<Reads>,
    room: Arc<Semaphore>,
    vitals: Vitals,
    role: Arc<Role>,
}

impl Answering {
    pub(super) fn new(setup: ServeSetup) -> Self {
        let source = setup.source.clone();
        let unenrolled = setup.cutover.unenrolled.pipeline();
        let fleets = Fleets::new(source.bucket().clone(), unenrolled, setup.fleet.clone());
        let mirror = MirrorQueue::start(source, setup.settings.mirror_room as usize);
        let room = Semaphore::new(setup.settings.concurrent_reads as usize);
        let reads = Arc::new(Reads {
            setup,
            fleets,
            mirror,
            scans: OpenScans::default(),
        });
        let vitals = Vitals::starting("beginning to listen");
        Self {
            role: Arc::new(role(&reads, &vitals)),
            room: Arc::new(room),
            vitals,
            reads,
        }
    }

    pub(super) fn setup(&self) -> &ServeSetup {
        &self.reads.setup
    }

    /// The server lives; says whether it can answer.
    pub(super) fn beat(&self) {
        self.vitals
            .beat(self.reads.fleets.reason().into_iter().collect());
    }

    /// The server is about to end.
    pub(super) fn end(&self) {
        self.vitals.beat(vec!["ending".to_owned()]);
    }

    /// The role, to be looked at on an address of its own.
    pub(super) fn role(&self) -> Role {
        role(&self.reads, &self.vitals)
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let paged = match request.uri().path() {
            POINTS => Paged::Points,
            SERIES => Paged::Series,
            _ => return self.answer_of_role(&request).await,
        };
        match self.read(&request, paged).await {
            Ok(reply) => of_reply(reply),
            Err(refusal) => of_refusal(&refusal),
        }
    }

    async fn answer_of_role(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let asked = (request.method(), request.uri().path());
        let token = Some(&self.setup().token);
        let authorization = header(request, AUTHORIZATION);
        of_answer(self.role.answer(asked, token, authorization).await)
    }

    async fn read(&self, request: &Request<Incoming>, paged: Paged) -> Result<Reply, Refusal> {
        self.check(request)?;
        let accept = header(request, ACCEPT).map(String::from_utf8_lossy);
        let form = Form::accepted(accept.as_deref())?;
        let query = Query::parse(request.uri().query().unwrap_or_default(), paged)?;
        let settings = &self.setup().settings;
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::busy(settings.concurrent_reads))?;
        let (reads, limit) = (Arc::clone(&self.reads), settings.request_timeout);
        let runtime = Handle::current();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            runtime.block_on(async {
                let reply = match paged {
                    Paged::Points => reads.points(query, form),
                    Paged::Series => reads.names(query, form),
                };
                let in_time = tokio::time::timeout(limit.duration(), reply).await;
                in_time.map_err(|_| too_late(limit))?
            })
        });
        read.await.unwrap_or_else(|error| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Refusal::new(
                status,
                error.to_string(),
                "see the server's log",
            ))
        })
    }

    /// Whoever does not know the token learns nothing but that.
    fn check(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        let given = header(request, AUTHORIZATION);
        let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
        if !given.is_some_and(|given| self.setup().token.is(given)) {
            let error = "the header `Authorization: Bearer TOKEN` is missing or wrong";
            let remedy = "send the token of http.token_file or SKEIN_HTTP_TOKEN";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, error, remedy));
        }
        if request.method() != Method::GET {
            let error = format!("{} is not taken here", request.method());
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                error,
                "GET asks",
            ));
        }
        if !request.body().is_end_stream() {
            let remedy = "put everything into the URL, and send no body";
            let error = "a question has no body";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error, remedy));
        }
        Ok(())
    }
}

fn role(reads: &Arc<Reads>, vitals: &Vitals) -> Role {
    let (reads, shown) = (Arc::clone(reads), vitals.clone());
    let status = Endpoint::question("/status", move || {
        let BothRead {
            tally,
            visible,
            new,
        } = reads.mirror.found();
        let quantiles = |time: &skein_shared::stage_time::StageTime| {
            let ms = |share| time.quantile(share).as_secs_f64() * 1000.0;
            json!({"reads": time.pieces(), "p50_ms": ms(0.5), "p90_ms": ms(0.9), "p99_ms": ms(0.99)})
        };
        let document = json!({
            "role": "serve",
            "version": VERSION,
            "uptime_ms": shown.uptime().as_millis(),
            "fleet": reads.fleets.view().timelines.version(),
            "mirror": {
                "found": tally,
                "visible": quantiles(&visible),
                "new": quantiles(&new),
            },
        });
        async move { Answer::json(&document) }
    });
    Role::new("serve", vitals, vec![status])
}

fn header(request: &Request<Incoming>, name: HeaderName) -> Option<&[u8]> {
    request.headers().get(name).map(HeaderValue::as_bytes)
}

fn of_reply(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(FLEET, reply.fleet.into());
    if reply.damages > 0 {
        headers.insert(DAMAGES, reply.damages.into());
    }
    // Base64 is legal in every header.
    let next = reply.next_page.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(next)) = next {
        headers.insert(NEXT_PAGE, next);
    }
    response
}

fn of_refusal(refusal: &Refusal) -> Response<Full<Bytes>> {
    metrics::request_refused(refusal.status.as_u16());
    let mut answer = Answer::json(refusal);
    answer.status = refusal.status;
    let mut response = of_answer(answer);
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after_s() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

fn of_answer(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn too_late(limit: Millis) -> Refusal {
    let error = format!("the page was not read within {limit}");
    let remedy = "ask for a smaller page or span; serve.request_timeout is the limit";
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, error, remedy)
}
