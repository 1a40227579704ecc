//! An HDF5 file: judged, scanned, laid out anew, and its elements made of any bytes.
#![no_main]

use bytes::Bytes;
use h5mount::layout::scan::{Scan, ledger};
use h5mount::layout::{PresentOptions, plan};
use libfuzzer_sys::fuzz_target;

/// Plain bytes of a chunk that are made up: enough for some elements of any type.
const PLAIN: u64 = 4096;

/// Judges the file: every structure is noted, what only writers read is read too.
fn judge(bytes: &[u8]) {
    let mut scan = Scan::noting();
    let Ok(missing) = scan.step(&bytes) else { return };
    assert!(missing.is_empty(), "the whole file is there");
    scan.step_aside(&bytes, &mut Vec::new());
    let structures = scan.take_register().unwrap_or_default().structures();
    if let Ok(scanned) = scan.finish() {
        ledger::balance(&structures, &scanned.placements, &scanned.addresses, 0..bytes.len() as u64);
    }
}

fuzz_target!(|bytes: &[u8]| {
    judge(bytes);
    let mut scan = Scan::default();
    let Ok(missing) = scan.step(&bytes) else { return };
    assert!(missing.is_empty(), "the whole file is there");
    let Ok(scanned) = scan.finish() else { return };
    let _ = plan(&scanned.hierarchy, &PresentOptions::default());
    for placement in scanned.placements.iter().flatten() {
        for number in 0..placement.grid.total().min(16) {
            placement.chunk(number);
        }
        let start = bytes.len().saturating_sub(placement.raw_len.min(PLAIN) as usize);
        let plain = Bytes::copy_from_slice(&bytes[start..]);
        let _ = scanned.addresses.elements(placement, &plain, &bytes);
    }
});
