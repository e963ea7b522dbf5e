//! What the bucket holds and where every process stands, in a form that is the same for states that differ in names only.

use crate::commit_model::scope::{CHAINS, Scope};

/// A set of segments, by place in [`State::table`].
pub type SegmentSet = u16;

/// What a segment's key and contents say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The generation that its writer expected to commit.
    pub expected: u8,
    /// The units of input in it, one bit each.
    pub units: u8,
}

/// One generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Manifest {
    /// Its number; 0 is what is there before the first commit.
    pub number: u8,
    /// Whose request created it, as long as somebody may ask; else 0.
    pub token: u8,
    /// How many units of each chain it holds.
    pub positions: [u8; CHAINS],
    /// Its segments.
    pub live: SegmentSet,
    /// Generations below may be deleted.
    pub kept_from: u8,
    /// Unreferenced segments that expect a generation below are void.
    pub void_before: u8,
    /// Of the segments whose writers are still under way, those that this chain of generations has had. Not stored in
    /// life: it says what a writer may report.
    pub had: SegmentSet,
}

/// A change that a compactor wants to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delta {
    /// The positions that it begins at.
    pub from: [u8; CHAINS],
    /// The positions that it ends at.
    pub to: [u8; CHAINS],
    /// The segments that are merged into its own.
    pub replaced: SegmentSet,
    /// Its own segment, alone in the set.
    pub own: SegmentSet,
}

/// A create-if-absent under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Creation {
    /// What is created.
    pub next: Manifest,
    /// Whether it was tried before.
    pub tries: Tries,
}

/// Whether a request was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tries {
    /// It was not.
    First,
    /// It was, and nobody knows what became of it.
    Repeated,
}

/// Where a compactor stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compactor {
    /// Begins with the newest manifest.
    Idle,
    /// Writes its segment, and then creates the manifest.
    Planned(Delta, Manifest),
    /// Creates its manifest.
    Creating(Delta, Creation),
    /// The number was taken.
    Refused(Delta),
    /// The manifest that names its segment was created at this number.
    Created(SegmentSet, u8, Tries),
}

/// Where a collector stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Collector {
    /// Passes that it may still begin.
    pub passes: u8,
    /// Where it stands in one.
    pub stage: Stage,
}

/// Where a collector stands in a pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Between passes.
    Idle,
    /// Begins with the newest manifest.
    Reading,
    /// Creates its manifest.
    Creating(Creation),
    /// It was created; does it count?
    Created(Fence),
    /// It counts: looks for what may be deleted.
    Fenced(Fence),
    /// Deletes segments, and then manifests, by number.
    Deleting(SegmentSet, u16),
}

/// What a collector's manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// Its number.
    pub number: u8,
    /// Generations below may be deleted.
    pub kept_from: u8,
    /// Unreferenced segments that expect a generation below are void.
    pub void_before: u8,
}

/// What a reader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin {
    /// The generation.
    pub number: u8,
    /// Its segments.
    pub live: SegmentSet,
}

/// How many segments can be told apart at a time.
pub const SEGMENTS: usize = 16;

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The manifests that exist, by number.
    pub manifests: Vec<Manifest>,
    /// The segments that exist.
    pub bucket: SegmentSet,
    /// What each segment is that anything names.
    pub table: [Segment; SEGMENTS],
    /// The compactors.
    pub compactors: Vec<Compactor>,
    /// The collectors.
    pub collectors: Vec<Collector>,
    /// Creations that were given up and may still arrive.
    pub late: Vec<Manifest>,
    /// What the reader holds.
    pub pin: Option<Pin>,
    /// Faults that may still happen.
    pub faults: u8,
}

impl State {
    /// The beginning: nothing is committed.
    pub fn first(scope: &Scope) -> Self {
        let collector = Collector {
            passes: scope.passes,
            stage: Stage::Idle,
        };
        Self {
            manifests: Vec::new(),
            bucket: 0,
            table: [Segment::default(); SEGMENTS],
            compactors: vec![Compactor::Idle; scope.compactors],
            collectors: vec![collector; scope.collectors],
            late: Vec::new(),
            pin: None,
            faults: scope.faults,
        }
    }

    /// The newest manifest, as a list finds it.
    pub fn newest(&self) -> Manifest {
        self.manifests.last().copied().unwrap_or_default()
    }

