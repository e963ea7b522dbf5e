//! Fetching a state object's footer.

use skein_shared::Result;
use skein_shared::bucket::Bucket;
use skein_shared::format::state_object::{StateFooter, TailRead, read_tail};

/// Enough for the footer of an object of about a hundred blocks.
const FIRST_GUESS_BYTES: u64 = 64 * 1024;

pub(super) struct StateTail {
    pub(super) footer: StateFooter,
    pub(super) object_bytes: u64,
}

/// Reads the footer with one GET, or two when it is long.
pub(super) async fn read_footer(bucket: &Bucket, key: &str) -> Result<StateTail> {
    let mut tail_bytes = FIRST_GUESS_BYTES;
    loop {
        let tail = bucket.get_tail(key, tail_bytes).await?;
        let read = read_tail(&tail.bytes, tail.object_bytes);
        match read.map_err(|error| error.in_object(key))? {
            TailRead::Footer(footer) => {
                let object_bytes = tail.object_bytes;
                return Ok(StateTail {
                    footer,
                    object_bytes,
                });
            }
            TailRead::Longer(needed) => tail_bytes = needed,
        }
    }
}
