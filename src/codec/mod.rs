//! Filters on chunks: stored bytes to plain bytes, and back where this program writes.
//!
//! `fetch` hands over what a store answered, together with the dataset's [`Pipeline`]; what comes back is the chunk as
//! elements lie in memory. One file for each filter, named after it; decoding and encoding lie next to each other.
//! Everything here is a function of its arguments, and every length that stored bytes claim is checked against a limit
//! before memory is taken for it.

mod bits;
mod bitshuffle;
pub mod bitshuffle_packed;
pub mod blosc;
pub mod blosc2;
pub mod bzip2;
pub mod deflate;
mod error;
pub mod fletcher32;
pub mod lz4;
pub mod lzf;
pub mod lzo;
pub mod nbit;
pub mod scale_offset;
pub mod shuffle;
pub mod szip;
#[cfg(test)]
mod tests;
pub mod vbz;
pub mod zfp;
pub mod zstd;

use bytes::Bytes;

use bitshuffle_packed::Packing;

pub use error::CodecError;

use crate::model::pipeline::{Decode, Filter, Pipeline};

/// Bytes that an intermediate result may have beyond twice the final length, where a decompressor feeds another one. The
/// inner form is not larger than the data but for the headers of its blocks; this covers the headers of tiny chunks.
const INNER_SLACK: u64 = 64 << 10;

/// Plain bytes of a chunk.
///
/// `raw_len` is the plain length in bytes where it is known; the result has exactly that length, or it is an error.
/// Where it is not known (elements of variable length) the result has at most `limit` bytes. A `raw_len` above `limit`
/// is refused. Without steps the bytes are returned as they are, not copied.
pub fn decode(pipeline: &Pipeline, stored: Bytes, raw_len: Option<u64>, limit: u64) -> Result<Bytes, CodecError> {
    if let Some(bytes) = raw_len
        && bytes > limit
    {
        return Err(CodecError::TooLarge { at: 0, bytes, limit });
    }
    let bounds = bounds(&pipeline.steps, raw_len.unwrap_or(limit));
    let mut bytes = stored;
    for (step, &bound) in pipeline.steps.iter().zip(&bounds) {
        bytes = undo(step, bytes, raw_len, bound)?;
    }
    let found = bytes.len() as u64;
    match raw_len {
        Some(expected) if found != expected => Err(CodecError::WrongLength { expected, found }),
        None if found > limit => Err(CodecError::TooLarge { at: 0, bytes: found, limit }),
        _ => Ok(bytes),
    }
}

/// What each step may produce at most, such that the last one produces at most `last` bytes.
fn bounds(steps: &[Decode], last: u64) -> Vec<u64> {
    let mut bound = last;
    let mut bounds: Vec<u64> = steps
        .iter()
        .rev()
        .map(|step| {
            let output = bound;
            bound = match step {
                Decode::Unshuffle { .. } | Decode::Bitshuffle { .. } => bound,
                Decode::Fletcher32 | Decode::TrimFletcher32 => bound.saturating_add(fletcher32::BYTES as u64),
                Decode::Deflate
                | Decode::BloscOrDeflate { .. }
                | Decode::BitshuffleLz4 { .. }
                | Decode::BitshuffleZstd { .. }
                | Decode::Zstd
                | Decode::Vbz(_)
                | Decode::Zfp(_)
                | Decode::Lzo
                | Decode::Szip(_)
                | Decode::Blosc2
                | Decode::Bzip2
                | Decode::Nbit(_)
                | Decode::ScaleOffset(_)
                | Decode::Lz4
                | Decode::Lzf => bound.saturating_mul(2).saturating_add(INNER_SLACK),
            };
            output
        })
        .collect();
    bounds.reverse();
    bounds
}

