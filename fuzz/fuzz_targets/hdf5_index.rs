//! The index that lies beside an HDF5 file: forged, under a right checksum. What it says is laid out, and its elements are
//! looked for in a file of other bytes.
#![no_main]

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h5mount::layout::{PresentOptions, plan};
use h5mount::model::location::ETag;
use h5mount::source::hdf5::index::{self, State};
use libfuzzer_sys::fuzz_target;

/// Memory that an index may take: far more than an input has.
const MOST: u64 = 64 << 20;
/// Plain bytes of a chunk that are made up: enough for some elements of any type.
const PLAIN: u64 = 4096;

fuzz_target!(|bytes: &[u8]| {
    let _ = index::decode(bytes, MOST);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let state = State { tag: ETag::new("\"1\""), size: bytes.len() as u64, modified };
    let Some(kept) = index::pack(&state, bytes) else { return };
    let Ok((_, found)) = index::decode(&kept, MOST) else { return };
    let _ = plan(&found.hierarchy, &PresentOptions::default());
    for placement in found.placements.iter().flatten() {
        for number in 0..placement.grid.total().min(16) {
            placement.chunk(number);
        }
        let start = bytes.len().saturating_sub(placement.raw_len.min(PLAIN) as usize);
        let plain = Bytes::copy_from_slice(&bytes[start..]);
        let _ = found.addresses.elements(placement, &plain, &bytes);
    }
});
