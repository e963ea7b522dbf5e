//! Fetching a state object's footer.

use crate::bucket::Bucket;
use crate::error::Result;
use crate::format::state_object::{StateFooter, TailRead, read_tail};

/// Enough for the footer of an object of about a hundred blocks.
const FIRST_GUESS_BYTES: u64 = 64 * 1024;

/// The end of a state object.
#[derive(Debug, Clone)]
pub struct StateTail {
    /// Its index.
    pub footer: StateFooter,
    /// The object's length.
    pub object_bytes: u64,
    /// Bytes that were fetched for it.
    pub fetched_bytes: u64,
}

/// Reads the footer with one GET, or two when it is long.
///
/// # Errors
/// `Corrupt` when the end is not an intact footer, and what the bucket says.
pub async fn read_footer(bucket: &Bucket, key: &str) -> Result<StateTail> {
    let mut tail_bytes = FIRST_GUESS_BYTES;
    let mut fetched_bytes = 0;
    loop {
        let tail = bucket.get_tail(key, tail_bytes).await?;
        fetched_bytes += tail.bytes.len() as u64;
        let read = read_tail(&tail.bytes, tail.object_bytes);
        match read.map_err(|error| error.in_object(key))? {
            TailRead::Footer(footer) => {
                let object_bytes = tail.object_bytes;
                return Ok(StateTail {
                    footer,
                    object_bytes,
                    fetched_bytes,
                });
            }
            TailRead::Longer(needed) => tail_bytes = needed,
        }
    }
}
