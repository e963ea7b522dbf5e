//! The one error of this crate.

use std::path::PathBuf;

use skein_shared::ErrorKind;

use crate::unavailable::Unavailable;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed while a local server was started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of a local server could not be read or written.
    #[error("{operation} failed; path=`{path}`")]
    File {
        /// What was being done.
        operation: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// A socket, thread or runtime could not be had.
    #[error("start of {server} failed; step=`{step}`")]
    Start {
        /// Which server.
        server: &'static str,
        /// At which step.
        step: &'static str,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// The embedded broker refused, or has ended.
    #[error("embedded broker: {operation} failed; reason=`{reason}`")]
    Broker {
        /// What was asked of it.
        operation: &'static str,
        /// Its words.
        reason: String,
    },
    /// The data directory holds something that this server did not write.
    #[error("the bucket's directory is damaged; path=`{path}` reason=`{reason}`")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A real server cannot be had on this machine.
    #[error("a real server cannot be had here; reason=`{0}`")]
    Unavailable(Unavailable),
    /// An option is not what it has to be.
    #[error("{what} is not valid; input=`{input}` reason=`{reason}`")]
    Invalid {
        /// Which option.
        what: &'static str,
        /// As it was given.
        input: String,
        /// What would be right.
        reason: String,
    },
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

impl Error {
    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { .. }
            | Self::Start { .. }
            | Self::Broker { .. }
            | Self::Unavailable(_)
            | Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }

    /// Wraps an error of the file system; for `map_err`.
    pub(crate) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }

    /// Wraps an error of a server's start; for `map_err`.
    pub(crate) fn start(
        server: &'static str,
        step: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Start {
            server,
            step,
            source,
        }
    }
}
