//! A difference between two sides, and the class that it belongs to.
//!
//! Ten thousand points that differ are seldom ten thousand faults. A class is what they have in common: how they differ, the
//! type of the metric, the shard, and whether they lie at an edge. Its fingerprint is the same from one comparison to the
//! next, so that a person can say once that it is known.

use std::fmt;

use serde::{Deserialize, Serialize};
use skein_shared::format::points_csv::value_text;
use xxhash_rust::xxh3::xxh3_64;

/// How two sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both have the row, with other values.
    DifferentValue,
    /// Both have the series, with other metadata.
    DifferentMetadata,
    /// The right side alone has it.
    MissingLeft,
    /// The left side alone has it.
    MissingRight,
    /// A side has it more than once.
    Duplicate,
    /// A side has it that does not write its time.
    WrongOwner,
    /// A side has it outside of the times of its file.
    OutOfWindow,
    /// It does not read back on one side.
    Undecodable,
}

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hand {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// What a difference lies near to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Near {
    /// A minute or less from where writers change.
    TimelineEdge,
    /// A minute or less from where a window begins or ends.
    WindowEdge,
    /// To none of these.
    Nothing,
}

/// What differences of one class have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// How they differ.
    pub kind: Kind,
    /// Which side is to blame, where one is.
    pub side: Option<Hand>,
    /// How their values differ, in words.
    pub how: String,
    /// The type that the series' metadata names.
    pub metric_type: String,
    /// Which shard holds them.
    pub shard: String,
    /// What they lie near to.
    pub near: Near,
}

/// One difference: a line of `differences.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Fingerprint of its class.
    pub class: String,
    /// What it has in common with others.
    #[serde(flatten)]
    pub of: Class,
    /// Whose series.
    pub org: u64,
    /// Which series.
    pub metric: u64,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub series: String,
    /// Number of the window.
    pub window: i64,
    /// When, in milliseconds since the epoch; absent of a whole series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
    /// What the left side has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// What the right side has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// The object, and what is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What makes two lines the same difference; in the order in which they are written.
pub type Identity = (u64, Option<i64>, Kind, Option<Hand>);

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::DifferentValue,
        Self::DifferentMetadata,
        Self::MissingLeft,
        Self::MissingRight,
        Self::Duplicate,
        Self::WrongOwner,
        Self::OutOfWindow,
        Self::Undecodable,
    ];

    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DifferentValue => "different value",
            Self::DifferentMetadata => "different metadata",
            Self::MissingLeft => "missing left",
            Self::MissingRight => "missing right",
            Self::Duplicate => "duplicate",
            Self::WrongOwner => "wrong owner",
            Self::OutOfWindow => "out of window",
            Self::Undecodable => "undecodable",
        }
    }

    /// Whether it is wrong whatever the other side has read.
    pub const fn stands_alone(self) -> bool {
        match self {
            Self::Duplicate | Self::WrongOwner | Self::OutOfWindow | Self::Undecodable => true,
            Self::DifferentValue
            | Self::DifferentMetadata
            | Self::MissingLeft
            | Self::MissingRight => false,
        }
    }

    /// What to look at first.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::DifferentValue => {
                "one pipeline wrote other bits: look at the samples with `skein explain`, and at how duplicates are decided"
            }
            Self::DifferentMetadata => {
                "one side knows another name, type or tag: see which record said it last"
            }
            Self::MissingLeft => {
                "the right side alone has these points: is the left one behind, or did it drop a partition or a file?"
            }
            Self::MissingRight => {
                "the left side alone has these points: is the right one behind, or did it lose records? `skein verify` tells"
            }
            Self::Duplicate => {
                "the same record's point lies there twice: a flush or a file was written again"
            }
            Self::WrongOwner => {
                "a side wrote event times that it does not own: a node runs an old timeline; `skein migrate explain` shows it"
            }
            Self::OutOfWindow => "a file holds points of another window: rebuild that window",
            Self::Undecodable => {
                "an object is damaged or gone: `skein verify` locates it, then rebuild the window from state"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Hand {
    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

impl Near {
    /// The name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimelineEdge => "timeline edge",
            Self::WindowEdge => "window edge",
            Self::Nothing => "nothing",
        }
    }
}

impl Class {
    /// 16 hex digits that stay the same from one comparison to the next.
    pub fn fingerprint(&self) -> String {
        let side = self.side.map_or("", Hand::name);
        let text = format!(
            "{}|{side}|{}|{}|{}|{}",
            self.kind.name(),
            self.how,
            self.metric_type,
            self.shard,
            self.near.name()
        );
        format!("{:016x}", xxh3_64(text.as_bytes()))
    }
}

impl Difference {
    /// What makes it the same as one of another round.
    pub fn identity(&self) -> Identity {
        (self.metric, self.at_ms, self.of.kind, self.of.side)
    }
}

/// How two values of a point differ, in words that name a class.
pub fn how_values_differ(left: f64, right: f64) -> &'static str {
    let bits = (left.to_bits() ^ right.to_bits()).count_ones();
    if left.is_nan() && right.is_nan() {
        "payload of a NaN"
    } else if left.is_nan() || right.is_nan() {
        "a NaN and a number"
    } else if left.to_bits() << 1 == 0 && right.to_bits() << 1 == 0 {
        "sign of zero"
    } else if bits == 1 {
        "one bit"
    } else {
        "another number"
    }
}

/// A row's cells as a report shows them: shortest text and, of a point, its bits.
pub fn cells_text(cells: &[f64]) -> String {
    match cells {
        [value] => format!("{} ({:#018x})", value_text(*value), value.to_bits()),
        cells => {
            let texts: Vec<String> = cells.iter().map(|cell| value_text(*cell)).collect();
            texts.join(" ")
        }
    }
}
