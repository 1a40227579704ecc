//! Deflate (HDF5 filter 1): one zlib stream a chunk.
//!
//! What follows the end of the stream is ignored, as libhdf5 and HSDS ignore it: a Fletcher32 checksum that the dataset
//! does not list lies there in some stores.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::{CodecError, room};

/// The low four bits of a zlib stream's first byte (RFC 1950, CM = 8).
pub const METHOD: u8 = 8;

/// Deflate makes at most 1032 bytes of one (258 bytes a match, two bits a match), so no larger result has to be expected
/// and no more memory taken than that, whatever length is claimed.
const BEST_RATIO: u64 = 1032;

/// Room taken at once where that much may come out; pages never written to cost nothing. Chunks are rarely larger.
const FIRST_ROOM: u64 = 32 << 20;

/// Room beyond the best ratio: a stream's last bytes and the smallest results.
const SLACK: u64 = 4 << 10;

const WHAT: &str = "zlib stream";

/// Inflates the stream at the start of `stored`; more than `bound` plain bytes are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    let length = stored.len() as u64;
    let most = bound.min(length.saturating_mul(BEST_RATIO).saturating_add(SLACK));
    // One byte more than allowed is room enough to notice a stream that goes on.
    let full = most.saturating_add(1);
    let first = full.min(FIRST_ROOM);
    let mut plain = room(first)?;
    let mut stream = Decompress::new(true);
    loop {
        let (read, made) = (stream.total_in(), plain.len());
        let rest = stored.get(read as usize..).unwrap_or_default();
        let status = stream.decompress_vec(rest, &mut plain, FlushDecompress::None).map_err(|_| {
            CodecError::Invalid { what: WHAT, at: stream.total_in(), reason: "no valid compressed data" }
        })?;
        if plain.len() as u64 > bound {
            return Err(CodecError::TooLarge { at: stream.total_in(), bytes: plain.len() as u64, limit: bound });
        }
        if status == Status::StreamEnd {
            // Where the length was not known, most of the room may be left; the bytes will lie in a cache.
            if plain.capacity() / 2 > plain.len() {
                plain.shrink_to_fit();
            }
            return Ok(plain);
        }
        if plain.len() == plain.capacity() {
            // Double, but never past what may come out.
            let more = (plain.len() as u64).min(full.saturating_sub(plain.len() as u64)).max(1);
            plain
                .try_reserve_exact(more as usize)
                .map_err(|_| CodecError::OutOfMemory { bytes: plain.len() as u64 + more })?;
        } else if stream.total_in() >= length || (stream.total_in() == read && plain.len() == made) {
            return Err(CodecError::Truncated { what: WHAT, at: length, need: 1 });
        }
    }
}

/// A zlib stream of `plain`, at `level` 0 to 9 (a higher one counts as 9).
pub fn encode(plain: &[u8], level: u8) -> Vec<u8> {
    let mut stream = Compress::new(Compression::new(u32::from(level.min(9))), true);
    // Deflate stores what it cannot shrink: five bytes for each 16 KiB at worst, and the stream's own header.
    let mut stored = Vec::with_capacity(plain.len() / 2 + 64);
    loop {
        let rest = plain.get(stream.total_in() as usize..).unwrap_or_default();
        match stream.compress_vec(rest, &mut stored, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => return stored,
            Ok(_) | Err(_) => stored.reserve(stored.capacity().max(64)),
        }
    }
}
