//! What the fields of a payload hold, before they are checked against one another.

use std::borrow::Cow;
use std::ops::Range;

use crate::ids::{MetricId, OrgId};
use crate::payload::refusal::Refusal;
use crate::payload::times::{Regular, Times};
use crate::payload::wire::{self, Cursor, Value};

/// The fields of a payload.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) org: Option<OrgId>,
    pub(super) metric: Option<MetricId>,
    deltas: Option<Cow<'a, [u8]>>,
    regular: Option<Regular>,
    /// Little-endian doubles.
    pub(super) values: Cow<'a, [u8]>,
    /// The metadata's fields, tags included.
    pub(super) metadata: Cow<'a, [u8]>,
    pub(super) metadata_entries: usize,
    /// Of keys and values alone.
    pub(super) metadata_bytes: usize,
    /// Where the last metadata field ended.
    metadata_end: usize,
}

impl<'a> Fields<'a> {
    /// Reads all fields. Unknown ones are skipped; they may come in any order, and lists also unpacked.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::OrgMismatch`].
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Refusal> {
        if let Some(fields) = Self::read_usual(payload) {
            return Ok(fields);
        }
        Self::read_any(payload)
    }

    /// The timestamps, of one of the two forms.
    ///
    /// # Errors
    /// [`Refusal::TimesTwice`].
    pub(super) fn times(&mut self) -> Result<Times<'a>, Refusal> {
        match (self.regular, self.deltas.take()) {
            (Some(_), Some(_)) => Err(Refusal::TimesTwice),
            (Some(regular), None) => Ok(Times::Regular(regular)),
            (None, deltas) => Ok(Times::Deltas(deltas.unwrap_or_default())),
        }
    }

    /// As [`Fields::read`], straight through a payload whose fields stand once, in order and packed, as encoders write
    /// them; `None` where something is otherwise or wrong.
    pub(super) fn read_usual(payload: &'a [u8]) -> Option<Self> {
        let mut rest = payload;
        let mut fields = Self {
            org: Some(OrgId(number_field(&mut rest, 1)?)),
            metric: Some(MetricId(number_field(&mut rest, 2)?)),
            ..Self::default()
        };
        match rest.first()? {
            0x1a => fields.deltas = Some(Cow::Borrowed(bytes_field(&mut rest, 3)?)),
            _ => fields.regular = Some(usual_regular(bytes_field(&mut rest, 4)?)?),
        }
        fields.values = Cow::Borrowed(bytes_field(&mut rest, 5)?);
        fields.metadata = Cow::Borrowed(rest);
        let is_ascii = rest.is_ascii();
        while !rest.is_empty() {
            let mut entry = bytes_field(&mut rest, 6)?;
            let texts = [bytes_field(&mut entry, 1)?, bytes_field(&mut entry, 2)?];
            let is_text = is_ascii || texts.iter().all(|text| str::from_utf8(text).is_ok());
            if !entry.is_empty() || !is_text {
                return None;
            }
            fields.metadata_entries += 1;
            fields.metadata_bytes += texts[0].len() + texts[1].len();
        }
        Some(fields)
    }

    /// As [`Fields::read`], field by field.
    ///
    /// # Errors
    /// As [`Fields::read`].
    pub(super) fn read_any(payload: &'a [u8]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        let mut cursor = Cursor::new(payload);
        loop {
            let at = cursor.place();
            let Some((field, value)) = cursor.next_field()? else {
                return Ok(fields);
            };
            fields.put(field, value, at)?;
            if field == 6 {
                fields.put_metadata(payload, at..cursor.place());
            }
        }
    }

    fn put(&mut self, field: u32, value: Value<'a>, at: usize) -> Result<(), Refusal> {
        match (field, value) {
            (1, Value::Varint(org)) => self.put_org(OrgId(org))?,
            (2, Value::Varint(metric)) => self.metric = Some(MetricId(metric)),
            (3, Value::Bytes(packed)) => join(self.deltas.get_or_insert_default(), packed),
            (3, Value::Varint(delta)) => put_varint(self.deltas.get_or_insert_default(), delta),
            (4, Value::Bytes(message)) => {
                let merged = self.regular.get_or_insert_default();
                merged.read(Cursor::nested(message, at))?;
            }
            (5, Value::Bytes(packed)) => join(&mut self.values, packed),
            (5, Value::Fixed64(bits)) => self.values.to_mut().extend_from_slice(bits),
            (6, Value::Bytes(bytes)) => {
                let (key, value) = entry(bytes, at)?;
                self.metadata_entries += 1;
                self.metadata_bytes += key.len() + value.len();
            }
            (1..=6, _) => {
                let reason = "a field whose wire type is not its own";
                return Err(Refusal::Malformed { at, reason });
            }
            _ => {}
        }
        Ok(())
    }

    /// Protobuf lets the last of two win, but routing has read the first.
    fn put_org(&mut self, org: OrgId) -> Result<(), Refusal> {
        match self.org {
            Some(first) if first != org => Err(Refusal::OrgMismatch { first, second: org }),
            Some(_) | None => {
                self.org = Some(org);
                Ok(())
            }
        }
    }

    /// Entries side by side, which every encoder writes, are borrowed.
    fn put_metadata(&mut self, payload: &'a [u8], field: Range<usize>) {
        match &mut self.metadata {
            Cow::Borrowed(known) if known.is_empty() => *known = &payload[field.clone()],
            Cow::Borrowed(known) if self.metadata_end == field.start => {
                *known = &payload[field.start - known.len()..field.end];
            }
            known @ (Cow::Borrowed(_) | Cow::Owned(_)) => {
                known.to_mut().extend_from_slice(&payload[field.clone()]);
            }
        }
        self.metadata_end = field.end;
    }
}

