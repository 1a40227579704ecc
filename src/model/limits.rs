//! Limits on numbers from outside: what passes none of them is refused before anything is allocated for it.

/// Dimensions of a dataspace; libhdf5's own limit (`H5S_MAX_RANK`).
pub const RANK: usize = 32;
/// Datatypes inside datatypes. libhdf5 recurses; real files stay below 10.
pub const DATATYPE_DEPTH: usize = 32;
/// Bytes of one element. HDF5 keeps it in 32 bits; a signed 31 keeps every sum of two inside them.
pub const ELEMENT_BYTES: u64 = 1 << 31;
/// Bytes of one chunk, plain. HDF5's layout message version 4 keeps it in 32 bits.
pub const CHUNK_BYTES: u64 = u32::MAX as u64;
/// Bytes of one chunk that is decoded in memory; servers refuse to make larger ones (128 MiB), files linked to may.
pub const DECODED_CHUNK_BYTES: u64 = 1 << 30;
/// Bytes of a presented file. libhdf5 and the kernel count in signed 64 bits; the rest is room for what a writer appends.
pub const FILE_BYTES: u64 = 1 << 61;
/// Bytes of one object's JSON. A group of a million links takes about 150 MB; more is no metadata.
pub const DOCUMENT_BYTES: u64 = 512 << 20;
/// Objects of one file. Each costs a request and about a kilobyte while the file is open.
pub const OBJECTS: usize = 10_000_000;
