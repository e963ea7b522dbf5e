//! One request for points, buckets or names: scope, snapshot, page, reply.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::{LocalBoxFuture, try_join};
use hyper::StatusCode;
use skein_config::cutover::timelines::Timelines;
use skein_shared::cutover::CutoverState;
use skein_shared::ids::{MetricId, OrgId};
use skein_shared::timeline::{Phase, Pipeline};
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use super::ServeSetup;
use super::fleets::Fleets;
use super::names::NamePage;
use super::open_scans::OpenScans;
use super::query::{Demand, Query};
use super::refusal::Refusal;
use super::reply::{Form, PageNotes, Reply};
use crate::metrics;
use crate::mirror::{
    EmptyRead, MirrorQueue, MirrorShare, MirrorTask, MirroredRead, MirroredSeries,
};
use crate::page_token::{LastRow, PageScope, PageToken, Paged};
use crate::paged_scan::{Page, PageRequest, read_page};
use crate::reading::{AnyPiece, SeriesRows};
use crate::series_names;
use crate::snapshot::{Selection, Snapshot};

/// Most damages that a page names.
const NAMED_DAMAGES: usize = 10;

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) setup: ServeSetup,
    pub(super) fleets: Fleets,
    pub(super) mirror: MirrorQueue,
    pub(super) scans: OpenScans,
}

/// What a page is read by.
struct Begun {
    timelines: Timelines,
    /// When its scan took them.
    issued: TimestampMs,
    after: Option<LastRow>,
    /// What is there of the org.
    whole: Snapshot,
}

/// Rows of the series that are mirrored, on their way to the reader.
struct Mirrored {
    share: MirrorShare,
    resolution: Resolution,
    series: BTreeMap<MetricId, SeriesRows>,
}

