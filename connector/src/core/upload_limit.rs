//! How many requests are under way at the same time, for each group of keys that the store may throttle alone.
//!
//! Stores split their load by key prefix and refuse what is beyond one prefix' share (503, "slow down"). So
//! each first digit of a data key's hash is a lane with a limit of its own. Everything small (ledger, manifests)
//! is one more, and look-ups, which also wait for Kafka, are the last: the ledger never waits for them. A
//! refusal halves its lane, once a round: what was sent before the cut tells nothing about the load after it.
//! Each full round of answers adds one. When two lanes are refused within a round of answers, it is the store
//! that has too much to do and not one prefix: then the limit of all data together is halved as well.

use skein_shared::format::object_key::hash_digit;

use crate::core::action::Request;

/// Small requests (ledger, manifests) at the same time, and as many look-ups.
const MOST_SMALL: u64 = 32;
/// Thousandths of a request: an answer adds a part of one.
const ONE: u64 = 1000;

/// Requests that share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane(usize);

/// Between which cuts a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    lane: u64,
    data: u64,
}

/// The limits of all lanes.
#[derive(Debug)]
pub(super) struct UploadLimit {
    lanes: [Limit; Lane::COUNT],
    /// Of all data lanes together.
    data: Limit,
    refused: Option<Refused>,
}

/// One limit by additive increase and multiplicative decrease.
#[derive(Debug, Clone, Copy)]
struct Limit {
    most: u64,
    /// In thousandths.
    allowed: u64,
    under_way: u64,
    round: u64,
}

/// The lane that was refused last, for one round of answers.
#[derive(Debug, Clone, Copy)]
struct Refused {
    lane: Lane,
    answers_left: u64,
}

impl Lane {
    /// One for each first digit of a hash, one for what is small, and one for look-ups.
    pub(super) const COUNT: usize = 18;
    pub(super) const SMALL: Self = Self(16);
    pub(super) const LOOK_UPS: Self = Self(17);
    const NAMES: [&str; Self::COUNT] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f", "small",
        "look-ups",
    ];

    /// The lane of a request.
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::PutObject { key, .. } | Request::UploadPart { key, .. } => {
                Self(usize::from(hash_digit(key)))
            }
            Request::LookUpChain(_) => Self::LOOK_UPS,
            Request::CreateGenesis { .. }
            | Request::CompleteUpload(_)
            | Request::CreateFlushManifest { .. }
            | Request::AppendLedger { .. }
            | Request::WriteStatus { .. } => Self::SMALL,
        }
    }

    /// Retries that the lane at a place needs at once when some of what it has under way fails. The data lanes share
    /// their requests.
    pub(super) const fn hiccup(place: usize) -> u64 {
        if Self(place).is_data() { 1 } else { 2 }
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Its name in metrics.
    pub(super) const fn name(self) -> &'static str {
        Self::NAMES[self.0]
    }

    /// Its place among [`Lane::COUNT`].
    pub(super) const fn place(self) -> usize {
        self.0
    }

    const fn is_data(self) -> bool {
        self.0 < Self::SMALL.0
    }
}

impl Limit {
    const fn new(most: u64) -> Self {
        Self {
            most,
            allowed: most * ONE,
            under_way: 0,
            round: 0,
        }
    }

    const fn has_room(&self) -> bool {
        (self.under_way + 1) * ONE <= self.allowed
    }

    fn grow(&mut self, round: u64) {
        if round == self.round {
            let grown = self.allowed + ONE * ONE / self.allowed;
            self.allowed = grown.min(self.most * ONE);
        }
    }

    fn cut(&mut self, round: u64) {
        if round == self.round {
            let used = self.allowed.min(self.under_way * ONE);
            self.allowed = (used / 2).max(ONE);
            self.round += 1;
        }
    }

    const fn is_wide_open(&self) -> bool {
        self.allowed == self.most * ONE
    }

    const fn whole(&self) -> u64 {
        self.allowed / ONE
    }
}

impl UploadLimit {
    /// All lanes wide open: `most_data` requests that carry data at the same time, over all lanes.
    pub(super) fn new(most_data: u32) -> Self {
        let data = Limit::new(u64::from(most_data));
        let mut lanes = [data; Lane::COUNT];
        for small in [Lane::SMALL, Lane::LOOK_UPS] {
            lanes[small.0] = Limit::new(MOST_SMALL);
        }
        Self {
            lanes,
            data,
            refused: None,
        }
    }

    /// Whether another request of this lane may be sent.
    pub(super) fn has_room(&self, lane: Lane) -> bool {
        self.lanes[lane.0].has_room() && (!lane.is_data() || self.data.has_room())
    }

    /// A request is sent.
    pub(super) fn sent(&mut self, lane: Lane) -> Round {
        self.data.under_way += u64::from(lane.is_data());
        let of_lane = &mut self.lanes[lane.0];
        of_lane.under_way += 1;
        Round {
            lane: of_lane.round,
            data: self.data.round,
        }
    }

