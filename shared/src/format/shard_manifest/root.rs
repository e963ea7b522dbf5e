//! A manifest as it is stored: what changes, and the names of its leaves.

use std::collections::BTreeMap;

use super::ShardManifest;
use super::body::ManifestBody;
use super::leaf::{LeafRef, ManifestLeaf};
use crate::error::{Error, Result};
use crate::format::envelope::{self, Kind};
use crate::ids::{Generation, ShardId, WriteId};

/// A manifest without what its leaves hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRoot(ShardManifest);

impl ManifestRoot {
    /// Reads what [`ShardManifest::encode`] wrote.
    ///
    /// # Errors
    /// Corrupt when the bytes break the format.
    pub fn decode(bytes: &[u8]) -> Result<(WriteId, Self)> {
        let (write_id, body) = envelope::open::<ManifestBody>(Kind::ShardManifest, bytes)?;
        let manifest = body.read().map_err(refuse)?;
        Ok((write_id, Self(manifest)))
    }

    /// Whose.
    pub fn shard(&self) -> ShardId {
        self.0.shard
    }

    /// Its number.
    pub fn generation(&self) -> Generation {
        self.0.generation
    }

    /// What it says by itself.
    pub fn without_leaves(&self) -> &ShardManifest {
        &self.0
    }

    /// The leaves that are wanted.
    pub fn leaves(&self) -> &[LeafRef] {
        &self.0.leaves
    }

    /// The whole manifest.
    ///
    /// # Errors
    /// Corrupt when `leaves` are not just the ones that are named.
    pub fn join(self, leaves: Vec<ManifestLeaf>) -> Result<ShardManifest> {
        let mut manifest = self.0;
        let found: BTreeMap<_, _> = leaves.iter().map(|leaf| (leaf.scope, leaf)).collect();
        for named in &manifest.leaves {
            let fits = found.get(&named.scope).is_some_and(|leaf| {
                leaf.shard == manifest.shard && leaf.content() == named.content
            });
            if !fits {
                let reason = format!("its leaf `{}` is missing or another", named.key);
                return Err(refuse(reason));
            }
        }
        if leaves.len() != manifest.leaves.len() {
            return Err(refuse("there are leaves that it does not name".into()));
        }
        manifest.take_in(leaves);
        Ok(manifest)
    }
}

fn refuse(reason: String) -> Error {
    Error::decode(Kind::ShardManifest.name(), 0, reason)
}
