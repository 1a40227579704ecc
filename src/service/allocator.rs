//! Memory that was freed goes back to the system at once where the limit is small.
//!
//! mimalloc keeps freed pages for a tenth of a second and more, since at full speed they are soon used again. What lies
//! there at a time follows from the speed, not from the limit: some 70 MiB were seen, which is nothing beside a gibibyte
//! and more than all of a limit of 64 MiB. Its options are read from the environment before `main`, so the program starts
//! itself again with the option set; as the same process, so whoever started it notices nothing.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Limits from here on leave room for what the allocator keeps: a quarter of them is not given out.
const ROOMY: u64 = 256 << 20;
/// mimalloc's option, in milliseconds.
const OPTION: &str = "MIMALLOC_PURGE_DELAY";

/// To be called before there are threads. Returns where nothing is to be done, or nothing could be.
pub fn follow(limit: u64) {
    // Set by ourselves, or by somebody who wants it otherwise.
    if limit >= ROOMY || std::env::var_os(OPTION).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| env!("CARGO_PKG_NAME").into());
    // Does not return where it succeeds. Where it fails, the limit is kept less exactly.
    let _ = Command::new(program).arg0(name).args(arguments).env(OPTION, "0").exec();
}
