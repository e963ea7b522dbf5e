//! Rules of the one retry loop, on a store that is throttled, slow or away for a while.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use skein_shared::ids::WriteId;
use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;
use uuid::Uuid;

use super::RequestTable;
use crate::core::action::{Action, ObjectNumber, Request, RequestId};
use crate::core::event::{Failure, Remedy};
use crate::core::purpose::Purpose;

const STEP_MS: u64 = 10;
const LATENCY_MS: u64 = 100;

/// What the store does in a storm.
#[derive(Clone, Copy)]
enum Storm {
    /// Refuses this share of requests, in percent.
    Refuses(u8),
    /// Refuses all requests of a tenth of a second beyond this number.
    TakesAtMost(u32),
    /// Refuses this share of requests of the hot lane, in percent; two in a hundred of all others fail without asking
    /// for less.
    Hot(u8),
    /// Fails this share of requests, in percent, without asking for less.
    Fails(u8),
}

/// The lane that half of all requests are for.
const HOT: char = '3';

/// A table, and a store with a clock.
struct Store {
    table: RequestTable,
    rng: Rng,
    now: u64,
    under_way: BTreeMap<u64, Vec<RequestId>>,
    taken: u32,
    sent: u64,
    answered: u64,
    put: u64,
    /// By the first digit of the key: whatever was put, sent and answered.
    lanes: BTreeMap<char, Told>,
    /// Whatever is not answered: its digit, and since when.
    open: BTreeMap<RequestId, (char, u64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    put: u64,
    sent: u64,
    answered: u64,
}

impl Store {
    fn new(seed: u64) -> Self {
        Self {
            table: RequestTable::new(RetryPolicy::default(), 16, seed),
            rng: Rng::with_seed(seed),
            now: 0,
            under_way: BTreeMap::new(),
            taken: 0,
            sent: 0,
            answered: 0,
            put: 0,
            lanes: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    fn put(&mut self, body_bytes: usize) {
        let digit = self.rng.u8(..16);
        self.put_at(char::from_digit(digit.into(), 16).unwrap(), body_bytes);
    }

    fn put_at(&mut self, digit: char, body_bytes: usize) {
        self.put += 1;
        let request = Request::PutObject {
            key: format!("{digit}000/state/{}", self.put),
            write: WriteId(Uuid::from_u128(u128::from(self.put))),
            body: Bytes::from(vec![0; body_bytes]),
        };
        let mut actions = Vec::new();
        let purpose = Purpose::Put(ObjectNumber(self.put));
        let id = self.table.send(purpose, request, &mut actions);
        self.open.insert(id, (digit, self.now));
        self.lanes.entry(digit).or_default().put += 1;
        self.obey(actions);
    }

    fn told(&mut self, id: RequestId) -> &mut Told {
        self.lanes.entry(self.open[&id].0).or_default()
    }

    fn obey(&mut self, actions: Vec<Action>) {
        for action in actions {
            if let Action::Send(id, _) = action {
                self.sent += 1;
                self.told(id).sent += 1;
                let done = self.now + LATENCY_MS + self.rng.u64(..20);
                self.under_way.entry(done).or_default().push(id);
            }
        }
    }

    /// One step of time.
    fn step(&mut self, storm: Option<Storm>) {
        self.now += STEP_MS;
        self.table.advance(Millis(self.now));
        if self.now.is_multiple_of(100) {
            self.taken = 0;
        }
        while let Some(first) = self
            .under_way
            .first_entry()
            .filter(|e| *e.key() <= self.now)
        {
            for id in first.remove() {
                self.come_back(id, storm);
            }
        }
        let mut actions = Vec::new();
        self.table.send_due(&mut actions);
        self.obey(actions);
    }

    fn come_back(&mut self, id: RequestId, storm: Option<Storm>) {
        self.taken += 1;
        let refuses = match storm {
            None => false,
            Some(Storm::Refuses(percent) | Storm::Fails(percent)) => self.rng.u8(..100) < percent,
            Some(Storm::TakesAtMost(most)) => self.taken > most,
            Some(Storm::Hot(percent)) => {
                let is_hot = self.open[&id].0 == HOT;
                self.rng.u8(..100) < if is_hot { percent } else { 2 }
            }
        };
        let mut actions = Vec::new();
        if refuses {
            let remedy = match storm {
                Some(Storm::Fails(_)) => Remedy::Again,
                Some(Storm::Hot(_)) if self.open[&id].0 != HOT => Remedy::Again,
                None | Some(_) => Remedy::SlowDown,
            };
            self.table.failed(id, &failure(remedy), &mut actions);
        } else {
            self.answered += 1;
            self.told(id).answered += 1;
            self.open.remove(&id);
            self.table.finish(id, &mut actions);
        }
        self.obey(actions);
    }

    /// Lets time pass with a steady load of 50 requests a second.
    fn run(&mut self, seconds: u64, storm: Option<Storm>) {
        for _ in 0..seconds * 1000 / STEP_MS {
            if self.now.is_multiple_of(20) {
                self.put(1000);
            }
            self.step(storm);
        }
    }

    /// The same, with the hot lane getting half of it.
    fn run_hot(&mut self, seconds: u64, storm: Option<Storm>) {
        for n in 0..seconds * 1000 / STEP_MS {
            if n.is_multiple_of(4) {
                self.put_at(HOT, 1000);
            }
            if n.is_multiple_of(4) {
                self.put(1000);
            }
            self.step(storm);
        }
    }

    /// Lets time pass for a worker that waits once so many of its requests are open: gives the answers.
    fn run_full(&mut self, seconds: u64, storm: Option<Storm>) -> u64 {
        let before = self.answered;
        for _ in 0..seconds * 1000 / STEP_MS {
            while self.table.len() < 64 {
                self.put(1000);
            }
            self.step(storm);
        }
        self.answered - before
    }

    /// For how long the oldest request that is not answered has waited.
    fn oldest_ms(&self) -> u64 {
        let since = self.open.values().map(|(_, since)| self.now - since);
        since.max().unwrap_or(0)
    }

    fn retried(&self) -> u64 {
        self.table.stats().retried()
    }
}

fn failure(remedy: Remedy) -> Failure {
    Failure {
        remedy,
        reason: "modelled".to_owned(),
    }
}

#[test]
fn a_storm_of_503_is_never_answered_with_more_than_a_fifth_more_and_is_over_a_minute_after_its_end()
{
    let storms = [
        Storm::Refuses(20),
        Storm::Refuses(50),
        Storm::Refuses(90),
        Storm::Refuses(100),
        Storm::TakesAtMost(0),
    ];
    for (seed, storm) in (1..).zip(storms) {
        let mut store = Store::new(seed);
        store.run(60, None);
        assert_eq!(store.retried(), 0);
        let (before, first_before) = (store.sent, store.table.stats().first_tries);
        store.run(120, Some(storm));
        let first = store.table.stats().first_tries - first_before;
        let sent = store.sent - before;
        assert!(sent * 10 <= first * 12, "storm {seed}: {sent} of {first}");
        store.run(50, None);
        let answered = store.answered;
        store.run(10, None);
        let per_second = (store.answered - answered) / 10;
        assert!(per_second >= 50, "storm {seed}: {per_second} a second");
        store.run(60, None);
        assert!(
            store.table.len() < 20,
            "storm {seed}: everything is caught up"
        );
        assert!(
            store.table.limits().all(|(_, limit)| limit >= 4),
            "storm {seed}"
        );
    }
}

#[test]
fn what_a_hiccup_breaks_off_in_one_lane_is_all_sent_again_at_once() {
    let mut store = Store::new(1);
    store.run(10, None);
    for _ in 0..8 {
        store.put_at(HOT, 1000);
    }
    (0..15).for_each(|_| store.step(Some(Storm::Fails(100))));
    let broken_off = store.open.len();
    assert!(broken_off >= 8);
    (0..60).for_each(|_| store.step(None));
    assert_eq!(store.open.len(), 0, "of {broken_off}");
}

#[test]
fn a_lane_that_is_refused_takes_nothing_from_the_others_and_gets_no_more_than_a_fifth_itself() {
    for (seed, percent) in (1..).zip([20, 60, 100]) {
        let mut store = Store::new(seed);
        store.run_hot(110, Some(Storm::Hot(percent)));
        for (digit, told) in &store.lanes {
            let seen = format!("{percent} in a hundred of lane {HOT}, lane {digit}: {told:?}");
            if *digit == HOT {
                assert!(told.sent * 10 <= told.put * 12, "{seen}");
                continue;
            }
            let open = told.put - told.answered;
            assert!(open <= 5, "{seen}");
        }
    }
}

#[test]
fn a_store_of_which_a_few_in_ten_fail_all_day_keeps_its_goodput_and_nothing_waits_for_ever() {
    for (seed, percent) in (1..).zip([10, 15, 20]) {
        let mut store = Store::new(seed);
        let usual = store.run_full(60, None);
        store.run_full(180, Some(Storm::Fails(percent)));
        for _ in 0..10 {
            let goodput = store.run_full(60, Some(Storm::Fails(percent)));
            let oldest_ms = store.oldest_ms();
            let seen = format!("{percent} in a hundred: {goodput} of {usual}, {oldest_ms} ms");
            assert!(goodput * 10 >= usual * 6, "{seen}");
            assert!(oldest_ms < 60_000, "{seen}");
        }
    }
}

#[test]
fn a_store_that_takes_less_is_given_less_and_refuses_little() {
    let mut store = Store::new(7);
    for _ in 0..20_000 {
        store.put(1000);
    }
    // 100 a second, where 16 at once would ask for 150.
    for _ in 0..3000 {
        store.step(Some(Storm::TakesAtMost(10)));
    }
    let refused = store.sent - store.answered;
    assert!(refused * 5 < store.sent, "{refused} of {}", store.sent);
    assert!(store.answered > 2000, "{}", store.answered);
}

#[test]
fn a_failed_request_waits_a_random_time_under_a_bound_that_doubles() {
    let mut table = RequestTable::new(RetryPolicy::default(), 16, 1);
    let mut actions = Vec::new();
    let purpose = Purpose::Put(ObjectNumber(1));
    let request = Request::CompleteUpload(ObjectNumber(1));
    let id = table.send(purpose, request, &mut actions);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..9 {
        table.failed(id, &failure(Remedy::Again), &mut actions);
        actions.clear();
        let failed_at = now;
        while actions.is_empty() {
            now += 1;
            table.advance(Millis(now));
            table.send_due(&mut actions);
        }
        waits.push(now - failed_at);
    }
    for (n, wait) in (1..).zip(&waits) {
        let longest = RetryPolicy::default().longest_wait(n).as_millis();
        assert!(
            u128::from(*wait) <= longest.max(1),
            "{n}: {wait} of {longest}"
        );
    }
    assert!(waits.iter().max() > Some(&1000), "{waits:?}");
}

#[test]
fn a_request_that_takes_far_longer_than_its_peers_is_sent_a_second_time_once() {
    let mut store = Store::new(3);
    for _ in 0..80 {
        store.put(1 << 20);
        (0..15).for_each(|_| store.step(None));
    }
    store.put(1 << 20);
    let slow = store.under_way.pop_last().expect("it is under way").1;
    let mut hedged = Vec::new();
    for _ in 0..1000 {
        store.now += STEP_MS;
        store.table.advance(Millis(store.now));
        let mut actions = Vec::new();
        store.table.send_due(&mut actions);
        hedged.extend(actions);
    }
    assert_eq!(hedged.len(), 1);
    assert!(matches!(&hedged[0], Action::Hedge(id, _) if slow.contains(id)));
    assert_eq!(store.table.stats().hedges, 1);
}

#[test]
fn a_forgotten_request_keeps_its_room_until_it_comes_back() {
    let mut table = RequestTable::new(RetryPolicy::default(), 1, 1);
    let mut actions = Vec::new();
    let put = |number| Request::PutObject {
        key: format!("0000/{number}"),
        write: WriteId(Uuid::nil()),
        body: Bytes::from_static(b"x"),
    };
    let first = table.send(Purpose::Put(ObjectNumber(1)), put(1), &mut actions);
    table.forget(|_| true);
    table.send(Purpose::Put(ObjectNumber(2)), put(2), &mut actions);
    assert_eq!(actions.len(), 1, "the second waits");
    assert_eq!(table.finish(first, &mut actions), None);
    assert_eq!(actions.len(), 2);
}
