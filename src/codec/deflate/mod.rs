//! Deflate (HDF5 filter 1): one zlib stream a chunk.
//!
//! What follows the end of the stream is ignored, as libhdf5 and HSDS ignore it: a Fletcher32 checksum that the dataset
//! does not list lies there in some stores.
//!
//! Streams are inflated whole, by libdeflate, into room that is there before; why: docs/decisions/008-inflate.md.

mod fault;

use std::sync::{Mutex, PoisonError};

use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};

use super::error::{CodecError, zeros};

/// The low four bits of a zlib stream's first byte (RFC 1950, CM = 8).
pub const METHOD: u8 = 8;

/// Deflate makes at most 1032 bytes of one (258 bytes a match, two bits a match), so no larger result has to be expected
/// and no more memory taken than that, whatever length is claimed.
const BEST_RATIO: u64 = 1032;

/// Room beyond the best ratio: a stream's last bytes and the smallest results.
const SLACK: u64 = 4 << 10;

/// Room for a stream of unknown result, for each of its bytes: what scientific data shrinks to, or a little more.
const USUAL_RATIO: u64 = 8;

/// How much larger the next room is where the first was too small. All before it is done again, so that at most a third
/// of the work is wasted.
const GROWTH: u64 = 4;

/// Decompressors kept for the next stream. Each holds tables of 32 KiB, which are best not made anew for each block of
/// a frame; more than one a core are not in use at a time, and more cores than this are rarely given to one daemon.
const IDLE: usize = 32;

const WHAT: &str = "zlib stream";

static DECOMPRESSORS: Mutex<Vec<Decompressor>> = Mutex::new(Vec::new());

/// Why a stream did not go into the room given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// More comes out, as far as was seen.
    TooSmall,
    /// More room would not help.
    NoMatter,
}

/// Inflates the zlib stream at the start of `stored` into the start of `room`; returns how many bytes it has.
pub(super) fn inflate_into(stored: &[u8], room: &mut [u8]) -> Result<usize, Room> {
    let idle = || DECOMPRESSORS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut decompressor = idle().pop().unwrap_or_default();
    let result = decompressor.zlib_decompress(stored, room);
    let mut idle = idle();
    if idle.len() < IDLE {
        idle.push(decompressor);
    }
    result.map_err(|error| match error {
        DecompressionError::InsufficientSpace => Room::TooSmall,
        DecompressionError::BadData => Room::NoMatter,
    })
}

/// Inflates the stream at the start of `stored`; more than `bound` plain bytes are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    decode_likely(stored, (stored.len() as u64).saturating_mul(USUAL_RATIO).saturating_add(SLACK), bound)
}

/// As [`decode`], where the result has `likely` bytes if all is well.
pub fn decode_likely(stored: &[u8], likely: u64, bound: u64) -> Result<Vec<u8>, CodecError> {
    let most = bound.min((stored.len() as u64).saturating_mul(BEST_RATIO).saturating_add(SLACK));
    let mut size = likely.min(most);
    loop {
        let mut plain = zeros(size)?;
        match inflate_into(stored, &mut plain) {
            Ok(made) => {
                plain.truncate(made);
                // The bytes may lie in a cache, where only their own number is counted.
                if plain.capacity() / 2 > plain.len() {
                    plain.shrink_to_fit();
                }
                return Ok(plain);
            }
            Err(Room::TooSmall) if size < most => size = size.saturating_mul(GROWTH).clamp(SLACK, most),
            Err(Room::TooSmall | Room::NoMatter) => return Err(fault::explain(stored, bound)),
        }
    }
}

/// A zlib stream of `plain`, at `level` 0 to 9 (a higher one counts as 9).
pub fn encode(plain: &[u8], level: u8) -> Vec<u8> {
    let level = CompressionLvl::new(i32::from(level.min(9))).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    let mut stored = vec![0; compressor.zlib_compress_bound(plain.len())];
    // The room is as large as any stream of so many bytes can be.
    let made = compressor.zlib_compress(plain, &mut stored).unwrap_or_default();
    stored.truncate(made);
    stored.shrink_to_fit();
    stored
}
