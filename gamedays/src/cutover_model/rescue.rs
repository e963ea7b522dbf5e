//! Whether there is a way out of a state, when nothing fails any more.

use std::collections::HashSet;

use skein_config::cutover::request::{Confirmation, EdgeChoice, Request, Reverse};
use skein_shared::cutover::{CutoverState, Standing};
use skein_shared::format::diff_verdict::Verdict;

use crate::cutover_model::promises::Broken;
use crate::cutover_model::scope::Scope;
use crate::cutover_model::state::{BUILD, Compared, Reach, State, id};
use crate::cutover_model::step::{append, decided, needs_comparison};

/// States out of which there is a way.
#[derive(Debug, Default)]
pub struct Rescued {
    back: HashSet<Vec<i64>>,
    on: HashSet<Vec<i64>>,
}

/// Where somebody wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// To `off`, or, of what is done, nowhere.
    Back,
    /// To `done`.
    On,
}

/// Windows within which it has to be.
const PATIENCE: usize = 60;

impl Rescued {
    /// Why there is no way out.
    pub fn stuck(&mut self, state: &State, scope: &Scope) -> Option<Broken> {
        (0..state.orgs.len()).find_map(|place| self.org_stuck(state, scope, place))
    }

    fn org_stuck(&mut self, state: &State, scope: &Scope, place: usize) -> Option<Broken> {
        let mut alone = state.clone();
        alone.orgs = vec![state.orgs[place].clone()];
        (alone.requests, alone.faults, alone.ticks) = (0, 0, 0);
        alone.orgs[0].pending = None;
        let back = walk(&alone, scope, (Aim::Back, &mut self.back));
        let on = walk(&alone, scope, (Aim::On, &mut self.on));
        match (back, on) {
            (Walk::Broken(broken), _) | (_, Walk::Broken(broken)) => Some(broken),
            (Walk::Lost, _) => Some("there is no way back to off, nor is it done"),
            (_, Walk::Lost) => Some("there is no way on to done"),
            (Walk::There, Walk::There) => None,
        }
    }
}

enum Walk {
    There,
    Lost,
    Broken(Broken),
}

fn walk(from: &State, scope: &Scope, (aim, known): (Aim, &mut HashSet<Vec<i64>>)) -> Walk {
    let mut state = from.clone();
    let mut way = Vec::new();
    for _ in 0..PATIENCE {
        heal(&mut state);
        let key = state.key();
        if is_there(&state, aim) || known.contains(&key) {
            known.extend(way);
            return Walk::There;
        }
        way.push(key);
        match request(&state, scope, aim) {
            Some((_, Some(broken))) => return Walk::Broken(broken),
            Some((after, None)) => state = after,
            None => state.tick(),
        }
    }
    Walk::Lost
}

fn is_there(state: &State, aim: Aim) -> bool {
    let head = state.orgs[0].head.as_ref();
    let Some(head) = head else {
        return aim == Aim::Back;
    };
    let is_end = match aim {
        Aim::Back => head.state == CutoverState::Off || head.state == CutoverState::Done,
        Aim::On => head.state == CutoverState::Done,
    };
    is_end && head.standing == Standing::Going
}

/// Everybody is there and knows, both pipelines get on, and a comparison passes.
fn heal(state: &mut State) {
    let now = state.now;
    let org = &mut state.orgs[0];
    org.lags = None;
    org.complete_to = [now; 2];
    let version = org.version();
    org.published = version;
    for node in &mut org.nodes {
        node.reach = Reach::Connected;
        node.version = version;
        node.at = now;
    }
    if org
        .head
        .as_ref()
        .is_some_and(|head| needs_comparison(head.state))
    {
        org.compared = Some(Compared {
            verdict: Verdict::Pass,
            version,
            build: BUILD,
            at: now,
        });
    }
}

fn request(state: &State, scope: &Scope, aim: Aim) -> Option<(State, Option<Broken>)> {
    let soonest = EdgeChoice::Soonest;
    let wanted = match aim {
        Aim::Back => vec![
            Request::Repair,
            Request::Resume,
            Request::Cancel,
            Request::ReverseTraffic(Reverse::Void),
            Request::ReverseTraffic(Reverse::Forward(soonest)),
            Request::Advance,
        ],
        Aim::On => vec![
            Request::Repair,
            Request::Resume,
            Request::Advance,
            Request::Create(soonest),
            Request::MirrorTraffic(100),
            Request::SwitchTraffic(soonest),
            Request::Complete(Confirmation::Of(id(0))),
        ],
    };
    let org = &state.orgs[0];
    let is_same = |mirror: u8| {
        org.head
            .as_ref()
            .is_some_and(|head| head.mirror_percent == mirror)
    };
    for request in wanted {
        let is_repeated = matches!(request, Request::MirrorTraffic(percent) if is_same(percent));
        if is_repeated {
            continue;
        }
        if let Ok(next) = decided(org, &request, (state.now, scope)) {
            let made = append(state, 0, &next);
            return Some((made.state, made.broken));
        }
    }
    None
}
