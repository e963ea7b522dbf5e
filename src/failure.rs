//! Why a command did not do what it was asked, in words for a person and a code for a script.

use std::error::Error;
use std::io;

use skein_shared::ErrorKind;

use crate::exit_code::ExitCode;

/// Result of a command.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// A command's end before its time.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Said on stderr, with its exit code.
    Said(ExitCode, String),
    /// The reader of our output has gone, which is its right: nothing is said.
    BrokenPipe,
}

impl Failure {
    /// A failure of the kind that an error asks the caller to treat it as.
    pub(crate) fn of(kind: ErrorKind, error: &dyn Error) -> Self {
        Self::Said(ExitCode::of(kind), with_sources(error))
    }

    /// A failure of a task, with the code that engines retry by.
    pub(crate) fn of_task(error: &skein_compactor::Error) -> Self {
        Self::Said(ExitCode::of_task(error), with_sources(error))
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Said(ExitCode::Usage, message.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::Said(
            ExitCode::Internal,
            format!("write output failed; reason=`{error}`"),
        )
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

/// Errors of the crates carry the kind that decides the exit code.
macro_rules! failure_from {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::of(error.kind(), &error)
            }
        }
    )*};
}
failure_from!(
    skein_shared::Error,
    skein_config::Error,
    skein_connector::Error,
    skein_compactor::Error,
    skein_loadtest::Error,
    skein_local::Error,
);

impl From<skein_reader::Error> for Failure {
    fn from(error: skein_reader::Error) -> Self {
        // Whoever read our output may close it, as `head` does.
        if let skein_reader::Error::Output(error) = error {
            return error.into();
        }
        Self::of(error.kind(), &error)
    }
}

/// An error's text and those of its sources, since no text repeats its source.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
