//! Finding the blocks of any byte range of an object without its footer.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::block::{PREFIX_BYTES, SYNC_BYTES, SyncMarker, block_length};
use crate::format::envelope;
use crate::format::state_object::HEAD_BYTES;

/// Finds the blocks that *begin* inside a byte range: for any split of an object into ranges, every block
/// belongs to exactly one of them.
///
/// The caller holds the object's bytes from [`BlockScan::at`] on and follows what [`BlockScan::step`]
/// says. Behind the range's last block the scan looks for the next marker or the footer, so that a
/// damaged marker is seen by the range before it.
#[derive(Debug, Clone)]
pub struct BlockScan {
    marker: SyncMarker,
    owned: Range<u64>,
    object_bytes: u64,
    at: u64,
    on_a_boundary: bool,
}

/// What the caller has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// The next so many bytes are a block: decode them, drop them, and step again.
    Block(usize),
    /// The next so many bytes are not for this range: drop them and step again.
    Skip(usize),
    /// Have at least so many bytes and step again.
    More(usize),
    /// The range has no further block.
    Done,
}

impl BlockScan {
    /// A scan of the bytes `owned` of an object of `object_bytes` whose head has this marker.
    pub fn new(marker: SyncMarker, owned: Range<u64>, object_bytes: u64) -> Self {
        let starts_at_head = owned.start <= HEAD_BYTES as u64 && !owned.is_empty();
        Self {
            marker,
            at: if starts_at_head {
                HEAD_BYTES as u64
            } else {
                owned.start
            },
            owned,
            object_bytes,
            on_a_boundary: starts_at_head,
        }
    }

    /// Where in the object the caller's bytes have to begin.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Looks at `bytes`, the object's from [`Self::at`] on.
    ///
    /// # Errors
    /// `Corrupt` when neither a block nor the footer follows a block, or a block leaves the object.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Scanned> {
        if self.on_a_boundary {
            self.step_on_a_boundary(bytes)
        } else {
            Ok(self.search(bytes))
        }
    }

    fn step_on_a_boundary(&mut self, bytes: &[u8]) -> Result<Scanned> {
        let left = self.object_bytes.saturating_sub(self.at);
        if left < SYNC_BYTES as u64 {
            return Err(self.broken("the object ends where a block or the footer should begin"));
        }
        if bytes.len() < SYNC_BYTES {
            return Ok(Scanned::More(SYNC_BYTES));
        }
        if bytes[..SYNC_BYTES] != self.marker.0 {
            if bytes[..envelope::MAGIC.len()] == envelope::MAGIC {
                return Ok(Scanned::Done);
            }
            return Err(self.broken("neither a block nor the footer begins here"));
        }
        if self.at >= self.owned.end {
            return Ok(Scanned::Done);
        }
        if left < PREFIX_BYTES as u64 {
            return Err(self.broken("the object ends inside a block"));
        }
        if bytes.len() < PREFIX_BYTES {
            return Ok(Scanned::More(PREFIX_BYTES));
        }
        let length = block_length(&self.marker, bytes)?;
        if length > left {
            return Err(self.broken("the object ends inside a block"));
        }
        let length = usize::try_from(length).map_err(|_| self.broken("block is too long"))?;
        if bytes.len() < length {
            return Ok(Scanned::More(length));
        }
        self.at += length as u64;
        Ok(Scanned::Block(length))
    }

    /// Looks for the first marker that begins inside the range.
    fn search(&mut self, bytes: &[u8]) -> Scanned {
        let left = self.owned.end.saturating_sub(self.at);
        // A marker that begins at the range's last byte reaches this far beyond it.
        let reach = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .saturating_add(SYNC_BYTES - 1);
        let reach = reach.min(bytes.len());
        let found = bytes[..reach]
            .windows(SYNC_BYTES)
            .position(|window| window == self.marker.0);
        if let Some(skip) = found {
            self.at += skip as u64;
            self.on_a_boundary = true;
            return Scanned::Skip(skip);
        }
        let seen_all = reach < bytes.len() || self.at + bytes.len() as u64 >= self.object_bytes;
        let none_fits = self.object_bytes.saturating_sub(self.at) < SYNC_BYTES as u64;
        if left == 0 || seen_all || none_fits {
            return Scanned::Done;
        }
        if bytes.len() < SYNC_BYTES {
            return Scanned::More(SYNC_BYTES);
        }
        let skip =
            (bytes.len() - (SYNC_BYTES - 1)).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.at += skip as u64;
        Scanned::Skip(skip)
    }

    fn broken(&self, reason: &str) -> Error {
        Error::decode("state object", self.at, reason)
    }
}
