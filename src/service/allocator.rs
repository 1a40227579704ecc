//! How long memory that was freed stays with the program before it goes back to the system.
//!
//! mimalloc gives it back after some ten milliseconds. A stream at full speed uses it again within a fifth of a second, and what
//! went back meanwhile has to be cleared by the kernel page by page: a quarter of the time that a gigabyte takes. What lies
//! there at a time follows from the speed, not from the limit, and is much beside a small one. mimalloc's options are read
//! from the environment before `main`, so the program starts itself again with the option set; as the same process, so
//! whoever started it notices nothing.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// mimalloc's option, in milliseconds.
const OPTION: &str = "MIMALLOC_PURGE_DELAY";
/// From these limits on, so long: a part of each limit is not given out, and has room for what lies there meanwhile. Within a fifth
/// of a second a stream comes round to what it freed: 0.61 s of a core for a gigabyte instead of 0.71, for 10 to 20 MiB
/// more. A millisecond takes 0.7 s and has 25 MiB more under ten thousand reads than none, which takes 1.7 s.
const DELAYS: [(u64, &str); 3] = [(256 << 20, "200"), (128 << 20, "1"), (0, "0")];

/// To be called before there are threads. Returns where nothing is to be done, or nothing could be.
pub fn follow(limit: u64) {
    // Set by ourselves, or by somebody who wants it otherwise.
    if std::env::var_os(OPTION).is_some() {
        return;
    }
    let Some((_, delay)) = DELAYS.iter().find(|(from, _)| limit >= *from) else { return };
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| env!("CARGO_PKG_NAME").into());
    // Does not return where it succeeds. Where it fails, memory goes back sooner or later than it should.
    let _ = Command::new(program).arg0(name).args(arguments).env(OPTION, delay).exec();
}
