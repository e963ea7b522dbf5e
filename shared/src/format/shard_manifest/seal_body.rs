//! How a manifest names a seal.

use prost::Message;

use super::SealRef;
use crate::ids::Generation;
use crate::window::Window;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SealRefBody {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(fixed32, tag = "2")]
    crc32c: u32,
    #[prost(sint64, repeated, tag = "3")]
    windows: Vec<i64>,
    #[prost(uint64, tag = "4")]
    generation: u64,
}

impl From<&SealRef> for SealRefBody {
    fn from(seal: &SealRef) -> Self {
        Self {
            key: seal.key.clone(),
            crc32c: seal.crc32c,
            windows: seal.windows.iter().map(|window| window.number()).collect(),
            generation: seal.generation.0,
        }
    }
}

impl SealRefBody {
    pub(crate) fn read(self) -> Result<SealRef, String> {
        if self.windows.is_empty() {
            return Err("a seal seals no window".into());
        }
        Ok(SealRef {
            key: self.key,
            crc32c: self.crc32c,
            windows: self.windows.into_iter().map(Window::from_number).collect(),
            generation: Generation(self.generation),
        })
    }
}