/// One step towards plain bytes; the result has at most `bound` bytes where the step decompresses.
fn undo(step: &Decode, stored: Bytes, raw_len: Option<u64>, bound: u64) -> Result<Bytes, CodecError> {
    match step {
        Decode::Deflate => inflated(&stored, raw_len, bound).map(Bytes::from),
        Decode::Lz4 => lz4::decode(&stored, bound).map(Bytes::from),
        Decode::Lzf => lzf::decode(&stored, bound).map(Bytes::from),
        Decode::Unshuffle { element } => Ok(unshuffled(stored, *element)),
        Decode::Fletcher32 => fletcher32::decode(stored),
        Decode::TrimFletcher32 => Ok(match raw_len {
            Some(plain) if stored.len() as u64 == plain.saturating_add(fletcher32::BYTES as u64) => {
                stored.slice(..stored.len() - fletcher32::BYTES)
            }
            _ => stored,
        }),
        Decode::BloscOrDeflate { unshuffle } => match stored.first() {
            None => Err(CodecError::Truncated { what: "compressed chunk", at: 0, need: 1 }),
            // The first byte tells them apart: a zlib stream's low four bits are 8, Blosc's format version is 2.
            Some(&blosc::FORMAT_VERSION) => blosc::decode(&stored, bound),
            Some(&first) if first & 0x0f == deflate::METHOD => {
                let plain = Bytes::from(inflated(&stored, raw_len, bound)?);
                Ok(unshuffle.map_or_else(|| plain.clone(), |element| unshuffled(plain.clone(), element)))
            }
            Some(&first) => Err(CodecError::Unrecognised { first }),
        },
        Decode::Zstd => zstd::decode(&stored, bound).map(Bytes::from),
        Decode::Blosc2 => blosc2::decode(&stored, bound).map(Bytes::from),
        Decode::Szip(parameters) => szip::decode(&stored, parameters, bound).map(Bytes::from),
        Decode::Vbz(parameters) => vbz::decode(&stored, parameters, bound).map(Bytes::from),
        Decode::Zfp(parameters) => zfp::decode(&stored, parameters, bound).map(Bytes::from),
        Decode::Lzo => lzo::decode(&stored, bound).map(Bytes::from),
        Decode::Bzip2 => bzip2::decode(&stored, bound).map(Bytes::from),
        Decode::Nbit(parameters) => nbit::decode(&stored, parameters, bound).map(Bytes::from),
        Decode::ScaleOffset(parameters) => scale_offset::decode(&stored, parameters, bound).map(Bytes::from),
        Decode::Bitshuffle { element, block } => {
            bitshuffle_packed::decode_unpacked(&stored, *element, *block).map(Bytes::from)
        }
        Decode::BitshuffleLz4 { element } => bits_unpacked(stored, *element, Packing::Lz4, raw_len, bound),
        Decode::BitshuffleZstd { element } => bits_unpacked(stored, *element, Packing::Zstd, raw_len, bound),
    }
}

/// A chunk of the bitshuffle filter, packed or, where that did not pay, as it is.
fn bits_unpacked(
    stored: Bytes,
    element: u32,
    packing: Packing,
    raw_len: Option<u64>,
    bound: u64,
) -> Result<Bytes, CodecError> {
    let unpacked = |stored: &Bytes| bitshuffle_packed::decode(stored, element, packing, bound);
    match raw_len {
        // Stored as it is, or by chance as long: a compressed chunk begins with its plain length, and decodes.
        Some(plain) if stored.len() as u64 == plain && !stored.starts_with(&plain.to_be_bytes()) => Ok(stored),
        Some(plain) if stored.len() as u64 == plain => Ok(unpacked(&stored).map_or(stored, Bytes::from)),
        _ => unpacked(&stored).map(Bytes::from),
    }
}

/// Where the plain length is known, so is most often what a stream inflates to: no larger, but for a checksum.
fn inflated(stored: &[u8], raw_len: Option<u64>, bound: u64) -> Result<Vec<u8>, CodecError> {
    match raw_len {
        Some(plain) => deflate::decode_likely(stored, plain.saturating_add(fletcher32::BYTES as u64), bound),
        None => deflate::decode(stored, bound),
    }
}

fn unshuffled(stored: Bytes, element: u32) -> Bytes {
    if shuffle::is_identity(stored.len(), element) { stored } else { Bytes::from(shuffle::decode(&stored, element)) }
}

/// Stored bytes of a chunk as HDF5 itself writes them: `filters` applied in the order given, `element` bytes an element.
/// HSDS reads them too. [`Filter::Other`] is [`CodecError::NotWritten`].
pub fn encode(filters: &[Filter], element: u32, plain: Bytes) -> Result<Bytes, CodecError> {
    let mut bytes = plain;
    for filter in filters {
        bytes = match filter {
            Filter::Deflate(level) => deflate::encode(&bytes, *level).into(),
            Filter::Shuffle => shuffle::encode(&bytes, element).into(),
            Filter::Fletcher32 => fletcher32::encode(&bytes).into(),
            Filter::Other { name, .. } => return Err(CodecError::NotWritten { filter: name.clone() }),
        };
    }
    Ok(bytes)
}
