//! The one table of exit codes, the same for every command.

use std::process;

use skein_shared::ErrorKind;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// All is well.
    Ok,
    /// Something failed that no input explains; trying again may help.
    Internal,
    /// The command line, a setting or a permission is wrong.
    Usage,
    /// A difference was found, or a check failed.
    Difference,
    /// Another process won a race for the same thing.
    Conflict,
    /// What was waited for did not come in time.
    TimedOut,
}

impl ExitCode {
    /// The code of an error that asks the caller for this.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Transient => Self::Internal,
            ErrorKind::Fenced => Self::Conflict,
            ErrorKind::Corrupt => Self::Difference,
            ErrorKind::Invalid => Self::Usage,
        }
    }

    /// The number that the shell sees. 4 (inconclusive) and 7 (refused as irreversible) are kept for the
    /// commands that will need them.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Difference => 3,
            Self::Conflict => 5,
            Self::TimedOut => 6,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}
