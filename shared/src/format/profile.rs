//! How much time an encoder may take for how few bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an encoder is after. The same points and the same profile give the same bytes; a reader need not know it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Every block as bits: about 6 % more bytes in nine tenths of the time.
    Fast,
    /// What does not cost much time.
    #[default]
    Balanced,
    /// Every candidate for every block: up to 0.3 % fewer bytes in twice the time.
    Archive,
}

/// How a block's numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberWay {
    /// In as many bits as their range needs.
    Bits,
    /// Through pco.
    Packed,
    /// Differences of neighbours through pco.
    Differences,
}

/// How hard pco looks for bins: 0 to 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLevel(pub usize);

impl Profile {
    /// How hard numbers are packed: each of these is a candidate.
    pub(super) const fn pack_levels(self) -> &'static [PackLevel] {
        match self {
            Self::Fast => &[PackLevel(4)],
            Self::Balanced => &[PackLevel(6)],
            // The higher is not always the smaller.
            Self::Archive => &[PackLevel(6), PackLevel(8)],
        }
    }

    /// Ways to write so many numbers, each of which is a candidate: as bits, through pco, through pco as differences.
    pub(super) const fn number_ways(self, numbers: usize) -> &'static [NumberWay] {
        use NumberWay::{Bits, Differences, Packed};
        match self {
            Self::Fast => &[Bits],
            // pco's tables alone take more.
            Self::Balanced if numbers <= 48 => &[Bits],
            Self::Balanced if numbers > 1024 => &[Packed, Differences],
            Self::Balanced | Self::Archive => &[Bits, Packed, Differences],
        }
    }

    /// Whether decimals are numbers, and nobody looks whether they come back.
    pub(super) const fn decimals_are_numbers(self) -> bool {
        match self {
            Self::Fast => true,
            Self::Balanced | Self::Archive => false,
        }
    }

    /// Whether a candidate that won lately may be taken without trying the others.
    pub(super) const fn has_habits(self) -> bool {
        match self {
            Self::Fast | Self::Balanced => true,
            Self::Archive => false,
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Fast, Self::Balanced, Self::Archive];
        let named = known
            .into_iter()
            .find(|profile| profile.to_string() == text);
        named.ok_or_else(|| format!("no profile is named `{text}`"))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Archive => "archive",
        })
    }
}
