//! Whole series of a scan, one after the other.

use skein_shared::ids::SeriesKey;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{Resolution, TimeSpan};

use crate::error::Result;
use crate::reading::{Reading, SeriesRows};
use crate::snapshot::Snapshot;

/// Puts the pieces of each series together.
pub(super) struct SeriesReader {
    reading: Reading,
    resolution: Resolution,
    /// The first piece of the next series.
    next: Option<(SeriesKey, SeriesRows)>,
}

impl SeriesReader {
    pub(super) async fn start(
        snapshot: Snapshot,
        (span, resolution): (TimeSpan, Resolution),
    ) -> Result<Self> {
        let rows = (span, resolution);
        let mut reader = Self {
            reading: Reading::start(snapshot, rows, MetadataFetch::Skip).await?,
            resolution,
            next: None,
        };
        reader.next = reader.piece().await?;
        Ok(reader)
    }

    /// Which series [`SeriesReader::take`] gives.
    pub(super) fn peek(&self) -> Option<SeriesKey> {
        self.next.as_ref().map(|(key, _)| *key)
    }

    /// No rows of what is read.
    pub(super) fn nothing(&self) -> SeriesRows {
        SeriesRows::empty(self.resolution)
    }

    /// All rows of the next series; none at the end.
    pub(super) async fn take(&mut self) -> Result<SeriesRows> {
        let Some((key, mut rows)) = self.next.take() else {
            return Ok(SeriesRows::empty(self.resolution));
        };
        while let Some(piece) = self.reading.next().await? {
            if piece.key() != key {
                let mut first = SeriesRows::empty(self.resolution);
                first.append(&piece);
                self.next = Some((piece.key(), first));
                break;
            }
            rows.append(&piece);
        }
        Ok(rows)
    }

    async fn piece(&mut self) -> Result<Option<(SeriesKey, SeriesRows)>> {
        let Some(piece) = self.reading.next().await? else {
            return Ok(None);
        };
        let mut rows = SeriesRows::empty(self.resolution);
        rows.append(&piece);
        Ok(Some((piece.key(), rows)))
    }
}
