//! Reads one run front to back.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::SpillPlace;
use super::entry::{HEAD_BYTES, Head};
use crate::error::Result;
use crate::payload_arena::{PayloadArena, PayloadKey};

/// Least memory for one run.
const LEAST_BUFFER: usize = 16 << 10;

/// Most memory for one run: more reads no faster.
const MOST_BUFFER: usize = 1 << 20;

/// The payloads of one run, one after the other.
#[derive(Debug)]
pub struct RunReader {
    place: SpillPlace,
    file: Arc<File>,
    /// What has not been read into the buffer.
    unread: Range<u64>,
    buffer: Vec<u8>,
    /// What of the buffer has been taken.
    taken: usize,
    capacity: usize,
    head: Option<Head>,
}

impl RunReader {
    pub(super) fn new(place: SpillPlace, file: Arc<File>, run: Range<u64>, memory: usize) -> Self {
        Self {
            place,
            file,
            unread: run,
            buffer: Vec::new(),
            taken: 0,
            capacity: memory.clamp(LEAST_BUFFER, MOST_BUFFER),
            head: None,
        }
    }

    /// The key of the next payload; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill).
    pub fn peek(&mut self) -> Result<Option<PayloadKey>> {
        if self.head.is_none() && self.left() > 0 {
            let mut head = [0; HEAD_BYTES];
            self.read(&mut head)?;
            self.head = Some(Head::decode(&head));
        }
        Ok(self.head.map(|head| head.key))
    }

    /// Bytes of the payload that the last [`RunReader::peek`] has named.
    pub fn peeked_bytes(&self) -> usize {
        self.head.map_or(0, |head| head.payload_bytes)
    }

    /// Moves the next payload into `arena`, by way of `payload`.
    ///
    /// # Errors
    /// [`Error::Spill`](crate::Error::Spill), also when the disk does not give back what was written.
    pub fn take_into(&mut self, payload: &mut Vec<u8>, arena: &mut PayloadArena) -> Result<()> {
        self.peek()?;
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        if head.payload_bytes as u64 > self.left() {
            return Err(self.place.damaged());
        }
        payload.resize(head.payload_bytes, 0);
        self.read(payload)?;
        if !head.is_whole(payload) {
            return Err(self.place.damaged());
        }
        arena.push_sorted(head.key, payload);
        Ok(())
    }

    fn left(&self) -> u64 {
        (self.buffer.len() - self.taken) as u64 + (self.unread.end - self.unread.start)
    }

    fn read(&mut self, mut out: &mut [u8]) -> Result<()> {
        while !out.is_empty() {
            if self.taken == self.buffer.len() {
                self.refill()?;
            }
            let buffered = &self.buffer[self.taken..];
            let count = buffered.len().min(out.len());
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(&buffered[..count]);
            self.taken += count;
            out = later;
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<()> {
        let left = self.unread.end - self.unread.start;
        let count = usize::try_from(left).map_or(self.capacity, |left| left.min(self.capacity));
        if count == 0 {
            return Err(self.place.damaged());
        }
        self.buffer.resize(count, 0);
        let read = self.file.read_exact_at(&mut self.buffer, self.unread.start);
        read.map_err(|error| self.place.failed("read", error))?;
        self.unread.start += count as u64;
        self.taken = 0;
        Ok(())
    }
}
