//! The bytes of a segment on their way out, and their checksums.

use std::fmt;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3Default;

use crate::format::checksum;

/// What is written and not yet taken, and the length and CRC32C of all that was written.
#[derive(Debug, Default)]
pub(super) struct WrittenBytes {
    pending: Vec<u8>,
    len: u64,
    crc32c: u32,
}

impl WrittenBytes {
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let length = bytes.len() as u64;
        self.crc32c = if self.len == 0 {
            checksum::crc32c(bytes)
        } else {
            checksum::combine(self.crc32c, checksum::crc32c(bytes), length)
        };
        self.pending.extend_from_slice(bytes);
        self.len += length;
    }

    /// What is not taken, once there are `at_least` bytes of it.
    pub(super) fn take(&mut self, at_least: usize) -> Option<Bytes> {
        let enough = !self.pending.is_empty() && self.pending.len() >= at_least;
        enough.then(|| std::mem::take(&mut self.pending).into())
    }

    /// What was never taken.
    pub(super) fn rest(self) -> Bytes {
        self.pending.into()
    }

    /// How many bytes were written, taken or not.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// CRC32C of all of them.
    pub(super) fn crc32c(&self) -> u32 {
        self.crc32c
    }
}

/// xxh3-64 of a section that is written bit by bit.
#[derive(Default)]
pub(super) struct SectionHash(Box<Xxh3Default>);

impl SectionHash {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn digest(&self) -> u64 {
        self.0.digest()
    }
}

impl fmt::Debug for SectionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SectionHash({:016x})", self.digest())
    }
}
