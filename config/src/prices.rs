//! `[prices]`: what things cost. Every default has its source in `prices.toml`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use skein_shared::units::MIB;

use crate::bound::{Bounds, Breach};

const GIB: u64 = 1024 * MIB;

/// Prices of requests, storage and traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceSettings {
    /// A million writes and listings.
    pub write_requests: Dollars,
    /// A million reads.
    pub read_requests: Dollars,
    /// A GiB of state for a month.
    pub state_storage: Dollars,
    /// A GiB of a broker's disk for a month.
    pub kafka_storage: Dollars,
    /// Copies that Kafka keeps.
    pub kafka_replicas: u32,
    /// A GiB between two zones.
    pub zone_traffic: Dollars,
}

/// A sum of money in millionths of a US dollar. Text form `"$0.023"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dollars(pub u64);

impl PriceSettings {
    /// What requests cost.
    pub fn requests(&self, writes: u64, reads: u64) -> Dollars {
        let of = |price: Dollars, count| price.times(count, 1_000_000);
        of(self.write_requests, writes).plus(of(self.read_requests, reads))
    }

    /// What bytes in state cost in a month.
    pub fn state_month(&self, bytes: u64) -> Dollars {
        self.state_storage.times(bytes, GIB)
    }

    /// What bytes in Kafka, with all their copies, cost in a month.
    pub fn kafka_month(&self, bytes: u64) -> Dollars {
        let copies = bytes.saturating_mul(u64::from(self.kafka_replicas));
        self.kafka_storage.times(copies, GIB)
    }

    /// What it costs to send bytes to, or fetch them from, the leaders of a cluster in three zones: two thirds of
    /// them cross a zone's edge.
    pub fn kafka_traffic(&self, bytes: u64) -> Dollars {
        self.zone_traffic.times(bytes / 3 * 2, GIB)
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("prices", breaches);
        bounds.range("kafka_replicas", &self.kafka_replicas, 1..=9);
    }
}

impl Dollars {
    /// The price of `count` when `unit` of them have this one.
    #[must_use]
    pub fn times(self, count: u64, unit: u64) -> Self {
        let micros = u128::from(self.0) * u128::from(count) / u128::from(unit.max(1));
        Self(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it; nothing when `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Dollars {
    /// With as many decimals as it has, and at least two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:06}", self.0 % 1_000_000);
        let decimals = digits.trim_end_matches('0').len().max(2);
        write!(f, "${}.{}", self.0 / 1_000_000, &digits[..decimals])
    }
}

impl FromStr for Dollars {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || format!("`{text}` is not a price like \"$0.023\" (at most 6 decimals)");
        let number = text.trim().strip_prefix('$').ok_or_else(refusal)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 6 {
            return Err(refusal());
        }
        let micros = format!("{decimals:0<6}").parse::<u64>().ok();
        let whole = whole
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(1_000_000));
        let sum = whole.zip(micros).and_then(|(a, b)| a.checked_add(b));
        sum.map(Self).ok_or_else(refusal)
    }
}

impl TryFrom<String> for Dollars {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Dollars> for String {
    fn from(sum: Dollars) -> Self {
        sum.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::{Layers, load};

    proptest! {
        #[test]
        fn every_sum_reads_back(micros: u64) {
            prop_assert_eq!(Dollars(micros).to_string().parse(), Ok(Dollars(micros)));
        }
    }

    #[test]
    fn a_price_without_its_sign_or_with_too_many_decimals_is_refused() {
        for text in ["", "$", "5", "$-1", "$1.", "$.5", "$0.0000001", "$1e3"] {
            assert!(text.parse::<Dollars>().is_err(), "{text}");
        }
        assert_eq!("$5".parse(), Ok(Dollars(5_000_000)));
    }

    #[test]
    fn the_embedded_prices_give_the_known_bills() {
        let prices = load(&Layers::default()).unwrap().prices;
        assert_eq!(prices.requests(2_000_000, 1_000_000), Dollars(10_400_000));
        assert_eq!(prices.kafka_month(10 * GIB), Dollars(3_000_000));
        assert_eq!(prices.state_month(1000 * GIB), Dollars(23_000_000));
    }
}
