//! Filters on chunks: bytes to bytes.
