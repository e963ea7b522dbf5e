//! A scan page by page: each as large as was asked for, each to go on after its last row.
//!
//! Pages of any size joined are one scan. Nothing is kept between two pages: a page is read from the snapshot of its own
//! moment, by the timelines that its scan began with.

use futures::future::LocalBoxFuture;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::MetricId;
use skein_shared::rollup::Rollup;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::error::Result;
use crate::page_body::PageBody;
use crate::page_token::{LastRow, PageScope};
use crate::reading::{AnyPiece, Reading};
use crate::snapshot::{Selection, Snapshot};

pub use crate::page_body::PageForm;

/// A page with less room than this share of it is full: what would still fit is not worth a line of its own.
const WORTHLESS_SHARE: usize = 16;

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Of what.
    pub scope: PageScope,
    /// The last row of the page before; `None` for the first.
    pub after: Option<LastRow>,
    /// About how many bytes it has; one row at least.
    pub page_bytes: usize,
    /// How its rows are written.
    pub form: PageForm,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its rows, as they were asked for.
    pub body: Vec<u8>,
    /// How many.
    pub rows: usize,
    /// The last of them, if more come after it.
    pub last: Option<LastRow>,
}

/// A part of a scan that is read in one go.
struct Leg {
    selection: Selection,
    span: TimeSpan,
    /// Rows of it were given already.
    is_resumed: bool,
}

/// A page that is being filled.
struct Filling<'a> {
    body: PageBody,
    page_bytes: usize,
    last: Option<LastRow>,
    room: Rollup,
    seen: &'a mut dyn FnMut(&AnyPiece<'_>),
}

/// Reads a page out of a snapshot of the scope's selection; `seen` is shown all rows on their way.
///
/// # Errors
/// The bucket's, or corrupt with the object's key and the place.
pub fn read_page<'a>(
    snapshot: &'a Snapshot,
    request: PageRequest,
    seen: &'a mut dyn FnMut(&AnyPiece<'_>),
) -> LocalBoxFuture<'a, Result<Page>> {
    Box::pin(async move {
        let PageRequest { scope, after, .. } = request;
        let mut filling = Filling {
            body: PageBody::new(request.form, scope.resolution),
            page_bytes: request.page_bytes,
            last: None,
            room: Rollup::default(),
            seen,
        };
        for leg in legs(scope, after) {
            if !filling.take_leg(snapshot, scope, leg).await? {
                return filling.end(Ended::Full);
            }
        }
        filling.end(Ended::AllRead)
    })
}

/// Why a page ends.
#[derive(Clone, Copy)]
enum Ended {
    Full,
    AllRead,
}

/// What is left of a scan after a row: the rest of its series, and the series behind it.
fn legs(scope: PageScope, after: Option<LastRow>) -> Vec<Leg> {
    let span = scope.span;
    let Some(after) = after else {
        return vec![Leg {
            selection: scope.selection(),
            span,
            is_resumed: false,
        }];
    };
    let rest = TimeSpan {
        from: TimestampMs(after.at.0.saturating_add(1)).max(span.from),
        to: span.to,
    };
    let mut legs = Vec::new();
    if !scope.resolution.buckets_in(rest).is_empty() {
        legs.push(Leg {
            selection: Selection::Series(scope.key(after.metric)),
            span: rest,
            is_resumed: true,
        });
    }
    let next = after.metric.0.checked_add(1);
    if let (None, Some(next)) = (scope.metric, next) {
        legs.push(Leg {
            selection: Selection::OrgFrom(scope.key(MetricId(next))),
            span,
            is_resumed: false,
        });
    }
    legs
}

impl Filling<'_> {
    /// Whether the leg was read to its end.
    async fn take_leg(&mut self, snapshot: &Snapshot, scope: PageScope, leg: Leg) -> Result<bool> {
        let part = snapshot.narrowed(leg.selection);
        let fetch = if leg.is_resumed {
            MetadataFetch::Skip
        } else {
            MetadataFetch::Fetch
        };
        let mut known = None;
        let rows = (leg.span, scope.resolution);
        let mut reading = Reading::start(part.clone(), rows, fetch).await?;
        while let Some(piece) = reading.next().await? {
            if leg.is_resumed && known.is_none() {
                known = Some(metadata_of(&part, scope).await?);
            }
            let piece = match &known {
                Some(metadata) => piece.described_by(metadata.as_ref()),
                None => piece,
            };
            if self.take(&piece)? < piece.times_ms().len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes as many rows as there is room for; answers how many.
    fn take(&mut self, piece: &AnyPiece<'_>) -> Result<usize> {
        let times = piece.times_ms();
        let mut taken = 0;
        while taken < times.len() {
            let room = self.page_bytes.saturating_sub(self.body.bytes());
            let is_full = room < self.body.row_bytes() || room < self.page_bytes / WORTHLESS_SHARE;
            if is_full && self.body.rows() > 0 {
                break;
            }
            let fitting = (room / self.body.row_bytes()).max(1);
            let end = times.len().min(taken + fitting);
            let part = piece.part(taken..end, &mut self.room);
            self.body.write(&part)?;
            (self.seen)(&part);
            self.last = Some(LastRow {
                metric: piece.key().metric,
                at: TimestampMs(times[end - 1]),
            });
            taken = end;
        }
        Ok(taken)
    }

    fn end(self, ended: Ended) -> Result<Page> {
        Ok(Page {
            rows: self.body.rows(),
            body: self.body.finish()?,
            last: match ended {
                Ended::Full => self.last,
                Ended::AllRead => None,
            },
        })
    }
}

/// What the first page said of the series whose rows go on: the newest metadata of the whole span.
async fn metadata_of(series: &Snapshot, scope: PageScope) -> Result<Option<SeriesMetadata>> {
    let rows = (scope.span, scope.resolution);
    let mut reading = Reading::start(series.clone(), rows, MetadataFetch::Fetch).await?;
    let first = reading.next().await?;
    Ok(first.and_then(|piece| piece.metadata().cloned()))
}