impl Reads {
    /// Answers a request for rows.
    pub(super) fn points(
        &self,
        query: Query,
        form: Form,
    ) -> LocalBoxFuture<'_, Result<Reply, Refusal>> {
        Box::pin(async move {
            let org = org_of(&query)?;
            let begun = self.begin(&query, org).await?;
            let scope = scope_of(&query, org, &begun.whole).await?;
            let snapshot = begun.whole.narrowed(scope.selection());
            let damages = damages_of(&snapshot, scope, query.demand)?;
            let request = PageRequest {
                scope,
                after: begun.after,
                page_bytes: self.page_bytes(&query),
                form: form.rows(),
            };
            let mut mirrored = Mirrored {
                share: MirrorShare::of(&begun.timelines, org),
                resolution: scope.resolution,
                series: BTreeMap::new(),
            };
            let started = Instant::now();
            let mut seen = |piece: &AnyPiece<'_>| mirrored.see(piece);
            let page = read_page(&snapshot, request, &mut seen).await?;
            let took = scope.metric.map(|_| started.elapsed());
            metrics::page_given(form.name(), page.rows, page.body.len());
            let token = page
                .last
                .map(|last| begun.token(Paged::Points, scope, last));
            self.look_again(&request, &page, (&begun, mirrored, took));
            self.keep_open(token, &begun);
            let notes = PageNotes {
                fleet: begun.timelines.version(),
                rows: page.rows,
                damages,
                next_page: None,
            };
            Reply::new(form, page.body, notes.next(token))
        })
    }

    /// Answers a request for names.
    pub(super) fn names(
        &self,
        query: Query,
        form: Form,
    ) -> LocalBoxFuture<'_, Result<Reply, Refusal>> {
        Box::pin(async move {
            let org = org_of(&query)?;
            let begun = self.begin(&query, org).await?;
            let scope = PageScope {
                org,
                metric: None,
                span: TimeSpan::ALL,
                resolution: Resolution::Raw,
            };
            let named = series_names::list(&begun.whole).await?;
            let after = begun.after.map(|last| last.metric);
            let page = NamePage::of(org, named, after);
            let page = page.cut(form.rows(), self.page_bytes(&query))?;
            metrics::page_given(form.name(), page.rows, page.body.len());
            let token = page
                .last
                .map(|last| begun.token(Paged::Series, scope, last));
            self.keep_open(token, &begun);
            let notes = PageNotes {
                fleet: begun.timelines.version(),
                rows: page.rows,
                damages: Vec::new(),
                next_page: None,
            };
            Reply::new(form, page.body, notes.next(token))
        })
    }

    /// Takes the timelines of the scan, and what is there now.
    async fn begin(&self, query: &Query, org: OrgId) -> Result<Begun, Refusal> {
        let source = &self.setup.source;
        let timelines = match &query.page {
            None => self.fleets.newest()?,
            Some(token) => self.fleets.of(token.fleet).await?,
        };
        let load = source.load(timelines.clone(), Selection::Org(org));
        let now = async { Ok(source.bucket().now().await?) };
        let (whole, now) = try_join(load, now).await?;
        let page = query.page.as_ref();
        let whole = match page {
            None => whole,
            Some(token) => {
                token.check_age(now, self.setup.cutover.token_lifetime)?;
                self.scans.reopened(token, whole)
            }
        };
        Ok(Begun {
            timelines,
            issued: page.map_or(now, |token| token.issued),
            after: page.map(|token| token.last),
            whole,
        })
    }

    fn keep_open(&self, next: Option<PageToken>, begun: &Begun) {
        if let Some(token) = next {
            self.scans.keep(token, begun.whole.clone());
        }
    }

    fn page_bytes(&self, query: &Query) -> usize {
        let most = self.setup.settings.page_bytes.as_usize();
        query.page_bytes.map_or(most, |asked| asked.min(most))
    }

    /// Hands what was answered to whoever compares, after the answer is made.
    fn look_again(
        &self,
        request: &PageRequest,
        page: &Page,
        (begun, mirrored, took): (&Begun, Mirrored, Option<Duration>),
    ) {
        let scope = request.scope;
        let series = mirrored.covered(request, page);
        if !series.is_empty() {
            self.mirror.offer(MirrorTask::Compare(MirroredRead {
                timelines: begun.timelines.clone(),
                resolution: scope.resolution,
                org: scope.org,
                series,
                visible_took: took,
            }));
        }
        let is_empty = page.rows == 0 && request.after.is_none() && scope.metric.is_some();
        if is_empty && self.setup.cutover.dual_lookup && is_switched(&begun.timelines, scope) {
            self.mirror.offer(MirrorTask::LookUp(EmptyRead {
                timelines: begun.timelines.clone(),
                scope,
            }));
        }
    }
}

impl Begun {
    fn token(&self, paged: Paged, scope: PageScope, last: LastRow) -> PageToken {
        PageToken {
            fleet: self.timelines.version(),
            paged,
            scope,
            last,
            issued: self.issued,
        }
    }
}

impl Mirrored {
    fn see(&mut self, piece: &AnyPiece<'_>) {
        let key = piece.key();
        if self.share.takes(key) {
            let rows = self.series.entry(key.metric);
            let rows = rows.or_insert_with(|| SeriesRows::empty(self.resolution));
            rows.append(piece);
        }
    }

    /// What was seen, with the span in which nothing of each series was left out. A single series of which there is
    /// nothing is among it: the new pipeline may have some.
    fn covered(mut self, request: &PageRequest, page: &Page) -> Vec<MirroredSeries> {
        let scope = request.scope;
        if let Some(metric) = scope.metric
            && self.share.takes(scope.key(metric))
        {
            let rows = self.series.entry(metric);
            rows.or_insert_with(|| SeriesRows::empty(self.resolution));
        }
        let behind = |last: &LastRow| TimestampMs(last.at.0.saturating_add(1));
        let covered = self.series.into_iter().map(|(metric, rows)| {
            let is_of = |last: &&LastRow| last.metric == metric;
            let (after, last) = (request.after.as_ref(), page.last.as_ref());
            let span = TimeSpan {
                from: after.filter(is_of).map_or(scope.span.from, behind),
                to: last.filter(is_of).map_or(scope.span.to, behind),
            };
            MirroredSeries { metric, span, rows }
        });
        covered.collect()
    }
}

