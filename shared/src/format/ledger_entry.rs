//! ledger entry.
