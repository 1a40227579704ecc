//! A chunk of any filter but Blosc and deflate, with parameters made of the first bytes.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use h5mount::codec::decode;
use h5mount::model::pipeline::{Decode, Pipeline};
use libfuzzer_sys::fuzz_target;

/// Plain bytes of a chunk at most: far more than an input has, far less than memory.
const LIMIT: u64 = 4 << 20;
/// Parameters that an input brings.
const PARAMETERS: usize = 24;

/// What the filter's parameters begin with, and behind it words made of two values each.
fn zfp(values: &[u32]) -> Arc<[u32]> {
    let words = values.chunks_exact(2).map(|pair| pair[0] << 16 | pair[1]);
    [0, u32::from_le_bytes(*b"zfp\x05")].into_iter().chain(words).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, stored)) = bytes.split_at_checked(2 + PARAMETERS * 2) else { return };
    let values: Arc<[u32]> = head[2..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]).into()).collect();
    let element = u32::from(head[1]);
    let step = match head[0] % 15 {
        0 => Decode::Zstd,
        1 => Decode::Bzip2,
        2 => Decode::Nbit(values),
        3 => Decode::ScaleOffset(values),
        4 => Decode::Lz4,
        5 => Decode::Lzf,
        6 => Decode::BitshuffleLz4 { element },
        7 => Decode::BitshuffleZstd { element },
        9 => Decode::Blosc2,
        10 => Decode::Szip(values),
        11 => Decode::Vbz(values),
        12 => Decode::Zfp(zfp(&values)),
        13 => Decode::Lzo,
        8 => Decode::Bitshuffle { element, block: values[0] },
        _ => Decode::Unshuffle { element },
    };
    let pipeline = Pipeline { steps: vec![step] };
    if let Ok(plain) = decode(&pipeline, Bytes::copy_from_slice(stored), None, LIMIT) {
        assert!(plain.len() as u64 <= LIMIT);
    }
});
