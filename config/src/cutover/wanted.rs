//! The wanted state of orgs, from a file that is kept under version control, and the verbs that lead there.

use std::collections::BTreeMap;

use serde::Deserialize;
use skein_shared::cutover::CutoverState;
use skein_shared::format::cutover_version::CutoverVersion;
use skein_shared::ids::OrgId;

use crate::cutover::request::{Confirmation, EdgeChoice, Request, Reverse};

/// Where an org is wanted to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WantedPhase {
    /// The old pipeline has everything.
    Off,
    /// Both write.
    Shadow,
    /// A share of reads is compared.
    Canary,
    /// Readers see the new pipeline.
    Switched,
    /// The old one has ended.
    Sealed,
    /// It is kept for what it holds.
    Done,
}

/// What a file wants of one org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedOrg {
    /// Whose.
    pub id: u64,
    /// Where it is to stand.
    pub phase: WantedPhase,
    /// How many reads in a hundred are to be compared on the way.
    #[serde(default = "first_share")]
    pub mirror_percent: u8,
    /// The org once more, where the way there cannot be taken back with metadata: its number.
    pub confirmed: Option<u64>,
}

/// A file of wanted orgs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedOrgs {
    /// Each org at most once; those that are absent stay as they are.
    #[serde(default, rename = "org")]
    pub orgs: Vec<WantedOrg>,
}

/// What leads on to where an org is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// It stands there.
    There,
    /// This is to be asked.
    Ask(Request),
    /// The controller takes it on when its time has come.
    Wait,
    /// No verb leads there; why.
    Nowhere(&'static str),
}

fn first_share() -> u8 {
    5
}

impl WantedOrgs {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<BTreeMap<OrgId, WantedOrg>, String> {
        use figment::Figment;
        use figment::providers::{Format as _, Toml};
        let file: Self = Figment::from(Toml::string(text))
            .extract()
            .map_err(|error| error.to_string())?;
        let mut orgs = BTreeMap::new();
        for org in file.orgs {
            if org.mirror_percent == 0 || org.mirror_percent > 100 {
                let percent = org.mirror_percent;
                return Err(format!(
                    "org {}: mirror_percent {percent} is not in 1 to 100",
                    org.id
                ));
            }
            if orgs.insert(OrgId(org.id), org).is_some() {
                return Err(format!("org {} stands in it twice", org.id));
            }
        }
        Ok(orgs)
    }
}

impl WantedOrg {
    /// What leads on from the org's newest version.
    pub fn lead(&self, newest: Option<&CutoverVersion>) -> Lead {
        let state = newest.map_or(CutoverState::Off, |newest| newest.state);
        let percent = newest.map_or(0, |newest| newest.mirror_percent);
        self.lead_from(state, percent)
    }

    /// What is asked on the way: the state that it is asked in, and the one that it leads to once it has been waited for.
    pub fn way(
        &self,
        newest: Option<&CutoverVersion>,
    ) -> Vec<(CutoverState, Request, CutoverState)> {
        let mut state = newest.map_or(CutoverState::Off, |newest| newest.state);
        let mut percent = newest.map_or(0, |newest| newest.mirror_percent);
        let mut way = Vec::new();
        // No way through the table is longer.
        for _ in CutoverState::ALL {
            match self.lead_from(state, percent) {
                Lead::There | Lead::Nowhere(_) => break,
                Lead::Wait => state = waited(state),
                Lead::Ask(request) => {
                    percent = mirrored(percent, &request);
                    let to = waited(asked(state, &request));
                    way.push((state, request, to));
                    state = to;
                }
            }
        }
        way
    }

    fn lead_from(&self, state: CutoverState, percent: u8) -> Lead {
        match self.phase {
            WantedPhase::Off => lead_off(state),
            WantedPhase::Shadow | WantedPhase::Canary => self.lead_to_compare(state, percent),
            WantedPhase::Switched | WantedPhase::Sealed | WantedPhase::Done => self.lead_on(state),
        }
    }

    /// To where both write and readers see the old pipeline.
    fn lead_to_compare(&self, state: CutoverState, percent: u8) -> Lead {
        use CutoverState as S;
        let share = match self.phase {
            WantedPhase::Canary => self.mirror_percent,
            WantedPhase::Off
            | WantedPhase::Shadow
            | WantedPhase::Switched
            | WantedPhase::Sealed
            | WantedPhase::Done => 0,
        };
        let is_there = percent == share && (state == S::Shadow) == (share == 0);
        match state {
            S::Off => Lead::Ask(Request::Create(EdgeChoice::Soonest)),
            S::Starting | S::Reversing => Lead::Wait,
            S::Shadow | S::Canary if is_there => Lead::There,
            S::Shadow | S::Canary => Lead::Ask(Request::MirrorTraffic(share)),
            S::Scheduled | S::Armed => Lead::Ask(Request::Cancel),
            S::Switched | S::Contracting | S::Sealed | S::Done | S::Reversed => Lead::Nowhere(
                "readers have been sent to the new pipeline: `off` takes them back first",
            ),
        }
    }