    /// A request came back, whatever it brought.
    pub(super) fn returned(&mut self, lane: Lane) {
        self.data.under_way -= u64::from(lane.is_data());
        self.lanes[lane.0].under_way -= 1;
    }

    /// A request that is still counted as under way was answered.
    pub(super) fn answered(&mut self, lane: Lane, round: Round) {
        self.lanes[lane.0].grow(round.lane);
        if !lane.is_data() {
            return;
        }
        self.data.grow(round.data);
        self.refused = self.refused.and_then(|refused| {
            let answers_left = refused.answers_left.checked_sub(1)?;
            Some(Refused {
                answers_left,
                ..refused
            })
        });
    }

    /// A request that is still counted as under way was refused because there were too many.
    pub(super) fn slowed(&mut self, lane: Lane, round: Round) {
        self.lanes[lane.0].cut(round.lane);
        if !lane.is_data() {
            return;
        }
        if self.refused.is_some_and(|refused| refused.lane != lane) {
            self.data.cut(round.data);
        }
        self.refused = Some(Refused {
            lane,
            answers_left: self.data.whole(),
        });
    }

    /// Whether a lane is as wide as it ever gets.
    pub(super) fn is_wide_open(&self, lane: Lane) -> bool {
        self.lanes[lane.0].is_wide_open() && self.data.is_wide_open()
    }

    /// Whole requests that each lane, and all data together, may have under way, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let lanes = Lane::all().map(|lane| (lane.name(), self.lanes[lane.0].whole()));
        lanes.chain([("data", self.data.whole())])
    }

    #[cfg(test)]
    fn of(&self, lane: Lane) -> u64 {
        self.lanes[lane.0].whole()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Lane = Lane(3);

    fn fill(limit: &mut UploadLimit) -> Vec<Round> {
        let mut rounds = Vec::new();
        while limit.has_room(DATA) {
            rounds.push(limit.sent(DATA));
        }
        rounds
    }

    #[test]
    fn refusals_of_one_round_halve_their_lane_once_and_no_other() {
        let mut limit = UploadLimit::new(16);
        let rounds = fill(&mut limit);
        assert_eq!(rounds.len(), 16);
        for round in rounds {
            limit.slowed(DATA, round);
            limit.returned(DATA);
        }
        assert_eq!(limit.of(DATA), 8);
        assert_eq!(limit.of(Lane(4)), 16);
        for _ in 0..9 {
            for round in fill(&mut limit) {
                limit.slowed(DATA, round);
                limit.returned(DATA);
            }
        }
        assert_eq!(limit.of(DATA), 1, "one is always left");
    }

    #[test]
    fn a_lane_that_is_hardly_used_is_cut_to_half_of_what_it_used() {
        let mut limit = UploadLimit::new(16);
        let round = limit.sent(DATA);
        for _ in 0..5 {
            limit.sent(DATA);
        }
        limit.slowed(DATA, round);
        assert_eq!(limit.of(DATA), 3);
    }

    #[test]
    fn each_full_round_of_answers_adds_one() {
        let mut limit = UploadLimit::new(16);
        for _ in 0..4 {
            for round in fill(&mut limit) {
                limit.slowed(DATA, round);
                limit.returned(DATA);
            }
        }
        for rounds in 1..20 {
            let before = limit.of(DATA);
            for round in fill(&mut limit) {
                limit.answered(DATA, round);
                limit.returned(DATA);
            }
            assert!(limit.of(DATA) <= before + 1, "round {rounds}");
        }
        assert!(limit.is_wide_open(DATA));
    }

    #[test]
    fn refusals_of_many_lanes_halve_all_data_together_down_to_one_request() {
        let mut limit = UploadLimit::new(16);
        for _ in 0..6 {
            let mut sent = Vec::new();
            for lane in (0..16).map(Lane) {
                let has_room = limit.has_room(lane);
                sent.extend(has_room.then(|| (lane, limit.sent(lane))));
            }
            for (lane, round) in sent {
                limit.slowed(lane, round);
                limit.returned(lane);
            }
        }
        assert_eq!(limit.all().last(), Some(("data", 1)));
        let rounds = (0..200).take_while(|n| {
            let lane = Lane(n % 16);
            let round = limit.sent(lane);
            limit.answered(lane, round);
            limit.returned(lane);
            !limit.data.is_wide_open()
        });
        assert!(
            rounds.count() < 140,
            "one more for each full round of answers"
        );
    }

    #[test]
    fn all_lanes_together_keep_the_setting_and_the_ledger_waits_for_nothing_else() {
        let mut limit = UploadLimit::new(4);
        for n in 0..4 {
            limit.sent(Lane(n));
        }
        assert!(!limit.has_room(Lane(9)));
        for _ in 0..MOST_SMALL {
            limit.sent(Lane::LOOK_UPS);
        }
        assert!(!limit.has_room(Lane::LOOK_UPS));
        assert!(limit.has_room(Lane::SMALL), "the ledger waits for neither");
        limit.returned(Lane(0));
        assert!(limit.has_room(Lane(9)));
    }
}
