//! A segment's series without the points that deletes take, and without those of an unfiltered one that amend nothing.

use std::sync::Arc;

use skein_config::cutover::timelines::OwnershipFilter;
use skein_shared::delete_rule::DeleteMask;
use skein_shared::format::order_column::ChainTable;
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::format::shard_manifest::Deleted;
use skein_shared::ids::SeriesKey;
use skein_shared::segment_fetch::{CursorRange, SegmentCursor};
use skein_shared::window::Window;

use crate::error::Result;
use crate::snapshot::{OpenSegment, Selection, Snapshot};
use crate::visible::AmendRule;

/// A cursor over raw points that masks what is deleted and not yet taken out of the segment.
#[derive(Debug)]
pub struct MaskedCursor {
    cursor: SegmentCursor,
    mask: DeleteMask,
    window: Window,
    /// Of an unfiltered segment.
    amend: Option<AmendRule>,
    peeked: Option<SeriesKey>,
}

impl MaskedCursor {
    /// Begins before the first series of `range`, which is of `selection`, and of one org; orders carry the indexes of `chains`.
    ///
    /// # Panics
    /// If `chains` lacks a chain of the segment.
    pub fn new(
        snapshot: &Snapshot,
        segment: &OpenSegment,
        selection: Selection,
        (chains, range): (&ChainTable, CursorRange),
    ) -> Self {
        let org = selection.org();
        let amend = match (segment.filter, org) {
            (OwnershipFilter::Everything, Some(org)) => {
                AmendRule::new(snapshot.timelines(), org, chains)
            }
            (OwnershipFilter::Owned | OwnershipFilter::Everything, _) => None,
        };
        Self {
            amend,
            cursor: SegmentCursor::within(Arc::clone(&segment.file), chains, range),
            mask: snapshot.mask(segment, selection, chains),
            window: segment.file.footer().identity.window,
            peeked: None,
        }
    }

    /// The series that [`MaskedCursor::next`] reads next; `None` at the end.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place.
    pub async fn peek(&mut self) -> Result<Option<SeriesKey>> {
        self.peeked = self.cursor.peek().await?;
        Ok(self.peeked)
    }

    /// The series that the last [`MaskedCursor::peek`] named.
    pub fn peeked(&self) -> Option<SeriesKey> {
        self.peeked
    }

    /// The metadata of the series that the last [`MaskedCursor::peek`] named, unless its record is deleted.
    pub fn peeked_metadata(&self) -> Option<&SeriesMetadata> {
        let (metadata, key) = (self.cursor.peeked_metadata()?, self.peeked?);
        let is_deleted = self.mask.takes_record(key, metadata.order, self.window);
        (!is_deleted).then_some(metadata)
    }

    /// Reads what is left of the next series into `buffer` (cleared first) and moves on.
    ///
    /// # Errors
    /// As [`MaskedCursor::peek`]; also when the segment is a rollup.
    pub async fn next(&mut self, buffer: &mut SeriesBuffer) -> Result<()> {
        if let Some((key, _)) = self.cursor.next(buffer).await? {
            self.mask.drop_of_segment(key, buffer, &mut Deleted::new());
            if let Some(amend) = &self.amend {
                amend.apply(buffer);
            }
        }
        Ok(())
    }
}
