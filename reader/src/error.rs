//! The one error of this crate.

use skein_shared::ErrorKind;

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
    /// What was read does not suit the output that was asked for.
    #[error("show points as {format} failed; reason=`{reason}`")]
    Unsuitable {
        /// The output.
        format: &'static str,
        /// Why not, and what to do.
        reason: String,
    },
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Shared(error) => error.kind(),
            Self::Output(_)
            | Self::Export { .. }
            | Self::Table { .. }
            | Self::Series { .. }
            | Self::Unsuitable { .. } => ErrorKind::Invalid,
        }
    }
}