/// Key and value of each entry of metadata fields that were read before.
pub(super) fn entries(metadata: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    const CHECKED: &str = "the fields have been read";
    let mut cursor = Cursor::new(metadata);
    std::iter::from_fn(move || {
        let (_, value) = cursor.next_field().expect(CHECKED)?;
        let Value::Bytes(bytes) = value else {
            unreachable!("{CHECKED}");
        };
        Some(entry(bytes, 0).expect(CHECKED))
    })
}

/// Key and value of one metadata entry; an absent one is empty.
fn entry(bytes: &[u8], at: usize) -> Result<(&str, &str), Refusal> {
    let mut cursor = Cursor::nested(bytes, at);
    let (mut key, mut value) = ("", "");
    while let Some((field, content)) = cursor.next_field()? {
        let slot = match field {
            1 => &mut key,
            2 => &mut value,
            _ => continue,
        };
        let Value::Bytes(text) = content else {
            return Err(cursor.fault("a metadata key or value that is not a text"));
        };
        *slot = str::from_utf8(text)
            .map_err(|_| cursor.fault("a metadata key or value that is not UTF-8"))?;
    }
    Ok((key, value))
}

/// The three fields of a regular series, once and in order.
fn usual_regular(mut message: &[u8]) -> Option<Regular> {
    let regular = Regular {
        start_ms: wire::signed(number_field(&mut message, 1)?),
        step_ms: number_field(&mut message, 2)?,
        count: u32::try_from(number_field(&mut message, 3)?).ok()?,
    };
    message.is_empty().then_some(regular)
}

/// Takes a varint field from the front.
#[inline]
fn number_field(rest: &mut &[u8], field: u8) -> Option<u64> {
    let (tag, behind) = rest.split_first()?;
    if *tag != field << 3 {
        return None;
    }
    let (number, len) = wire::varint(behind)?;
    *rest = &behind[len..];
    Some(number)
}

/// Takes a field of bytes from the front.
#[inline]
fn bytes_field<'a>(rest: &mut &'a [u8], field: u8) -> Option<&'a [u8]> {
    let (tag, behind) = rest.split_first()?;
    if *tag != field << 3 | 2 {
        return None;
    }
    let (number, len) = wire::varint(behind)?;
    let (taken, behind) = behind[len..].split_at_checked(usize::try_from(number).ok()?)?;
    *rest = behind;
    Some(taken)
}

/// Appends a chunk of a packed list; one chunk, which every encoder writes, is borrowed.
fn join<'a>(list: &mut Cow<'a, [u8]>, chunk: &'a [u8]) {
    if list.is_empty() {
        *list = Cow::Borrowed(chunk);
    } else {
        list.to_mut().extend_from_slice(chunk);
    }
}

fn put_varint(list: &mut Cow<'_, [u8]>, mut number: u64) {
    let list = list.to_mut();
    while number >= 0x80 {
        list.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    list.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::payload::Payload;
    use crate::window::TimestampMs;

    fn seen<'a>(fields: &'a mut Fields<'_>) -> impl PartialEq + std::fmt::Debug + use<'a> {
        let times = format!("{:?}", fields.times());
        let metadata: Vec<_> = entries(&fields.metadata).collect();
        let counts = (fields.metadata_entries, fields.metadata_bytes);
        (
            fields.org,
            fields.metric,
            times,
            &fields.values,
            metadata,
            counts,
        )
    }

    proptest! {
        /// Of bytes that encoders write, and of what is left of them after some damage.
        #[test]
        fn the_straight_way_reads_what_the_long_way_reads(
            points in prop::collection::vec((-1_i64 << 40..1 << 40, any::<f64>()), 0..5),
            regular: bool,
            metadata in prop::collection::btree_map("\\PC{0,5}", "\\PC{0,150}", 0..3),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let time = |(i, point): (usize, &(i64, f64))| {
                TimestampMs(if regular { 7 * i.cast_signed() as i64 } else { point.0 })
            };
            let payload = Payload {
                org: OrgId(300),
                metric: MetricId(u64::MAX),
                timestamps: points.iter().enumerate().map(time).collect(),
                values: points.iter().map(|(_, value)| *value).collect(),
                metadata: metadata.into_iter().collect(),
            };
            let mut bytes = Vec::new();
            payload.encode(&mut bytes);
            let is_whole = changes.is_empty() && !points.is_empty();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let usual = Fields::read_usual(&bytes);
            prop_assert!(usual.is_some() || !is_whole, "what encoders write goes the straight way");
            if let Some(mut usual) = usual {
                let mut any = Fields::read_any(&bytes).expect("the long way takes more");
                prop_assert_eq!(seen(&mut usual), seen(&mut any));
            }
        }
    }
}
