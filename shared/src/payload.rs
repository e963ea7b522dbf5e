//! Bytes to points, with reasons for refusal.
