//! A bucket that says 503 for two minutes is asked for little more than before, and a minute later it is served as before.

use skein_gamedays::world::World;
use skein_gamedays::world::storm::{Fared, Storm};

const MINUTE_MS: u64 = 60_000;

/// How a fleet fares until the storm, in it, soon after it, a minute after its end, and three.
fn weather(seed: u64, refused: u16) -> [Fared; 5] {
    let end = 3 * MINUTE_MS;
    let storm = Storm {
        from_ms: MINUTE_MS,
        to_ms: end,
        refused,
        ends_ms: 10 * MINUTE_MS,
    };
    let mut world = World::in_storm(seed, storm);
    let looks = [
        MINUTE_MS,
        end,
        end + MINUTE_MS / 2,
        end + MINUTE_MS,
        end + 3 * MINUTE_MS,
    ];
    looks.map(|until| {
        let verdict = world.run_until(until);
        assert_eq!(verdict, Ok(()), "seed {seed}");
        world.fared()
    })
}

#[test]
fn a_storm_of_503_is_not_answered_with_more_load_and_goodput_is_back_a_minute_after_its_end() {
    for refused in [200, 500, 900, 1000] {
        for seed in 0..5 {
            let [before, within, soon, after, long_after] = weather(seed, refused);
            let story = format!("{refused} of 1000 refused, seed {seed}");
            assert_eq!(before.retries, 0, "{story}");
            let first = within.first_tries - before.first_tries;
            let retries = within.retries - before.retries;
            // The storm is twice as long as the time before. A fleet that cannot go on sends little for the first time,
            // so that its retries are compared with what it would send.
            let usual = 2 * before.first_tries;
            assert!(
                (first + retries) * 10 <= usual * 12,
                "{story}: {first} and {retries}, usual {usual}"
            );
            assert!(retries * 10 <= usual * 2, "{story}: {retries} of {usual}");
            // In half a minute, as in half of the minute before the storm, but for a flush.
            let goodput = after.durable - soon.durable;
            assert!(
                goodput * 20 >= before.durable * 9,
                "{story}: {goodput} of {before:?}"
            );
            assert!(within.lag_ms > before.lag_ms, "{story}: {within:?}");
            assert!(long_after.lag_ms < 5_000, "{story}: {long_after:?}");
        }
    }
}
