//! source_binding.
