//! What a comparison of two outputs found, in short: the objects at `diffs/<org>/<comparison>`.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use prost::Message;

use crate::cutover::ComparisonName;
use crate::error::{Error, Result};
use crate::format::cutover_version::wide;
use crate::format::envelope::{self, HEADER_BYTES, Kind};
use crate::format::wire::Reading;
use crate::ids::{OrgId, WriteId};
use crate::window::{TimeSpan, TimestampMs};

/// The outcome of one comparison of one org. Gates read it; the report beside it has the differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffVerdict {
    /// Whose points.
    pub org: OrgId,
    /// Which comparison.
    pub comparison: ComparisonName,
    /// What was compared with what.
    pub sides: DiffSides,
    /// Of which event times.
    pub span: TimeSpan,
    /// The outcome.
    pub verdict: Verdict,
    /// Why it is not a plain pass, in words.
    pub reasons: Vec<String>,
    /// The number of the org's cutover version that the reads were made by; 0 when it has none.
    pub cutover_version: u64,
    /// The number of the fleet.
    pub fleet: u64,
    /// The build that compared.
    pub build: String,
    /// Windows that were compared, and those that there were.
    pub windows: (u64, u64),
    /// What was counted.
    pub counts: DiffCounts,
    /// Classes of difference that were never seen before and nobody ignores.
    pub new_classes: u64,
    /// xxh3-128 of the report, the JSON document.
    pub report_digest: u128,
    /// When it ended, by the bucket's clock.
    pub at: TimestampMs,
}

/// What a comparison compared, left with right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiffSides {
    /// The old pipeline with the new one.
    OldNew,
    /// The old pipeline with itself: what differences there are for no reason.
    OldOld,
    /// The new pipeline with what another build of it made.
    NewNew,
}

/// The outcome of a comparison. No data never passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The input was proven equal, enough was compared, and nothing new differs.
    Pass,
    /// The same, and a person has declared that the input was equal.
    PassDeclared,
    /// Something differs.
    Fail,
    /// It cannot be said.
    Inconclusive,
}

/// Points of a comparison, each in one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffCounts {
    /// Both sides have the same.
    pub equal: u64,
    /// The same within the tolerance.
    pub within_tolerance: u64,
    /// Both have the point, with other values.
    pub different_value: u64,
    /// Both have the series, with other metadata; counted by series.
    pub different_metadata: u64,
    /// The right side alone has it.
    pub missing_left: u64,
    /// The left side alone has it.
    pub missing_right: u64,
    /// A side has it more than once.
    pub duplicates: u64,
    /// A side has it that does not write its time.
    pub wrong_owner: u64,
    /// A side has it outside of the times of the file that holds it.
    pub out_of_window: u64,
    /// What a side has there does not read back.
    pub undecodable: u64,
    /// Somebody said that such a difference does not count.
    pub ignored: u64,
    /// It differed, and no longer did when it was looked at again.
    pub resolved: u64,
    /// A record that only one side has read yet may have touched it: set aside.
    pub set_aside: u64,
}

impl DiffSides {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OldNew, Self::OldOld, Self::NewNew];

    /// The name that commands and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OldNew => "old-new",
            Self::OldOld => "old-old",
            Self::NewNew => "new-new",
        }
    }
}

impl FromStr for DiffSides {
    type Err = String;

    fn from_str(text: &str) -> Reading<Self> {
        let named = Self::ALL.into_iter().find(|sides| sides.name() == text);
        named.ok_or_else(|| format!("`{text}` is no pair of sides"))
    }
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Pass,
        Self::PassDeclared,
        Self::Fail,
        Self::Inconclusive,
    ];

    /// The name that commands and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PassDeclared => "pass (declared input)",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// Whether a gate may rest on it.
    pub const fn passes(self) -> bool {
        match self {
            Self::Pass | Self::PassDeclared => true,
            Self::Fail | Self::Inconclusive => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Reading<Self> {
        let named = Self::ALL.into_iter().find(|verdict| verdict.name() == text);
        named.ok_or_else(|| format!("`{text}` is no verdict"))
    }
}

impl DiffCounts {
    /// Points and series that differ and that nobody has explained.
    pub fn differences(&self) -> u64 {
        self.different_value
            + self.different_metadata
            + self.missing_left
            + self.missing_right
            + self.duplicates
            + self.wrong_owner
            + self.out_of_window
            + self.undecodable
    }

    fn all(&self) -> [u64; 13] {
        [
            self.equal,
            self.within_tolerance,
            self.different_value,
            self.different_metadata,
            self.missing_left,
            self.missing_right,
            self.duplicates,
            self.wrong_owner,
            self.out_of_window,
            self.undecodable,
            self.ignored,
            self.resolved,
            self.set_aside,
        ]
    }

    fn of(counts: &[u64]) -> Reading<Self> {
        let counts: [u64; 13] = counts.try_into().map_err(|_| "it has not 13 counts")?;
        let [
            equal,
            within_tolerance,
            different_value,
            different_metadata,
            rest @ ..,
        ] = counts;
        let [
            missing_left,
            missing_right,
            duplicates,
            wrong_owner,
            out_of_window,
            rest @ ..,
        ] = rest;
        let [undecodable, ignored, resolved, set_aside] = rest;
        Ok(Self {
            equal,
            within_tolerance,
            different_value,
            different_metadata,
            missing_left,
            missing_right,
            duplicates,
            wrong_owner,
            out_of_window,
            undecodable,
            ignored,
            resolved,
            set_aside,
        })
    }
}

impl DiffVerdict {
    /// The object's bytes.
    pub fn encode(&self, write_id: WriteId) -> Bytes {
        let bound = |at: TimestampMs, none: TimestampMs| (at != none).then_some(at.0);
        let message = VerdictMessage {
            org: self.org.0,
            comparison: self.comparison.to_string(),
            sides: self.sides.name().to_owned(),
            from_ms: bound(self.span.from, TimeSpan::ALL.from),
            to_ms: bound(self.span.to, TimeSpan::ALL.to),
            verdict: self.verdict.name().to_owned(),
            reasons: self.reasons.clone(),
            cutover_version: self.cutover_version,
            fleet: self.fleet,
            build: self.build.clone(),
            windows_compared: self.windows.0,
            windows: self.windows.1,
            counts: self.counts.all().to_vec(),
            new_classes: self.new_classes,
            report_digest: self.report_digest.to_be_bytes().to_vec(),
            at_ms: self.at.0,
        };
        envelope::seal(Kind::DiffVerdict, write_id, &message)
    }

    /// Reads [`DiffVerdict::encode`] back.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (id, message) = envelope::open::<VerdictMessage>(Kind::DiffVerdict, bytes)?;
        let refuse = |reason| Error::decode(Kind::DiffVerdict.name(), HEADER_BYTES as u64, reason);
        Ok((id, message.read().map_err(refuse)?))
    }
}

