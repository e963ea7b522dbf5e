//! flush manifest.
