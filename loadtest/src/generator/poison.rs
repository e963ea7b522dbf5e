//! Records that have to end in quarantine, one kind for each way to get there.

use skein_shared::ids::{MetricId, OrgId};
use skein_shared::payload::{Payload, Refusal};
use skein_shared::window::TimestampMs;

use crate::generator::FIRST_ORG;
use crate::generator::outgoing::OutgoingRecord;

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poison {
    /// Its org is known, its bytes are no payload.
    NotAPayload,
    /// Neither header nor payload names an org.
    NoOrg,
    /// Header and payload name two orgs.
    TwoOrgs,
    /// It lies years beyond its record's timestamp.
    FromTheFuture,
}

impl Poison {
    /// The `number`-th poison record's kind; they take turns.
    pub(super) const fn of(number: u32) -> Self {
        match number % 4 {
            0 => Self::NotAPayload,
            1 => Self::NoOrg,
            2 => Self::TwoOrgs,
            _ => Self::FromTheFuture,
        }
    }

    /// Name of the reason with which it has to be kept.
    pub(super) fn reason(self) -> &'static str {
        let zero = TimestampMs(0);
        match self {
            Self::NotAPayload => Refusal::Malformed { at: 0, reason: "" },
            Self::NoOrg => Refusal::OrgMissing,
            Self::TwoOrgs => Refusal::OrgMismatch {
                first: OrgId(0),
                second: OrgId(0),
            },
            Self::FromTheFuture => Refusal::TooNew {
                timestamp: zero,
                record: zero,
            },
        }
        .name()
    }

    pub(super) fn write(self, number: u32, time: TimestampMs, out: &mut OutgoingRecord) {
        let ahead_ms = match self {
            Self::FromTheFuture => 100 * 365 * 86_400_000,
            Self::NotAPayload | Self::NoOrg | Self::TwoOrgs => 0,
        };
        let payload = Payload {
            org: OrgId(FIRST_ORG),
            metric: MetricId(u64::from(number)),
            timestamps: vec![TimestampMs(time.0 + ahead_ms)],
            values: vec![1.0],
            metadata: Vec::new(),
        };
        out.clear();
        out.timestamp = time;
        out.key[8..].copy_from_slice(&u64::from(number).to_be_bytes());
        out.org_header = Some(FIRST_ORG.to_string());
        match self {
            Self::NotAPayload => out.value.extend_from_slice(b"\x08\xe8\x07 not a payload"),
            Self::NoOrg => {
                out.value.extend_from_slice(b"{\"org\": \"unknown\"}");
                out.org_header = None;
            }
            Self::TwoOrgs => {
                payload.encode(&mut out.value);
                out.org_header = Some((FIRST_ORG + 1).to_string());
            }
            Self::FromTheFuture => payload.encode(&mut out.value),
        }
    }
}
