//! What a file system's refusal means: a cause, and what a person should do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::bucket::attempt::Attempt;
use crate::error::{BucketCause, Error};

/// Result of what was done to files.
pub(super) type Outcome<T> = Result<T, Trouble>;

/// A refusal, and which path it is about.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// Says which path an error is about.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Trouble {
    let path = path.to_owned();
    |error| Trouble { path, error }
}

impl Trouble {
    fn is_missing(&self) -> bool {
        self.error.kind() == ErrorKind::NotFound
    }

    /// The error of a try that met it, in the bucket at `root`.
    pub(super) fn to_error(&self, attempt: Attempt<'_>, root: &Path) -> Error {
        let Self { path, error } = self;
        let (cause, advice) = if self.is_missing() && !root.exists() {
            let advice = "; create the directory, mount it, or correct `bucket.url`";
            (BucketCause::NoBucket, advice)
        } else if error.raw_os_error() == Some(DISK_ERROR) && !attempt.operation.is_write() {
            // One object that the disk has lost must not hide the others.
            (BucketCause::Damaged, "; the disk cannot read it")
        } else {
            meaning(error)
        };
        let reason = format!("{error}; path=`{}`{advice}", path.display());
        attempt.failed(cause, reason)
    }
}

/// Numbers of "too many open files", of a process and of all, which have no name in the standard library.
const TOO_MANY_OPEN: [i32; 2] = [24, 23];

/// Number of "input/output error", which has none either.
const DISK_ERROR: i32 = 5;

/// Only what is known to pass is tried again.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the list is the standard library's and grows; what is not known is refused"
)]
fn meaning(error: &io::Error) -> (BucketCause, &'static str) {
    if error
        .raw_os_error()
        .is_some_and(|n| TOO_MANY_OPEN.contains(&n))
    {
        let advice = "; raise the limit of open files (ulimit -n)";
        return (BucketCause::Unavailable, advice);
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            BucketCause::Full,
            "; make room on the file system, or raise its quota",
        ),
        ErrorKind::PermissionDenied => (
            BucketCause::Denied,
            "; give this user the right to it, or correct `bucket.url`",
        ),
        ErrorKind::ReadOnlyFilesystem => (
            BucketCause::Denied,
            "; the file system is mounted read-only: mount it for writing",
        ),
        ErrorKind::CrossesDevices => (
            BucketCause::Refused,
            "; everything below the bucket's directory has to lie in one file system",
        ),
        ErrorKind::Unsupported => (
            BucketCause::Refused,
            "; use a file system that makes hard links",
        ),
        // A folder that somebody else has just taken away is made again.
        ErrorKind::NotFound
        | ErrorKind::Interrupted
        | ErrorKind::WouldBlock
        | ErrorKind::TimedOut
        | ErrorKind::ResourceBusy
        | ErrorKind::StaleNetworkFileHandle => (BucketCause::Unavailable, ""),
        _ => (
            BucketCause::Refused,
            "; see what the system's log says about the disk",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::request_count::Operation;

    #[track_caller]
    fn check(number: i32, cause: BucketCause, says: &str) {
        let trouble = Trouble {
            path: "/b/k@object".into(),
            error: io::Error::from_raw_os_error(number),
        };
        let error = trouble.to_error(Attempt::bare(Operation::Put, "k"), Path::new("/b"));
        assert!(
            matches!(&error, Error::Bucket { cause: is, .. } if *is == cause),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("key=`k`") && text.contains("/b/k@object"),
            "{text}"
        );
        assert!(text.contains(says), "{text}");
    }

    #[test]
    fn a_refusal_of_the_file_system_names_key_path_and_what_to_do() {
        check(28, BucketCause::Full, "make room");
        check(122, BucketCause::Full, "quota");
        check(13, BucketCause::Denied, "right to it");
        check(30, BucketCause::Denied, "read-only");
        check(18, BucketCause::Refused, "one file system");
        check(95, BucketCause::Refused, "hard links");
        check(24, BucketCause::Unavailable, "ulimit");
        check(4, BucketCause::Unavailable, "");
        check(5, BucketCause::Refused, "log");
        let unreadable = Trouble {
            path: "/b/k@object".into(),
            error: io::Error::from_raw_os_error(5),
        };
        let attempt = Attempt::bare(Operation::Get, "k");
        let error = unreadable.to_error(attempt, Path::new("/b"));
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{error}");
    }
}
