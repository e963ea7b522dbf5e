//! The one error of this crate.

use skein_shared::ErrorKind;
use skein_shared::cutover::CutoverState;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed while reading.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket, or something that was found in it.
    #[error(transparent)]
    Shared(#[from] skein_shared::Error),
    /// What was read could not be written out.
    #[error("write output failed")]
    Output(#[source] std::io::Error),
    /// A file could not be made, or not be given its name.
    #[error("export failed; file=`{file}`")]
    Export {
        /// The file.
        file: String,
        /// Why not.
        source: Box<std::io::Error>,
    },
    /// Rows could not be written into a table.
    #[error("write {format} failed")]
    Table {
        /// Form of the table.
        format: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A series was asked for by a text that names none, or more than one.
    #[error("find series failed; org=`{org}` metric=`{metric}` reason=`{reason}`")]
    Series {
        /// Whose.
        org: u64,
        /// The text as it was given.
        metric: String,
        /// Why not, and what to give instead.
        reason: String,
    },
    /// The place of an old system's points cannot be read.
    #[error("read old points failed; place=`{place}` reason=`{reason}`")]
    OldPlace {
        /// Where they should be.
        place: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Readers are to see the old pipeline's points, and this one does not know where they are.
    #[error(
        "read old points failed; org=`{org}` reason=`the old pipeline is visible to its readers, and nothing says where its \
         points are: set cutover.old_place`"
    )]
    OldUnknown {
        /// Whose.
        org: String,
    },
    /// A file of Parquet is damaged, or of a kind that is not read.
    #[error("read parquet failed; file=`{file}` reason=`{reason}`")]
    ParquetFile {
        /// Its name, below the place.
        file: String,
        /// Why not.
        reason: String,
    },
    /// A column of a file of Parquet is not what points are read from.
    #[error("read parquet failed; file=`{file}` column=`{column}` reason=`{reason}`")]
    ParquetColumn {
        /// The file's name, below the place.
        file: String,
        /// The column's name.
        column: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The new pipeline's points of an org are not to be read yet.
    #[error(
        "read points of the new pipeline failed; org=`{org}` state=`{state}` reason=`{reason}`"
    )]
    NotYet {
        /// Whose.
        org: u64,
        /// Where its cutover stands.
        state: CutoverState,
        /// Why not, and how to see them all the same.
        reason: &'static str,
    },
    /// What was read does not suit the output that was asked for.
    #[error("show points as {format} failed; reason=`{reason}`")]
    Unsuitable {
        /// The output.
        format: &'static str,
        /// Why not, and what to do.
        reason: String,
    },
    /// A comparison was asked to stop; what it has done is kept.
    #[error("the comparison was stopped; `skein diff resume` goes on with it")]
    Stopped,
    /// What a comparison keeps, or was given, cannot be used.
    #[error("compare failed; place=`{place}` reason=`{reason}`")]
    Comparison {
        /// The file or directory.
        place: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// A page was asked for by a text that no page ended with.
    #[error("read page token failed; reason=`{reason}`")]
    PageToken {
        /// What is wrong with it.
        reason: String,
    },
    /// A scan went on for longer than its fleet is kept up.
    #[error("page token has expired: begin the scan anew; begun=`{issued}` lifetime=`{lifetime}`")]
    PageExpired {
        /// When the scan began.
        issued: TimestampMs,
        /// How long it may go on.
        lifetime: Millis,
    },
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Shared(error) => error.kind(),
            Self::ParquetFile { .. } => ErrorKind::Corrupt,
            Self::Output(_)
            | Self::OldPlace { .. }
            | Self::OldUnknown { .. }
            | Self::ParquetColumn { .. }
            | Self::NotYet { .. }
            | Self::Export { .. }
            | Self::Table { .. }
            | Self::Series { .. }
            | Self::Unsuitable { .. }
            | Self::Stopped
            | Self::Comparison { .. }
            | Self::PageToken { .. }
            | Self::PageExpired { .. } => ErrorKind::Invalid,
        }
    }
}
