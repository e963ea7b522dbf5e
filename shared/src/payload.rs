//! Bytes to points, with reasons for refusal.
//!
//! The format is `proto/skein/v1/payload.proto`. The connector asks only [`org_of`]; the compactor parses
//! a [`PayloadView`] and appends its points to columns of its own; a producer encodes a [`Payload`].
//! Decoding copies nothing but the points and keeps every bit of a value.

pub mod refusal;
pub mod limits;
pub mod encode;
mod wire;
mod times;
mod fields;
pub mod native;

#[cfg(test)]
mod proto_check;

use crate::ids::OrgId;
use crate::payload::wire::{Cursor, Value};

pub use encode::Payload;
pub use limits::Limits;
pub use native::{PayloadPoints, PayloadView};
pub use refusal::Refusal;
pub use times::TimeRange;

/// Name of the Kafka record header that holds the org as ASCII decimal.
pub const ORG_HEADER: &str = "skein-org";

/// Name of the one header, without a value, that a record has in place of headers that could not be read.
pub const UNREADABLE_HEADERS: &str = "skein-headers-unreadable";

/// Reads whose record this is without decoding the rest: from the header [`ORG_HEADER`] where there is
/// one, else from the payload's first field.
///
/// # Errors
/// [`Refusal`] where neither names an org.
#[inline]
pub fn org_of(value: Option<&[u8]>, header: Option<&[u8]>) -> Result<OrgId, Refusal> {
    if let Some(header) = header {
        return org_in_header(header);
    }
    let mut cursor = Cursor::new(value.ok_or(Refusal::NoValue)?);
    match cursor.next_field() {
        Ok(Some((1, Value::Varint(org)))) => Ok(OrgId(org)),
        Ok(_) | Err(_) => Err(Refusal::OrgMissing),
    }
}

/// Reads the org in the header [`ORG_HEADER`].
///
/// # Errors
/// [`Refusal::OrgHeader`] where it is not ASCII decimal of 64 bits.
#[inline]
pub fn org_in_header(header: &[u8]) -> Result<OrgId, Refusal> {
    if header.is_empty() {
        return Err(Refusal::OrgHeader);
    }
    header
        .iter()
        .try_fold(0_u64, |org, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            org.checked_mul(10)?.checked_add(u64::from(digit))
        })
        .map(OrgId)
        .ok_or(Refusal::OrgHeader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MetricId;
    use crate::window::TimestampMs;

    fn payload() -> Vec<u8> {
        let mut bytes = Vec::new();
        Payload {
            org: OrgId(300),
            metric: MetricId(u64::MAX),
            timestamps: vec![TimestampMs(1_700_000_000_000)],
            values: vec![1.5],
            metadata: Vec::new(),
        }
        .encode(&mut bytes);
        bytes
    }

    #[test]
    fn the_header_names_the_org_where_there_is_one() {
        let bytes = payload();
        assert_eq!(org_of(Some(&bytes), None), Ok(OrgId(300)));
        assert_eq!(org_of(Some(&bytes), Some(b"17")), Ok(OrgId(17)));
        assert_eq!(org_of(None, Some(b"0")), Ok(OrgId(0)));
        let largest = u64::MAX.to_string();
        assert_eq!(org_of(None, Some(largest.as_bytes())), Ok(OrgId(u64::MAX)));
    }

    #[test]
    fn an_org_that_cannot_be_read_is_refused_with_its_reason() {
        for header in ["", " 1", "-1", "1a", "18446744073709551616"] {
            assert_eq!(
                org_of(Some(&payload()), Some(header.as_bytes())),
                Err(Refusal::OrgHeader),
                "{header}"
            );
        }
        assert_eq!(org_of(None, None), Err(Refusal::NoValue));
        for value in [
            &b""[..],
            b"\x08",
            b"\x10\x01",
            b"\x08\xff",
            b"\x0a\x00",
            b"{",
        ] {
            assert_eq!(
                org_of(Some(value), None),
                Err(Refusal::OrgMissing),
                "{value:?}"
            );
        }
    }
}