#[derive(Clone, PartialEq, Message)]
struct VerdictMessage {
    #[prost(uint64, tag = "1")]
    org: u64,
    #[prost(string, tag = "2")]
    comparison: String,
    #[prost(string, tag = "3")]
    sides: String,
    #[prost(sint64, optional, tag = "4")]
    from_ms: Option<i64>,
    #[prost(sint64, optional, tag = "5")]
    to_ms: Option<i64>,
    #[prost(string, tag = "6")]
    verdict: String,
    #[prost(string, repeated, tag = "7")]
    reasons: Vec<String>,
    #[prost(uint64, tag = "8")]
    cutover_version: u64,
    #[prost(uint64, tag = "9")]
    fleet: u64,
    #[prost(string, tag = "10")]
    build: String,
    #[prost(uint64, tag = "11")]
    windows_compared: u64,
    #[prost(uint64, tag = "12")]
    windows: u64,
    /// In the order of the fields of [`DiffCounts`].
    #[prost(uint64, repeated, tag = "13")]
    counts: Vec<u64>,
    #[prost(uint64, tag = "14")]
    new_classes: u64,
    #[prost(bytes = "vec", tag = "15")]
    report_digest: Vec<u8>,
    #[prost(sint64, tag = "16")]
    at_ms: i64,
}

impl VerdictMessage {
    fn read(self) -> Reading<DiffVerdict> {
        let span = TimeSpan {
            from: self.from_ms.map_or(TimeSpan::ALL.from, TimestampMs),
            to: self.to_ms.map_or(TimeSpan::ALL.to, TimestampMs),
        };
        Ok(DiffVerdict {
            org: OrgId(self.org),
            comparison: ComparisonName::new(self.comparison)?,
            sides: self.sides.parse()?,
            span,
            verdict: self.verdict.parse()?,
            reasons: self.reasons,
            cutover_version: self.cutover_version,
            fleet: self.fleet,
            build: self.build,
            windows: (self.windows_compared, self.windows),
            counts: DiffCounts::of(&self.counts)?,
            new_classes: self.new_classes,
            report_digest: wide(self.report_digest)?,
            at: TimestampMs(self.at_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_verdict_reads_back_and_damage_is_refused(
            (org, at, digest) in (any::<u64>(), any::<i64>(), any::<u128>()),
            (name, build, reasons) in ("[a-z0-9-]{1,9}", ".{0,9}", prop::collection::vec(".{0,9}", 0..3)),
            (sides, verdict) in (0_usize..3, 0_usize..4),
            counts in prop::array::uniform13(any::<u32>()),
            flip in 1_u8..,
            place: prop::sample::Index,
        ) {
            let counts = counts.map(u64::from);
            let verdict = DiffVerdict {
                org: OrgId(org),
                comparison: ComparisonName::new(name).unwrap(),
                sides: DiffSides::ALL[sides],
                span: TimeSpan { from: TimestampMs(at), to: TimeSpan::ALL.to },
                verdict: Verdict::ALL[verdict],
                reasons,
                cutover_version: counts[0],
                fleet: counts[1],
                build,
                windows: (counts[2], counts[3]),
                counts: DiffCounts::of(&counts).unwrap(),
                new_classes: counts[4],
                report_digest: digest,
                at: TimestampMs(at),
            };
            prop_assert_eq!(verdict.counts.all(), counts);
            let id = WriteId::random();
            let mut bytes = verdict.encode(id).to_vec();
            prop_assert_eq!(DiffVerdict::decode(&bytes).unwrap(), (id, verdict));
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert!(DiffVerdict::decode(&bytes).is_err());
        }
    }
}
