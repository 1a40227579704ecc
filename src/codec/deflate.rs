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

/// First guess of the ratio where the plain length is not known: scientific data rarely does better than 4.
const USUAL_RATIO: u64 = 4;

/// Smallest first buffer: below it growing costs more than the memory.
const SMALLEST_BUFFER: u64 = 4 << 10;

const WHAT: &str = "zlib stream";

/// Inflates the stream at the start of `stored`; more than `bound` plain bytes are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    let length = stored.len() as u64;
    let most = bound.min(length.saturating_mul(BEST_RATIO).saturating_add(SMALLEST_BUFFER));
    // One byte more than allowed is room enough to notice a stream that goes on.
    let full = most.saturating_add(1);
    // Chunks of up to a few megabytes are the rule and `bound` is then the plain length: take it at once.
    let first = if bound <= length.saturating_mul(BEST_RATIO) { full } else { full.min(SMALLEST_BUFFER) };
    let first = first.min(length.saturating_mul(USUAL_RATIO).max(1 << 20)).max(SMALLEST_BUFFER.min(full));
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