fn org_of(query: &Query) -> Result<OrgId, Refusal> {
    let of_page = query.page.as_ref().map(|token| token.scope.org);
    query.org.or(of_page).ok_or_else(|| {
        let error = "the parameter `org` is missing";
        Refusal::new(StatusCode::BAD_REQUEST, error, "add org=NUMBER")
    })
}

/// What is scanned: by the page's own words, which the request may repeat, or by the request's.
async fn scope_of(query: &Query, org: OrgId, whole: &Snapshot) -> Result<PageScope, Refusal> {
    let metric = match &query.metric {
        None => None,
        Some(text) => Some(series_names::find(whole, org, text).await?),
    };
    if let Some(token) = &query.page {
        let scope = token.scope;
        let changed = |name, text: String| {
            let error = "the page belongs to a scan with another value";
            let remedy = "repeat what the scan began with, or leave it out";
            Err(Refusal::of(name, text, (error, remedy)))
        };
        let is_kept = |given: Option<TimestampMs>, of_scan| given.is_none_or(|at| at == of_scan);
        return match query {
            _ if org != scope.org => changed("org", org.to_string()),
            _ if metric.is_some() && metric != scope.metric => {
                changed("metric", query.metric.clone().unwrap_or_default())
            }
            _ if !is_kept(query.from, scope.span.from) => changed("from", shown(query.from)),
            _ if !is_kept(query.to, scope.span.to) => changed("to", shown(query.to)),
            Query {
                resolution: Some(other),
                ..
            } if *other != scope.resolution => changed("resolution", other.to_string()),
            _ => Ok(scope),
        };
    }
    let span = TimeSpan {
        from: query.from.unwrap_or(TimeSpan::ALL.from),
        to: query.to.unwrap_or(TimeSpan::ALL.to),
    };
    let resolution = query.resolution.unwrap_or(Resolution::Raw);
    if resolution.buckets_in(span).is_empty() {
        let error = if span.is_empty() {
            format!("from {} does not lie before to {}", span.from, span.to)
        } else {
            format!("no bucket of {resolution} begins between from and to")
        };
        let remedy = "give a wider span, or a finer resolution";
        return Err(Refusal::of("from", shown(query.from), (error, remedy)));
    }
    Ok(PageScope {
        org,
        metric,
        span,
        resolution,
    })
}

fn shown(time: Option<TimestampMs>) -> String {
    time.map_or_else(String::new, |time| time.to_string())
}

/// The damages for which rows of the scope may be missing.
fn damages_of(
    snapshot: &Snapshot,
    scope: PageScope,
    demand: Demand,
) -> Result<Vec<String>, Refusal> {
    let incomplete = snapshot.incomplete(scope.resolution.buckets_in(scope.span));
    let named = incomplete.iter().take(NAMED_DAMAGES);
    let named: Vec<String> = named
        .map(|(shard, damage)| format!("{shard}: {}", damage.id))
        .collect();
    match demand {
        Demand::Refuse if !named.is_empty() => {
            let damages = named.join(", ");
            let error = format!("points may be missing, because state is damaged: {damages}");
            let remedy = "`skein quarantine ls` says what to do; without require_complete the \
                          others are given";
            Err(Refusal::new(StatusCode::CONFLICT, error, remedy))
        }
        Demand::Refuse | Demand::Tell => Ok(named),
    }
}

/// Whether the new pipeline is visible after a cutover anywhere in the scope.
fn is_switched(timelines: &Timelines, scope: PageScope) -> bool {
    let cutover = timelines.cutover(scope.org);
    cutover.is_some_and(|cutover| {
        let is_new = |phase: &Phase| phase.visible == Pipeline::New;
        let mut phases = cutover.timeline.phases_in(scope.span);
        cutover.state >= CutoverState::Switched && phases.any(|(_, phase)| is_new(&phase))
    })
}
