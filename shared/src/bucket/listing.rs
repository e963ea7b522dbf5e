//! Listings.
use super::s3::Store;
use crate::error::Result;

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key, without the settings' prefix.
    pub key: String,
    /// Size.
    pub object_bytes: u64,
}
pub(super) async fn list(_: &Store, _: &str, _: Option<&str>) -> Result<Vec<Listed>> {
    todo!()
}
pub(super) async fn list_page(_: &Store, _: &str, _: Option<&str>, _: u16) -> Result<Vec<Listed>> {
    todo!()
}
pub(super) async fn list_folders(_: &Store, _: &str) -> Result<Vec<String>> {
    todo!()
}