    /// To where readers see the new pipeline.
    fn lead_on(&self, state: CutoverState) -> Lead {
        use CutoverState as S;
        let wanted = match self.phase {
            WantedPhase::Off
            | WantedPhase::Shadow
            | WantedPhase::Canary
            | WantedPhase::Switched => S::Switched,
            WantedPhase::Sealed => S::Sealed,
            WantedPhase::Done => S::Done,
        };
        let confirmed = self.confirmed.map(OrgId);
        let confirmation = confirmed.map_or(Confirmation::Missing, Confirmation::Of);
        match state {
            S::Off => Lead::Ask(Request::Create(EdgeChoice::Soonest)),
            S::Starting | S::Scheduled | S::Armed | S::Reversing => Lead::Wait,
            S::Shadow => Lead::Ask(Request::MirrorTraffic(self.mirror_percent)),
            S::Canary | S::Reversed => Lead::Ask(Request::SwitchTraffic(EdgeChoice::Soonest)),
            S::Switched | S::Sealed | S::Done if state == wanted => Lead::There,
            S::Switched | S::Sealed if state < wanted => Lead::Ask(Request::Complete(confirmation)),
            S::Contracting if state < wanted => Lead::Wait,
            S::Switched | S::Contracting | S::Sealed | S::Done => {
                Lead::Nowhere("the old pipeline has ended: `off` brings it back")
            }
        }
    }
}

/// Back to where the old pipeline has everything.
fn lead_off(state: CutoverState) -> Lead {
    use CutoverState as S;
    let back = Reverse::Forward(EdgeChoice::Soonest);
    match state {
        S::Off => Lead::There,
        S::Starting | S::Shadow | S::Canary | S::Scheduled | S::Armed | S::Reversed => {
            Lead::Ask(Request::Cancel)
        }
        S::Reversing => Lead::Wait,
        S::Switched | S::Contracting | S::Sealed | S::Done => {
            Lead::Ask(Request::ReverseTraffic(back))
        }
    }
}

/// Where a cutover stands once it has been waited for.
pub fn waited(state: CutoverState) -> CutoverState {
    match state {
        CutoverState::Starting => CutoverState::Shadow,
        CutoverState::Scheduled | CutoverState::Armed => CutoverState::Switched,
        CutoverState::Contracting => CutoverState::Sealed,
        CutoverState::Reversing => CutoverState::Reversed,
        CutoverState::Off
        | CutoverState::Shadow
        | CutoverState::Canary
        | CutoverState::Switched
        | CutoverState::Sealed
        | CutoverState::Done
        | CutoverState::Reversed => state,
    }
}

/// How many reads in a hundred are compared once a request is granted.
fn mirrored(percent: u8, request: &Request) -> u8 {
    if let Request::MirrorTraffic(share) = request {
        return *share;
    }
    percent
}

/// Where a cutover stands once a request is granted.
pub fn asked(state: CutoverState, request: &Request) -> CutoverState {
    use CutoverState as S;
    match request {
        Request::Create(_) => S::Starting,
        Request::MirrorTraffic(0) => S::Shadow,
        Request::MirrorTraffic(_) => S::Canary,
        Request::SwitchTraffic(_) => S::Scheduled,
        Request::ReverseTraffic(_) => S::Reversing,
        Request::Complete(_) if state == S::Switched => S::Contracting,
        Request::Complete(_) => S::Done,
        Request::Cancel if matches!(state, S::Scheduled | S::Armed) => S::Canary,
        Request::Cancel => S::Off,
        Request::Purge(_)
        | Request::Reassign(_)
        | Request::Pause
        | Request::Resume
        | Request::Fault(_)
        | Request::Repair
        | Request::Advance => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbs(phase: WantedPhase, state: CutoverState) -> Vec<&'static str> {
        let org = WantedOrg {
            id: 7,
            phase,
            mirror_percent: 5,
            confirmed: None,
        };
        let mut way = Vec::new();
        let (mut state, mut percent) = (state, 0);
        for _ in 0..20 {
            match org.lead_from(state, percent) {
                Lead::There => return way,
                Lead::Nowhere(_) => {
                    way.push("nowhere");
                    return way;
                }
                Lead::Wait => state = waited(state),
                Lead::Ask(request) => {
                    percent = mirrored(percent, &request);
                    way.push(request.verb());
                    state = asked(state, &request);
                }
            }
        }
        panic!("{phase:?} from {state} has no end: {way:?}");
    }

    #[test]
    fn from_every_state_the_verbs_lead_to_where_an_org_is_wanted() {
        use CutoverState as S;
        use WantedPhase as P;
        assert_eq!(
            verbs(P::Done, S::Off),
            [
                "create",
                "mirror-traffic",
                "switch-traffic",
                "complete",
                "complete"
            ]
        );
        assert_eq!(verbs(P::Shadow, S::Armed), ["cancel", "mirror-traffic"]);
        assert_eq!(verbs(P::Off, S::Sealed), ["reverse-traffic", "cancel"]);
        assert_eq!(verbs(P::Switched, S::Reversing), ["switch-traffic"]);
        assert_eq!(verbs(P::Canary, S::Switched), ["nowhere"]);
        for state in S::ALL {
            for phase in [
                P::Off,
                P::Shadow,
                P::Canary,
                P::Switched,
                P::Sealed,
                P::Done,
            ] {
                verbs(phase, state);
            }
        }
    }

    #[test]
    fn a_file_names_each_org_once() {
        let read = |text: &str| WantedOrgs::read(text);
        let orgs = read("[[org]]\nid = 7\nphase = \"canary\"\nmirror_percent = 50\n").unwrap();
        assert_eq!(orgs[&OrgId(7)].phase, WantedPhase::Canary);
        assert!(read("").unwrap().is_empty());
        for (text, word) in [
            (
                "[[org]]\nid = 7\nphase = \"off\"\n[[org]]\nid = 7\nphase = \"off\"\n",
                "twice",
            ),
            ("[[org]]\nid = 7\nphase = \"armed\"\n", "armed"),
            (
                "[[org]]\nid = 7\nphase = \"off\"\nmirror_percent = 0\n",
                "mirror_percent",
            ),
            ("[[org]]\nid = 7\nphase = \"off\"\nodd = 1\n", "odd"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
