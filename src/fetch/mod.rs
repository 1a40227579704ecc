//! Wanted bytes of chunks to requests to decoded chunks.
