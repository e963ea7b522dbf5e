//! One org whose cutover is taken from version to version, with facts that can be changed.

use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::format::delete_entry::{EntryHash, Statement};
use skein_shared::ids::OrgId;
use skein_shared::timeline::SealVector;

use crate::cutover::examples::{at, facts, rules, verdict};
use crate::cutover::facts::{Facts, NewFacts, NodeFact, OldFacts, OldProgress};
use crate::cutover::request::{
    Confirmation, EdgeChoice, NextSeal, NextVersion, Refusal, RefusalKind, Request, Reverse,
};
use crate::cutover::transition::decide;

pub(super) const ORG: OrgId = OrgId(7);
pub(super) const SOON: EdgeChoice = EdgeChoice::Soonest;
pub(super) const FORWARD: Request = Request::ReverseTraffic(Reverse::Forward(SOON));
pub(super) const VOID: Request = Request::ReverseTraffic(Reverse::Void);
pub(super) const SWITCH: Request = Request::SwitchTraffic(SOON);
pub(super) const CREATE: Request = Request::Create(SOON);
pub(super) const COMPLETE: Request = Request::Complete(Confirmation::Of(ORG));

/// The org; facts are good unless a test says otherwise.
pub(super) struct Org {
    pub(super) versions: Vec<CutoverVersion>,
    pub(super) now: i64,
    pub(super) seal: Option<SealVector>,
    pub(super) nodes: Vec<NodeFact>,
    pub(super) old: Option<OldFacts>,
    pub(super) new: Option<NewFacts>,
    pub(super) kept_from: Option<i64>,
    pub(super) is_compared: Compared,
}

/// Whether a comparison of the newest version was made just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    Yes,
    No,
}

impl Org {
    pub(super) fn new() -> Self {
        Self {
            versions: vec![],
            now: 10_000,
            seal: None,
            nodes: vec![],
            old: None,
            new: None,
            kept_from: None,
            is_compared: Compared::Yes,
        }
    }

    /// One that was taken to a state the plain way.
    pub(super) fn in_state(state: CutoverState) -> Self {
        use CutoverState as S;
        let mut org = Self::new();
        let mut way: Vec<(S, Request)> = vec![
            (S::Starting, CREATE),
            (S::Shadow, Request::Advance),
            (S::Canary, Request::MirrorTraffic(5)),
            (S::Scheduled, SWITCH),
            (S::Armed, Request::Advance),
            (S::Switched, Request::Advance),
        ];
        let tail = match state {
            S::Off => vec![(S::Off, Request::Cancel)],
            S::Reversing => vec![(S::Reversing, FORWARD)],
            S::Reversed => vec![(S::Reversing, FORWARD), (S::Reversed, Request::Advance)],
            S::Starting
            | S::Shadow
            | S::Canary
            | S::Scheduled
            | S::Armed
            | S::Switched
            | S::Contracting
            | S::Sealed
            | S::Done => vec![
                (S::Contracting, COMPLETE),
                (S::Sealed, Request::Advance),
                (S::Done, COMPLETE),
            ],
        };
        if state == S::Off {
            way.truncate(1);
        }
        way.extend(tail);
        for (reached, request) in way {
            org.reach(reached, &request);
            if reached == state {
                break;
            }
        }
        assert_eq!(org.state(), state);
        org
    }

    /// Asks until the state is reached, while time goes by.
    pub(super) fn reach(&mut self, state: CutoverState, request: &Request) {
        for _ in 0..100 {
            match self.ask(request) {
                Ok(_) if self.state() == state => return,
                Ok(_) => {}
                Err(refusal) => {
                    let waits = [RefusalKind::NotYet, RefusalKind::Gate];
                    assert!(waits.contains(&refusal.kind), "{state}: {refusal:?}");
                }
            }
            self.now += 90;
        }
        panic!("{state} was not reached from {}", self.state());
    }

    pub(super) fn state(&self) -> CutoverState {
        self.newest()
            .map_or(CutoverState::Off, |newest| newest.state)
    }

    pub(super) fn newest(&self) -> Option<&CutoverVersion> {
        self.versions.last()
    }

    pub(super) fn same_timeline_since(&self) -> u64 {
        let newest = self.newest().map(|newest| &newest.timeline);
        let same = self.versions.iter().rev();
        let same = same.take_while(|version| Some(&version.timeline) == newest);
        same.last().map_or(0, |version| version.version)
    }

    pub(super) fn facts(&self) -> Facts {
        let good = facts(self.now);
        let compared = match self.is_compared {
            Compared::Yes => vec![verdict(self.versions.len() as u64, self.now)],
            Compared::No => vec![],
        };
        Facts {
            same_timeline_since: self.same_timeline_since(),
            nodes: self.nodes.clone(),
            verdicts: compared,
            old: self.old.clone().unwrap_or(good.old),
            new: self.new.clone().unwrap_or(good.new),
            seal: self.seal.clone(),
            kept_from: self.kept_from.map(at),
            ..good
        }
    }

    pub(super) fn decide(&self, request: &Request) -> Result<NextVersion, Refusal> {
        decide(self.newest(), request, &self.facts(), &rules())
    }

    pub(super) fn ask(&mut self, request: &Request) -> Result<NextVersion, Refusal> {
        let next = self.decide(request)?;
        if let NextSeal::Taken(vector) = &next.seal {
            self.seal = Some(vector.clone());
        }
        let before = self.newest().map(|newest| (newest, EntryHash(1)));
        let stated = (Statement::default(), at(self.now));
        let version = next.numbered(ORG, before, stated);
        self.versions.push(version);
        Ok(next)
    }

    /// The old pipeline says that it is complete up to then.
    pub(super) fn old_complete_to(&mut self, ms: i64) {
        self.old = Some(OldFacts::Active(OldProgress {
            complete_to: Some(at(ms)),
            positions: None,
            not_written_to: None,
        }));
    }
}
