//! Points or buckets through one door, for whoever treats both alike.

use std::ops::Range;

use skein_shared::format::series_metadata::SeriesMetadata;
use skein_shared::ids::SeriesKey;
use skein_shared::rollup::Rollup;
use skein_shared::segment_fetch::MetadataFetch;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use crate::bucket_scan::{BucketOptions, BucketPiece, BucketScan};
use crate::error::Result;
use crate::segment_scan::{Piece, Scan, ScanOptions};
use crate::snapshot::Snapshot;

/// A scan of either.
#[derive(Debug)]
pub enum Reading {
    /// Of points.
    Points(Box<Scan>),
    /// Of buckets.
    Buckets(Box<BucketScan>),
}

/// What a step of either gives.
#[derive(Debug, Clone, Copy)]
pub enum AnyPiece<'a> {
    /// Points.
    Points(Piece<'a>),
    /// Buckets.
    Buckets(BucketPiece<'a>),
}

/// Rows of one series that are kept, in strictly ascending time.
#[derive(Debug, Clone)]
pub enum SeriesRows {
    /// Points.
    Points {
        /// Milliseconds since the epoch.
        timestamps_ms: Vec<i64>,
        /// As many values.
        values: Vec<f64>,
    },
    /// Buckets.
    Buckets(Rollup),
}

impl Reading {
    /// Begins to read what the snapshot selects.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key.
    pub async fn start(
        snapshot: Snapshot,
        (span, resolution): (TimeSpan, Resolution),
        metadata: MetadataFetch,
    ) -> Result<Self> {
        if resolution.is_raw() {
            let points = Scan::start(snapshot, ScanOptions { span, metadata }).await?;
            return Ok(Self::Points(Box::new(points)));
        }
        let options = BucketOptions {
            resolution,
            span,
            metadata,
        };
        let buckets = BucketScan::start(snapshot, options).await?;
        Ok(Self::Buckets(Box::new(buckets)))
    }

    /// The next piece: by series, then by window; `None` at the end.
    ///
    /// # Errors
    /// The bucket's, or corrupt with the object's key and the place.
    pub async fn next(&mut self) -> Result<Option<AnyPiece<'_>>> {
        Ok(match self {
            Self::Points(scan) => scan.next().await?.map(AnyPiece::Points),
            Self::Buckets(scan) => scan.next().await?.map(AnyPiece::Buckets),
        })
    }
}

impl<'a> AnyPiece<'a> {
    /// Which series.
    pub fn key(&self) -> SeriesKey {
        match self {
            Self::Points(piece) => piece.key,
            Self::Buckets(piece) => piece.key,
        }
    }

    /// What is known about it.
    pub fn metadata(&self) -> Option<&'a SeriesMetadata> {
        match self {
            Self::Points(piece) => piece.metadata,
            Self::Buckets(piece) => piece.metadata,
        }
    }

    /// The same rows with other metadata.
    #[must_use]
    pub fn described_by(self, metadata: Option<&'a SeriesMetadata>) -> Self {
        match self {
            Self::Points(piece) => Self::Points(Piece { metadata, ..piece }),
            Self::Buckets(piece) => Self::Buckets(BucketPiece { metadata, ..piece }),
        }
    }

    /// Time of each row, or the begin of its bucket.
    pub fn times_ms(&self) -> &'a [i64] {
        match self {
            Self::Points(piece) => piece.timestamps_ms,
            Self::Buckets(piece) => &piece.rollup.starts_ms,
        }
    }

    /// Some of the rows; of buckets they are copied into `room`.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub fn part<'b>(&self, rows: Range<usize>, room: &'b mut Rollup) -> AnyPiece<'b>
    where
        'a: 'b,
    {
        match self {
            Self::Points(piece) => AnyPiece::Points(Piece {
                timestamps_ms: &piece.timestamps_ms[rows.clone()],
                values: &piece.values[rows],
                ..*piece
            }),
            Self::Buckets(piece) => {
                room.begin(piece.rollup.resolution());
                for row in rows {
                    room.push(&piece.rollup.bucket(row));
                }
                AnyPiece::Buckets(BucketPiece {
                    rollup: room,
                    ..*piece
                })
            }
        }
    }
}

impl SeriesRows {
    /// No rows.
    pub fn empty(resolution: Resolution) -> Self {
        if resolution.is_raw() {
            return Self::Points {
                timestamps_ms: Vec::new(),
                values: Vec::new(),
            };
        }
        Self::Buckets(Rollup::new(resolution))
    }

    /// Time of each row, or the begin of its bucket.
    pub fn times_ms(&self) -> &[i64] {
        match self {
            Self::Points { timestamps_ms, .. } => timestamps_ms,
            Self::Buckets(rollup) => &rollup.starts_ms,
        }
    }

    /// Leaves the rows that lie in one of the spans.
    pub fn keep_in(&mut self, spans: &[TimeSpan]) {
        let is_kept = |ms: i64| spans.iter().any(|span| span.contains(TimestampMs(ms)));
        match self {
            Self::Points {
                timestamps_ms,
                values,
            } => {
                let mut times = timestamps_ms.iter();
                values.retain(|_| times.next().is_some_and(|ms| is_kept(*ms)));
                timestamps_ms.retain(|ms| is_kept(*ms));
            }
            Self::Buckets(rollup) => {
                let mut kept = Rollup::new(rollup.resolution());
                for bucket in rollup.buckets().filter(|it| is_kept(it.start_ms)) {
                    kept.push(&bucket);
                }
                *rollup = kept;
            }
        }
    }

    /// Takes the rows of a piece behind its own.
    ///
    /// # Panics
    /// If one has points and the other buckets.
    pub fn append(&mut self, piece: &AnyPiece<'_>) {
        match (self, piece) {
            (
                Self::Points {
                    timestamps_ms,
                    values,
                },
                AnyPiece::Points(piece),
            ) => {
                timestamps_ms.extend_from_slice(piece.timestamps_ms);
                values.extend_from_slice(piece.values);
            }
            (Self::Buckets(rollup), AnyPiece::Buckets(piece)) => {
                for bucket in piece.rollup.buckets() {
                    rollup.push(&bucket);
                }
            }
            (Self::Points { .. }, AnyPiece::Buckets(_))
            | (Self::Buckets(_), AnyPiece::Points(_)) => panic!("points are no buckets"),
        }
    }
}
