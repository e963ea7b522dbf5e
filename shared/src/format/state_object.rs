//! state object.
