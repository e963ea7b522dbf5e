//! Byte formats of everything in the bucket.
