//! Probe.
use super::s3::Store;
use crate::error::Result;
pub(super) async fn probe(_: &Store) -> Result<()> {
    todo!()
}
