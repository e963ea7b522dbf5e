//! Sizes and durations that cross a boundary, written with their unit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use std::time::Duration;

/// A number of bytes. Text form: `"8 MiB"`, `"512 KiB"`, `"100 B"`, `"1 GiB"`; a bare number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteCount(pub u64);

/// A duration in milliseconds. Text form: `"250 ms"`, `"30 s"`, `"10 min"`, `"24 h"`, `"7 d"`; a bare
/// number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Millis(pub u64);

/// One mebibyte in bytes.
pub const MIB: u64 = 1024 * 1024;

const BYTE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1024 * 1024 * MIB),
    ("GiB", 1024 * MIB),
    ("MiB", MIB),
    ("KiB", 1024),
    ("B", 1),
];

const MILLI_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl ByteCount {
    /// Counts `n` mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n * MIB)
    }

    /// The count as a `usize`.
    ///
    /// # Panics
    /// If it does not fit, which a 64-bit target excludes.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).expect("a 64-bit target holds every byte count")
    }
}

impl Millis {
    /// Counts `n` seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(n * 1000)
    }

    /// The same length of time for `std` and tokio.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_with_unit(
            text,
            &BYTE_UNITS,
            "a size like \"8 MiB\" (B, KiB, MiB, GiB, TiB)",
        )
        .map(Self)
    }
}

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_with_unit(
            text,
            &MILLI_UNITS,
            "a time like \"30 s\" (ms, s, min, h, d)",
        )
        .map(Self)
    }
}

impl TryFrom<String> for ByteCount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for Millis {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ByteCount> for String {
    fn from(count: ByteCount) -> Self {
        count.to_string()
    }
}

impl From<Millis> for String {
    fn from(millis: Millis) -> Self {
        millis.to_string()
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(f, self.0, &BYTE_UNITS)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(f, self.0, &MILLI_UNITS)
    }
}

fn parse_with_unit(text: &str, units: &[(&str, u64)], expected: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let refusal = || format!("`{text}` is not {expected}");
    let number: u64 = number.parse().map_err(|_| refusal())?;
    let (_, factor) = units
        .iter()
        .find(|(name, _)| *name == unit.trim())
        .ok_or_else(refusal)?;
    number
        .checked_mul(*factor)
        .ok_or_else(|| format!("`{text}` is too large"))
}

/// Writes with the largest unit that divides `number`, so that parsing gives the same number back.
fn write_with_unit(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let exact = units
        .iter()
        .find(|(_, factor)| number.is_multiple_of(*factor) && number >= *factor);
    let (name, factor) = exact
        .or(units.last())
        .expect("the unit tables are not empty");
    write!(f, "{} {name}", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_or_time_without_a_unit_is_refused() {
        assert!("1024".parse::<ByteCount>().is_err());
        assert!("30".parse::<Millis>().is_err());
        assert!("8 MB".parse::<ByteCount>().is_err());
        assert!("99999999999 TiB".parse::<ByteCount>().is_err());
    }

    #[test]
    fn text_form_reads_back_as_the_same_number() {
        for n in [0, 1, 1023, 1024, 8 * MIB, 8 * MIB + 1, 3 << 30] {
            assert_eq!(ByteCount(n).to_string().parse(), Ok(ByteCount(n)));
            assert_eq!(Millis(n).to_string().parse(), Ok(Millis(n)));
        }
        assert_eq!(ByteCount::mib(8).to_string(), "8 MiB");
        assert_eq!(Millis(600_000).to_string(), "10 min");
    }
}
