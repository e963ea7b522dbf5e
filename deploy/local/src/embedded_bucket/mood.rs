//! How the server treats whoever may come in: so that tests see what a user of a real store goes through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use s3s::{S3Error, S3ErrorCode, S3Result};
use tokio::sync::watch;

/// How requests are treated, until it is said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// As S3 does.
    #[default]
    Serves,
    /// Every request is refused.
    Refuses(Refusal),
    /// One request in so many is served, the others are told to slow down.
    Throttles {
        /// 1 serves all.
        serves_one_in: u64,
    },
    /// Requests are taken and not answered before the mood changes.
    Stalls,
}

/// Why every request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The policy does not allow it.
    AccessDenied,
    /// The credentials were good once.
    ExpiredToken,
    /// The clocks of client and server differ too much.
    RequestTimeTooSkewed,
    /// The bucket was deleted.
    NoSuchBucket,
    /// No room is left; AWS has no such code, other stores have.
    StorageFull,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AccessDenied,
        Self::ExpiredToken,
        Self::RequestTimeTooSkewed,
        Self::NoSuchBucket,
        Self::StorageFull,
    ];

    fn error(self) -> S3Error {
        let code = match self {
            Self::AccessDenied => S3ErrorCode::AccessDenied,
            Self::ExpiredToken => S3ErrorCode::ExpiredToken,
            Self::RequestTimeTooSkewed => S3ErrorCode::RequestTimeTooSkewed,
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket,
            Self::StorageFull => {
                let code = S3ErrorCode::Custom("XMinioStorageFull".into());
                let mut error = S3Error::with_message(code, "the embedded bucket acts as if full");
                error.set_status_code(507.try_into().expect("507 is a status"));
                return error;
            }
        };
        S3Error::with_message(code, "the embedded bucket refuses everything")
    }
}

/// The present mood; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Moods {
    now: watch::Sender<Mood>,
    /// Requests that met another mood than the good one.
    met: Arc<AtomicU64>,
}

impl Moods {
    pub(super) fn new() -> Self {
        Self {
            now: watch::Sender::new(Mood::Serves),
            met: Arc::default(),
        }
    }

    pub(super) fn set(&self, mood: Mood) {
        self.now.send_replace(mood);
    }

    pub(super) fn met(&self) -> u64 {
        self.met.load(Ordering::SeqCst)
    }

    /// Lets a request in, or does not, or not yet.
    pub(super) async fn admit(&self) -> S3Result<()> {
        let mut moods = self.now.subscribe();
        if *moods.borrow() == Mood::Serves {
            return Ok(());
        }
        let met = self.met.fetch_add(1, Ordering::SeqCst) + 1;
        let mood = moods.wait_for(|mood| *mood != Mood::Stalls).await;
        let mood = mood.map_or(Mood::Serves, |mood| *mood);
        match mood {
            Mood::Serves | Mood::Stalls => Ok(()),
            Mood::Refuses(refusal) => Err(refusal.error()),
            Mood::Throttles { serves_one_in } => {
                if met.is_multiple_of(serves_one_in) {
                    return Ok(());
                }
                let reason = "the embedded bucket throttles";
                Err(S3Error::with_message(S3ErrorCode::SlowDown, reason))
            }
        }
    }
}
