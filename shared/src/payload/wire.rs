//! The protobuf wire format, read with a place for every fault.

use crate::payload::refusal::Refusal;

/// Reads fields one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin in the payload, for the place of a fault.
    base: usize,
}

/// A field's value as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(&'a [u8; 8]),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self::nested(bytes, 0)
    }

    pub(crate) const fn nested(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Where the cursor stands in the payload.
    pub(crate) const fn place(&self) -> usize {
        self.base + self.at
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(crate) fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Refusal> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3)
            .ok()
            .filter(|f| (1..1 << 29).contains(f));
        let Some(field) = field else {
            return Err(self.fault("a field number outside 1 to 2^29 - 1"));
        };
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.chunk()?),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                self.chunk::<4>()?;
                Value::Fixed32
            }
            _ => return Err(self.fault("a wire type other than 0, 1, 2 and 5")),
        };
        Ok(Some((field, value)))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Refusal> {
        let Some((number, len)) = varint(&self.bytes[self.at..]) else {
            return Err(self.fault("a varint that does not end or exceeds 64 bits"));
        };
        self.at += len;
        Ok(number)
    }

    pub(crate) const fn fault(&self, reason: &'static str) -> Refusal {
        Refusal::Malformed {
            at: self.place(),
            reason,
        }
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Refusal> {
        let Some(chunk) = self.bytes[self.at..].first_chunk() else {
            return Err(self.fault("a number that is cut off"));
        };
        self.at += N;
        Ok(chunk)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Refusal> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let Some(taken) = taken else {
            return Err(self.fault("a length beyond the end"));
        };
        self.at += taken.len();
        Ok(taken)
    }
}

/// Reads a varint at the start of `bytes`: the number and how many bytes it takes.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((u64::from(first), 1));
    }
    long_varint(bytes)
}

#[inline]
fn long_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0_u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        if i == 9 && *byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Some((number, i + 1));
        }
    }
    None
}

/// Undoes zigzag.
#[inline]
pub(crate) const fn signed(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}
