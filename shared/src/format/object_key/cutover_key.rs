//! Keys of what cutovers and comparisons leave.

use std::fmt;

use crate::cutover::{ComparisonName, NodeRole};
use crate::format::object_key::{ObjectKey, Prefix};
use crate::ids::{OrgId, WorkerId};

/// Key of an object of a cutover or a comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CutoverKey {
    /// `cutover/<org, 20 digits>/<2^64 - 1 - version, 20 digits>`, so that the newest is listed first.
    Version {
        /// Whose.
        org: OrgId,
        /// Which.
        version: u64,
    },
    /// `cutover-seals/<org, 20 digits>/<version, 20 digits>`
    Seal {
        /// Whose.
        org: OrgId,
        /// The version that was to name it first.
        version: u64,
    },
    /// `fleet/<2^64 - 1 - number, 20 digits>`, so that the newest is listed first.
    Fleet(u64),
    /// `acknowledgements/<role>-<node, 32 hex digits>`
    Ack {
        /// What the node does.
        role: NodeRole,
        /// Which it is.
        node: WorkerId,
    },
    /// `diffs/<org, 20 digits>/<comparison>/verdict`
    DiffVerdict {
        /// Whose points.
        org: OrgId,
        /// Which comparison.
        comparison: ComparisonName,
    },
}

impl fmt::Display for CutoverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { org, version } => {
                write!(f, "{}{:020}", Prefix::cutover(*org), u64::MAX - version)
            }
            Self::Seal { org, version } => {
                write!(f, "{}{:020}/{version:020}", Prefix::CUTOVER_SEALS, org.0)
            }
            Self::Fleet(number) => write!(f, "{}{:020}", Prefix::FLEETS, u64::MAX - number),
            Self::Ack { role, node } => {
                write!(f, "{}{}-{node}", Prefix::ACKNOWLEDGEMENTS, role.name())
            }
            Self::DiffVerdict { org, comparison } => {
                write!(f, "{}{comparison}/verdict", Prefix::diffs(*org))
            }
        }
    }
}

impl CutoverKey {
    /// The key with these parts between its slashes.
    pub(super) fn parse(parts: &[&str]) -> Option<Self> {
        let org = |text: &str| text.parse().ok().map(OrgId);
        let number = |text: &str| text.parse::<u64>().ok();
        match parts {
            ["cutover", whose, version] => Some(Self::Version {
                org: org(whose)?,
                version: u64::MAX - number(version)?,
            }),
            ["cutover-seals", whose, version] => Some(Self::Seal {
                org: org(whose)?,
                version: number(version)?,
            }),
            ["fleet", which] => Some(Self::Fleet(u64::MAX - number(which)?)),
            ["acknowledgements", name] => {
                let (role, node) = name.split_once('-')?;
                Some(Self::Ack {
                    role: role.parse().ok()?,
                    node: node.parse().ok()?,
                })
            }
            ["diffs", whose, comparison, "verdict"] => Some(Self::DiffVerdict {
                org: org(whose)?,
                comparison: ComparisonName::new(*comparison).ok()?,
            }),
            _ => None,
        }
    }
}

impl From<CutoverKey> for ObjectKey {
    fn from(key: CutoverKey) -> Self {
        Self::Cutover(key)
    }
}
