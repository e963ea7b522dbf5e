//! Reads over HTTP, for whoever has the token: page by page, as JSON or Arrow.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/points?org=&metric=&from=&to=&resolution=&page=` | rows of points or buckets |
//! | `GET /api/v1/series?org=&page=` | names of series, by their ids |
//! | `GET /livez`, `/readyz`, `/metrics`, `/status` | as of every role, to everyone |
//!
//! Reads decode on threads of their own, at most so many at the same time as `serve.concurrent_reads` says; what comes
//! beyond is told to come again. It speaks plain HTTP: keep it inside, or put a proxy before it.

mod refusal;
mod query;
mod reply;
mod fleets;
mod names;
mod open_scans;
mod reads;
mod answering;
mod listening;

use skein_config::cutover::acknowledger::FleetView;
use skein_config::cutover::settings::CutoverSettings;
use skein_config::serve::ServeSettings;
use skein_shared::admin_http::Token;
use tokio::sync::watch;

use crate::read_source::ReadSource;

pub use listening::Serving;

/// What a server needs.
#[derive(Debug, Clone)]
pub struct ServeSetup {
    /// Where rows are.
    pub source: ReadSource,
    /// How much at the same time, and for how long.
    pub settings: ServeSettings,
    /// How long a scan may go on, and whether empty reads are made again.
    pub cutover: CutoverSettings,
    /// What a reader has to know.
    pub token: Token,
    /// By which scans that begin go.
    pub fleet: watch::Receiver<FleetView>,
}
