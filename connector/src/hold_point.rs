//! Named points at which a test may hold a step for ever, so that it can kill the process exactly there.
//!
//! Only in builds with debug assertions, and said loudly at the start: `SKEIN_HOLD_AT=flush-manifest` prints `holding at flush-manifest` to
//! stderr when the first step reaches that point, and parks it and every later one. Other work goes on.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where a step can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldPoint {
    /// A part of a state object is stored, the object is not complete.
    PartDone,
    /// A state object is complete.
    ObjectDone,
    /// A flush manifest is written.
    FlushManifest,
    /// The first ledger entry is written, the others are not.
    LedgerSome,
    /// Offsets are about to be committed.
    BeforeCommit,
    /// Offsets are committed.
    AfterCommit,
    /// A replay's transaction is committed, its step is not written.
    ReplayCommitted,
}

/// The point that this process holds at, if any.
#[derive(Debug, Default)]
pub struct Holding {
    point: Option<HoldPoint>,
    announced: AtomicBool,
    appends: AtomicU64,
}

impl HoldPoint {
    const ALL: [Self; 7] = [
        Self::PartDone,
        Self::ObjectDone,
        Self::FlushManifest,
        Self::LedgerSome,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::ReplayCommitted,
    ];

    /// Its name in `SKEIN_HOLD_AT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PartDone => "part-done",
            Self::ObjectDone => "object-done",
            Self::FlushManifest => "flush-manifest",
            Self::LedgerSome => "ledger-some",
            Self::BeforeCommit => "before-commit",
            Self::AfterCommit => "after-commit",
            Self::ReplayCommitted => "replay-committed",
        }
    }
}

/// Names the point to hold at.
const VARIABLE: &str = "SKEIN_HOLD_AT";

fn point_of(wanted: &str) -> Option<HoldPoint> {
    let mut points = HoldPoint::ALL.into_iter();
    let point = points.find(|point| point.name() == wanted);
    if !cfg!(debug_assertions) {
        tracing::warn!("{VARIABLE} is set, but this build never holds: it is for tests");
        return None;
    }
    if point.is_some() {
        tracing::error!(
            point = wanted,
            "THIS WORKER WILL STOP FLUSHING: {VARIABLE} parks it at a point of a flush, for tests that kill it \
             there; unset it everywhere else"
        );
    } else {
        tracing::error!(point = wanted, "{VARIABLE} names no point; nothing is held");
    }
    point
}

impl Holding {
    /// What the environment asks for; nothing in a build without debug assertions.
    pub fn from_env() -> Self {
        let Ok(wanted) = env::var(VARIABLE) else {
            return Self::default();
        };
        Self {
            point: point_of(&wanted),
            ..Self::default()
        }
    }

    /// Whether a step that has reached `point` must stay there; says so the first time.
    pub fn holds(&self, point: HoldPoint) -> bool {
        if self.point != Some(point) {
            return false;
        }
        if !self.announced.swap(true, Ordering::SeqCst) {
            eprintln!("holding at {}", point.name());
        }
        true
    }

    /// Parks an asynchronous step that has reached `point`, if that is where to hold.
    pub async fn pass(&self, point: HoldPoint) {
        if self.holds(point) {
            std::future::pending::<()>().await;
        }
    }

    /// Lets the first ledger entry pass and parks the others.
    pub async fn pass_append(&self) {
        let is_held = self.point == Some(HoldPoint::LedgerSome);
        if is_held && self.appends.fetch_add(1, Ordering::SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
    }
}
