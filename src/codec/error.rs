//! Why stored bytes cannot be made plain.

use thiserror::Error;

/// A chunk that cannot be decoded or encoded. Positions are bytes from the start of what the failing filter was given:
/// the stored chunk for the first filter, what the one before made of it for the others.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CodecError {
    /// The bytes end before what they announce.
    #[error("{what} ends at byte {at}, where {need} more bytes were needed")]
    Truncated {
        /// The structure that is cut off.
        what: &'static str,
        /// Where the bytes end.
        at: u64,
        /// Bytes that were missing, at least.
        need: u64,
    },
    /// A field or a compressed block that means nothing.
    #[error("{what}, at byte {at}: {reason}")]
    Invalid {
        /// The structure.
        what: &'static str,
        /// Where the fault was noticed.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Neither a Blosc frame nor a zlib stream.
    #[error("neither a Blosc frame nor a zlib stream (first byte {first:#04x}); perhaps a chunk stored uncompressed")]
    Unrecognised {
        /// The first byte.
        first: u8,
    },
    /// More plain bytes than the chunk may have.
    #[error("{bytes} bytes or more come out, {limit} are allowed (at byte {at})")]
    TooLarge {
        /// Where the length is claimed, or how far decompression came.
        at: u64,
        /// Bytes that would come out, at least.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Not the number of plain bytes that the dataset's shape and type ask for.
    #[error("{found} bytes come out where the chunk has {expected}")]
    WrongLength {
        /// Bytes that the chunk has.
        expected: u64,
        /// Bytes that came out.
        found: u64,
    },
    /// The checksum at the end is another one than that of the bytes before it.
    #[error("Fletcher32 checksum at byte {at} is {stored:#010x}, that of the data {computed:#010x}")]
    Checksum {
        /// Where the stored checksum lies.
        at: u64,
        /// The checksum stored.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// No memory for the plain bytes.
    #[error("no memory for {bytes} bytes")]
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: u64,
    },
    /// A filter that is read, but not written.
    #[error("chunks are not written with filter {filter}")]
    NotWritten {
        /// The filter's name.
        filter: String,
    },
}

/// An empty vector with room for `bytes` bytes, or an error instead of an abort where there is no memory.
pub(super) fn room(bytes: u64) -> Result<Vec<u8>, CodecError> {
    let mut room = Vec::new();
    let wanted = usize::try_from(bytes).map_err(|_| CodecError::OutOfMemory { bytes })?;
    room.try_reserve_exact(wanted).map_err(|_| CodecError::OutOfMemory { bytes })?;
    Ok(room)
}

/// A vector of `bytes` zeros, or an error instead of an abort where there is no memory.
pub(super) fn zeros(bytes: u64) -> Result<Vec<u8>, CodecError> {
    let mut zeros = room(bytes)?;
    zeros.resize(zeros.capacity().min(bytes as usize), 0);
    Ok(zeros)
}
