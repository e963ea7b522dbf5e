//! The consumer group: members, generations, and cooperative rebalances that wait for every answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::model_kafka::Place;

/// A member, as the coordinator names it: new with every join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// What a member is asked, and has to answer before anything else is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// These are yours.
    Assigned(Vec<Place>),
    /// Give these back.
    Revoked(Vec<Place>),
}

/// The coordinator's view.
#[derive(Debug)]
pub struct Group {
    partitions: usize,
    session_ms: u64,
    members: BTreeMap<MemberId, Member>,
    last_member: u64,
    generation: u64,
    /// Since when the group waits for every member to join the next generation.
    joining_since: Option<u64>,
    /// Moves partitions to other members when it changes.
    pub salt: usize,
}

#[derive(Debug)]
struct Member {
    heard_at: u64,
    generation: u64,
    owned: BTreeSet<Place>,
    asked: Option<Ask>,
}

/// How many sessions an answer may take before its member is thrown out.
const PATIENCE_SESSIONS: u64 = 3;

impl Group {
    pub(super) fn new(partitions: usize, session_ms: u64) -> Self {
        Self {
            partitions,
            session_ms,
            members: BTreeMap::new(),
            last_member: 0,
            generation: 0,
            joining_since: None,
            salt: 0,
        }
    }

    /// A process joins.
    pub fn join(&mut self, now: u64) -> MemberId {
        self.last_member += 1;
        let id = MemberId(self.last_member);
        let member = Member {
            heard_at: now,
            generation: 0,
            owned: BTreeSet::new(),
            asked: None,
        };
        self.members.insert(id, member);
        self.begin_rebalance(now);
        id
    }

    /// A member leaves; what it owned is free at once.
    pub fn leave(&mut self, id: MemberId, now: u64) {
        if self.members.remove(&id).is_some() {
            self.begin_rebalance(now);
        }
    }

    /// A restarted process takes the place of its predecessor with the same static id: what was owned is given again,
    /// and nobody else notices. `None` when the predecessor is not a member any more.
    pub fn replace(&mut self, id: MemberId, now: u64) -> Option<Ask> {
        let member = self.members.get_mut(&id)?;
        member.heard_at = now;
        let ask = Ask::Assigned(member.owned.iter().copied().collect());
        if member.asked.replace(ask.clone()).is_some() {
            // What it was asked before is asked again.
            self.begin_rebalance(now);
        }
        Some(ask)
    }

    /// A member's heartbeat. False when it is a member no more.
    pub fn hear(&mut self, id: MemberId, now: u64) -> bool {
        let member = self.members.get_mut(&id);
        if let Some(member) = member {
            member.heard_at = now;
            return true;
        }
        false
    }

    /// Something changed: the next generation begins once every member is free to join it.
    pub fn begin_rebalance(&mut self, now: u64) {
        self.joining_since.get_or_insert(now);
    }

    /// A member answered what it was asked, if anything.
    pub fn answered(&mut self, id: MemberId, now: u64) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if let Some(Ask::Revoked(places)) = member.asked.take() {
            member.owned.retain(|place| !places.contains(place));
            self.begin_rebalance(now);
        }
    }

    /// Throws out who was not heard of; gives what members are asked when a generation begins.
    pub fn turn(&mut self, now: u64) -> Vec<(MemberId, Ask)> {
        let (session_ms, joining_since) = (self.session_ms, self.joining_since);
        let before = self.members.len();
        let patience_ms = session_ms * PATIENCE_SESSIONS;
        self.members.retain(|_, member| {
            let is_heard = now <= member.heard_at + session_ms;
            let is_patient = joining_since.is_none_or(|since| now <= since + patience_ms);
            is_heard && (is_patient || member.asked.is_none())
        });
        if self.members.len() < before {
            self.begin_rebalance(now);
        }
        let is_free = |member: &Member| member.asked.is_none();
        if self.joining_since.is_none() || !self.members.values().all(is_free) {
            return Vec::new();
        }
        self.joining_since = None;
        self.generation += 1;
        self.ask_all()
    }

    fn ask_all(&mut self) -> Vec<(MemberId, Ask)> {
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        if ids.is_empty() {
            return Vec::new();
        }
        let taken: BTreeSet<Place> = self
            .members
            .values()
            .flat_map(|member| member.owned.iter().copied())
            .collect();
        let target = |place: Place| ids[(place + self.salt) % ids.len()];
        let mut asks = Vec::new();
        for (id, member) in &mut self.members {
            member.generation = self.generation;
            let away: Vec<Place> = member
                .owned
                .iter()
                .copied()
                .filter(|place| target(*place) != *id)
                .collect();
            let ask = if away.is_empty() {
                let new = (0..self.partitions)
                    .filter(|place| target(*place) == *id && !taken.contains(place));
                Ask::Assigned(new.collect())
            } else {
                Ask::Revoked(away)
            };
            if let Ask::Assigned(places) = &ask {
                member.owned.extend(places.iter().copied());
            }
            member.asked = Some(ask.clone());
            asks.push((*id, ask));
        }
        asks
    }

    /// The generation that a member knows; `None` when it is a member no more.
    pub fn generation_of(&self, id: MemberId) -> Option<u64> {
        self.members.get(&id).map(|member| member.generation)
    }

    /// Whether a partition belongs to another member than this.
    pub fn is_another_s(&self, id: MemberId, place: Place) -> bool {
        let mut others = self.members.iter().filter(|(other, _)| **other != id);
        others.any(|(_, member)| member.owned.contains(&place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_given_on_only_after_its_owner_answered() {
        let mut group = Group::new(4, 1000);
        let first = group.join(0);
        assert_eq!(
            group.turn(0),
            vec![(first, Ask::Assigned(vec![0, 1, 2, 3]))]
        );
        group.answered(first, 0);
        let second = group.join(1);
        let asks = group.turn(1);
        let expected = vec![
            (first, Ask::Revoked(vec![1, 3])),
            (second, Ask::Assigned(Vec::new())),
        ];
        assert_eq!(asks, expected);
        group.answered(second, 1);
        group.begin_rebalance(2);
        assert_eq!(group.turn(2), Vec::new(), "the first has not answered");
        group.answered(first, 3);
        let asks = group.turn(3);
        assert_eq!(asks[1], (second, Ask::Assigned(vec![1, 3])));
    }

    #[test]
    fn a_silent_member_is_thrown_out_and_its_generation_is_old() {
        let mut group = Group::new(1, 1000);
        let first = group.join(0);
        group.turn(0);
        group.answered(first, 0);
        let second = group.join(500);
        group.hear(second, 1500);
        let asks = group.turn(1501);
        assert_eq!(asks, vec![(second, Ask::Assigned(vec![0]))]);
        assert_eq!(group.generation_of(first), None);
        assert!(!group.hear(first, 1502));
    }
}
