//! CRC32C as S3 writes it: base64 of the four bytes, big-endian.
