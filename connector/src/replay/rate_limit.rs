//! How fast a replay may go, so that it does not starve those who live on the same brokers and bucket.

use std::str::FromStr;
use std::time::{Duration, Instant};

use skein_shared::units::ByteCount;

/// How far a replay that was held up may run ahead of its rate afterwards.
const MOST_CREDIT: Duration = Duration::from_secs(1);

/// Bytes or records in a second. Text form `"10 MiB/s"` or `"5000/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Bytes of keys, values and headers.
    Bytes(u64),
    /// Records.
    Records(u64),
}

/// Holds a replay to every rate that it was given.
#[derive(Debug)]
pub struct RateLimit {
    rates: Vec<Rate>,
    started: Instant,
    records: u64,
    bytes: u64,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal =
            || format!("`{text}` is not a rate like \"10 MiB/s\" or \"5000/s\" (records)");
        let amount = text.trim().strip_suffix("/s").ok_or_else(refusal)?.trim();
        let rate = match amount.parse() {
            Ok(records) => Self::Records(records),
            Err(_) => Self::Bytes(amount.parse::<ByteCount>().map_err(|_| refusal())?.0),
        };
        match rate {
            Self::Bytes(0) | Self::Records(0) => Err(refusal()),
            Self::Bytes(_) | Self::Records(_) => Ok(rate),
        }
    }
}

impl RateLimit {
    /// Begins at `now`.
    pub fn start(rates: Vec<Rate>, now: Instant) -> Self {
        Self {
            rates,
            started: now,
            records: 0,
            bytes: 0,
        }
    }

    /// Takes a record in; gives how long to wait before the next one.
    pub fn add(&mut self, record_bytes: u64, now: Instant) -> Duration {
        self.records += 1;
        self.bytes += record_bytes;
        let due = self.rates.iter().map(|rate| match *rate {
            Rate::Bytes(rate) => seconds_of(self.bytes, rate),
            Rate::Records(rate) => seconds_of(self.records, rate),
        });
        let due = due.max().unwrap_or_default();
        let spent = now.duration_since(self.started);
        // Time in which nothing could go is not made up for by a burst.
        self.started += spent.saturating_sub(due + MOST_CREDIT);
        due.saturating_sub(spent)
    }
}

fn seconds_of(amount: u64, rate: u64) -> Duration {
    let micros = u128::from(amount) * 1_000_000 / u128::from(rate);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_bytes_or_of_records() {
        assert_eq!("10MiB/s".parse(), Ok(Rate::Bytes(10 << 20)));
        assert_eq!("10 MiB/s".parse(), Ok(Rate::Bytes(10 << 20)));
        assert_eq!("5000/s".parse(), Ok(Rate::Records(5000)));
        for text in ["", "10", "10 MiB", "0/s", "0 B/s", "-1/s", "x/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_slower_of_two_rates_decides_and_time_lost_is_not_made_up_for_by_a_burst() {
        let now = Instant::now();
        let rates = vec![Rate::Bytes(1000), Rate::Records(1)];
        let mut limit = RateLimit::start(rates, now);
        assert_eq!(limit.add(10, now), Duration::from_secs(1));
        assert_eq!(limit.add(9990, now), Duration::from_secs(10));
        let later = now + Duration::from_secs(9);
        assert_eq!(limit.add(0, later), Duration::from_secs(1));
        // An hour without a record leaves the credit of a second, and no more.
        let later = now + Duration::from_hours(1);
        assert_eq!(limit.add(0, later), Duration::ZERO);
        assert_eq!(limit.add(0, later), Duration::ZERO);
        assert_eq!(limit.add(2000, later), Duration::from_secs(1));
        assert_eq!(
            RateLimit::start(Vec::new(), now).add(1 << 40, now),
            Duration::ZERO
        );
    }
}
