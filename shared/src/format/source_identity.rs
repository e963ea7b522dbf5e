//! source identity.