    /// The manifest at `number`.
    pub fn manifest(&self, number: u8) -> Option<&Manifest> {
        self.manifests.iter().find(|it| it.number == number)
    }

    /// The segments of `set` with their places.
    pub fn segments(&self, set: SegmentSet) -> impl Iterator<Item = (SegmentSet, Segment)> {
        let places = self.table.iter().enumerate();
        let named = places.map(|(place, segment)| (1 << place, *segment));
        named.filter(move |(bit, _)| set & bit != 0)
    }

    /// Puts a segment that nobody has named yet into the table.
    ///
    /// # Panics
    /// If there are more segments than places.
    pub fn new_segment(&mut self, segment: Segment) -> SegmentSet {
        let mut named = self.bucket;
        self.each_set(&mut |set| named |= *set);
        let place = named.trailing_ones() as usize;
        assert!(place < SEGMENTS, "more segments than places");
        self.table[place] = segment;
        1 << place
    }

    /// A token that no request has.
    ///
    /// # Panics
    /// If there are more than 63 requests.
    pub fn new_token(&mut self) -> u8 {
        let mut used = 1u64;
        self.each_manifest(&mut |it| used |= 1 << it.token);
        u8::try_from(used.trailing_ones()).expect("at most 64")
    }

    /// Shows every manifest, also those that are only wanted.
    pub fn each_manifest(&mut self, visit: &mut dyn FnMut(&mut Manifest)) {
        self.manifests.iter_mut().for_each(&mut *visit);
        self.late.iter_mut().for_each(&mut *visit);
        for compactor in &mut self.compactors {
            match compactor {
                Compactor::Planned(_, next) => visit(next),
                Compactor::Creating(_, creation) => visit(&mut creation.next),
                Compactor::Idle | Compactor::Refused(_) | Compactor::Created(..) => {}
            }
        }
        for collector in &mut self.collectors {
            if let Stage::Creating(creation) = &mut collector.stage {
                visit(&mut creation.next);
            }
        }
    }

    /// Shows every set of segments but the bucket, always in the same order.
    pub fn each_set(&mut self, visit: &mut dyn FnMut(&mut SegmentSet)) {
        self.each_set_but_targets(visit);
        for collector in &mut self.collectors {
            if let Stage::Deleting(segments, _) = &mut collector.stage {
                visit(segments);
            }
        }
    }

    /// The same without what collectors are about to delete.
    pub fn each_set_but_targets(&mut self, visit: &mut dyn FnMut(&mut SegmentSet)) {
        self.each_manifest(&mut |it| {
            visit(&mut it.live);
            visit(&mut it.had);
        });
        for compactor in &mut self.compactors {
            compactor.each_set(visit);
        }
        if let Some(pin) = &mut self.pin {
            visit(&mut pin.live);
        }
    }
}

impl Manifest {
    /// What it says to collectors.
    pub fn fence(self) -> Fence {
        Fence {
            number: self.number,
            kept_from: self.kept_from,
            void_before: self.void_before,
        }
    }
}

impl Compactor {
    /// Shows the sets that it holds.
    fn each_set(&mut self, visit: &mut dyn FnMut(&mut SegmentSet)) {
        match self {
            Self::Idle => {}
            Self::Planned(delta, _) | Self::Creating(delta, _) | Self::Refused(delta) => {
                visit(&mut delta.replaced);
                visit(&mut delta.own);
            }
            Self::Created(own, ..) => visit(own),
        }
    }

    /// The segment that it has written, or is going to write.
    pub fn own(&self) -> SegmentSet {
        match self {
            Self::Idle => 0,
            Self::Planned(delta, _) | Self::Creating(delta, _) | Self::Refused(delta) => delta.own,
            Self::Created(own, ..) => *own,
        }
    }
}

impl Stage {
    /// What its manifest says or will say, if it may still decide by it.
    pub fn fence(&self) -> Option<Fence> {
        match self {
            Self::Creating(creation) => Some(creation.next.fence()),
            Self::Created(fence) | Self::Fenced(fence) => Some(*fence),
            Self::Idle | Self::Reading | Self::Deleting(..) => None,
        }
    }

    /// What is left to delete, if anything.
    pub fn deleting(segments: SegmentSet, manifests: u16) -> Self {
        if segments == 0 && manifests == 0 {
            return Self::Idle;
        }
        Self::Deleting(segments, manifests)
    }
}
