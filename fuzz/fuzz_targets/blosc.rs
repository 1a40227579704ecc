//! Any bytes as a chunk, through every filter: an error or bytes within the limit, never anything else.

#![no_main]

use bytes::Bytes;
use h5mount::codec::decode;
use h5mount::model::pipeline::{Decode, Pipeline};
use libfuzzer_sys::fuzz_target;

/// Small enough that a claimed length above it is common, large enough for several blocks.
const LIMIT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, stored)) = input.split_first() else { return };
    let element = u32::from(choice >> 3 & 15);
    let steps = match choice & 7 {
        0 => vec![Decode::Deflate, Decode::Unshuffle { element }],
        1 => vec![Decode::BitshuffleLz4 { element }],
        2 => vec![Decode::BloscOrDeflate { unshuffle: None }, Decode::BitshuffleLz4 { element }],
        3 => vec![Decode::Fletcher32],
        _ => vec![Decode::BloscOrDeflate { unshuffle: Some(element) }],
    };
    let stored = Bytes::copy_from_slice(stored);
    if let Ok(plain) = decode(&Pipeline { steps }, stored, None, LIMIT) {
        assert!(plain.len() as u64 <= LIMIT);
    }
});
