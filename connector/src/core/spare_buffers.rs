//! Emptied buffers of blocks, for the blocks to come: fresh memory costs more than what is copied into it.

use skein_shared::format::block::BlockBuffer;

/// Enough for a block that fills while others are compressed; more would only lie there.
const MOST: usize = 4;

/// The buffers.
#[derive(Debug, Default)]
pub(super) struct SpareBuffers(Vec<Vec<u8>>);

impl SpareBuffers {
    /// Keeps the buffer of a block that is compressed, if there are few.
    pub(super) fn keep(&mut self, emptied: Vec<u8>) {
        if self.0.len() < MOST && emptied.capacity() > 0 {
            self.0.push(emptied);
        }
    }

    /// A block with room for `full_bytes` and most of the records that may make it full, in a spare buffer if there
    /// is one of about that size.
    pub(super) fn block(&mut self, full_bytes: u64) -> BlockBuffer {
        let room = usize::try_from(full_bytes + full_bytes / 16);
        let room = room.expect("a block is smaller than memory");
        // Sizes change with the number of open objects: what no longer fits goes.
        while let Some(emptied) = self.0.pop() {
            if (room / 2..=room * 2).contains(&emptied.capacity()) {
                return BlockBuffer::reusing(emptied, room);
            }
        }
        BlockBuffer::with_capacity(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_buffers_are_kept_and_only_those_of_about_the_size_are_used_again() {
        let mut spares = SpareBuffers::default();
        spares.keep(Vec::new());
        assert_eq!(spares.block(1000).memory_bytes(), 0);
        spares.keep(Vec::with_capacity(100));
        spares.keep(Vec::with_capacity(1000));
        assert!(spares.block(1000).memory_bytes() >= 1000);
        assert_eq!(spares.block(1000).memory_bytes(), 0, "too small");
        for _ in 0..2 * MOST {
            spares.keep(Vec::with_capacity(1000));
        }
        assert_eq!(spares.0.len(), MOST);
    }
}
