//! One step of one process, and what comes of it.

use std::fmt;

use crate::commit_model::state::{Creation, Manifest, State, Tries};

/// Who moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The compactor at this place.
    Compactor(usize),
    /// The collector at this place.
    Collector(usize),
    /// The reader.
    Reader,
    /// A request that was given up.
    LateRequest,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compactor(place) => write!(f, "compactor {place}"),
            Self::Collector(place) => write!(f, "collector {place}"),
            Self::Reader => f.write_str("reader"),
            Self::LateRequest => f.write_str("late request"),
        }
    }
}

/// Whether a step may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Happens when nothing fails.
    Progress,
    /// May happen.
    Fault,
}

/// A step and the state after it.
#[derive(Debug)]
pub struct Successor {
    /// Who moved.
    pub who: Who,
    /// What was done, with a generation or a number of segments.
    pub what: (&'static str, Option<u8>),
    /// Whether it may be relied on.
    pub kind: Kind,
    /// What is then.
    pub state: State,
    /// A promise that the step itself broke.
    pub broken: Option<&'static str>,
}

impl Successor {
    /// A step that goes well.
    pub fn progress(who: Who, what: (&'static str, Option<u8>), state: State) -> Self {
        Self {
            who,
            what,
            kind: Kind::Progress,
            state,
            broken: None,
        }
    }

    /// A step of something that fails, which uses one fault up.
    pub fn fault(who: Who, what: (&'static str, Option<u8>), mut state: State) -> Self {
        state.faults -= 1;
        Self {
            kind: Kind::Fault,
            ..Self::progress(who, what, state)
        }
    }
}

/// What a store answers to a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is there now, or has been since an earlier try.
    Ours,
    /// Another's is there.
    Taken,
}

/// Carries a creation out.
pub fn create(state: &mut State, creation: Creation) -> Reply {
    let number = creation.next.number;
    let Some(there) = state.manifest(number) else {
        land(state, creation.next);
        return Reply::Ours;
    };
    if there.token == creation.next.token {
        return Reply::Ours;
    }
    Reply::Taken
}

/// Puts a manifest whose number is free into the bucket.
pub fn land(state: &mut State, manifest: Manifest) {
    let place = state
        .manifests
        .partition_point(|it| it.number < manifest.number);
    state.manifests.insert(place, manifest);
}

/// The same creation once more.
pub fn again(creation: Creation) -> Creation {
    Creation {
        tries: Tries::Repeated,
        ..creation
    }
}
