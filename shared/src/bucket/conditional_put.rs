//! Writes.
use super::s3::Store;
use crate::error::Result;
use crate::ids::WriteId;
use crate::window::TimestampMs;
use bytes::Bytes;

/// How a create-if-absent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is ours: written now, or by an earlier try with the same id.
    Ours,
    /// Another writer's object has the key.
    Taken,
}

/// What the store says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Size.
    pub object_bytes: u64,
    /// Id of the write that made it; `None` for an object that Skein did not write.
    pub write_id: Option<WriteId>,
    /// CRC32C of the whole object, where the store keeps one.
    pub crc32c: Option<u32>,
    /// When it was written, by the store's clock.
    pub last_modified: Option<TimestampMs>,
}
pub(super) async fn create(_: &Store, _: &str, _: Bytes, _: WriteId) -> Result<Created> {
    todo!()
}
pub(super) async fn put(_: &Store, _: &str, _: Bytes, _: WriteId) -> Result<()> {
    todo!()
}
pub(super) async fn head(_: &Store, _: &str) -> Result<Option<ObjectMeta>> {
    todo!()
}
pub(super) async fn delete(_: &Store, _: &str) -> Result<()> {
    todo!()
}
