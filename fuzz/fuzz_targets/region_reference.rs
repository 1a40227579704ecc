//! The blob of a region reference, as a chunk holds it.
#![no_main]

use h5mount::source::hsds::region::parse_blob;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_blob(bytes);
});
