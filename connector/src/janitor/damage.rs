//! Objects that do not read back: told once each, and never a reason to take anything away.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use skein_shared::error::BucketCause;
use skein_shared::{Error, ErrorKind, Result};

use crate::metrics;

/// What did not read back in one run, and why, by key.
#[derive(Debug, Default)]
pub(super) struct Damage(BTreeMap<String, String>);

impl Damage {
    /// What was read; `otherwise` when it is damaged. Any other failure stays one.
    pub(super) fn or<T>(&mut self, read: Result<T>, otherwise: T) -> Result<T> {
        match read {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.note(&error);
                Ok(otherwise)
            }
            read => read,
        }
    }

    /// All of it.
    pub(super) fn into_reasons(self) -> BTreeMap<String, String> {
        self.0
    }

    fn note(&mut self, error: &Error) {
        let key = match error {
            Error::Decode { object: key, .. }
            | Error::Bucket {
                key,
                cause: BucketCause::Damaged,
                ..
            } => key,
            Error::Bucket { .. }
            | Error::Invalid { .. }
            | Error::Taken { .. }
            | Error::Unfit { .. } => return,
        };
        if let Entry::Vacant(unknown) = self.0.entry(key.clone()) {
            metrics::janitor_met_damage(key, error);
            unknown.insert(error.to_string());
        }
    }
}
