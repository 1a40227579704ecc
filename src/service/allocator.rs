//! How the allocator (jemalloc) keeps memory that was freed.
//!
//! Its options are read from the environment before `main`, so a mount starts itself again with them set; as the same
//! process, so whoever started it notices nothing.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where jemalloc reads its options.
const VARIABLE: &str = "_RJEM_MALLOC_CONF";
/// * One arena: what one thread frees, any other takes. With four for each core, and in allocators that give memory back to
///   the thread that took it, what idle threads once used lies there beside all limits.
/// * 50 ms until freed memory goes back to the system: a stream comes round to it sooner, so a gigabyte costs 0.55 s of a
///   core; at once it costs 1.2 s, since the kernel clears all of it anew.
/// * Back means back: not "may be taken", which still counts as ours.
/// * A thread that sees to it when nobody allocates any more.
const OPTIONS: &str = "narenas:1,dirty_decay_ms:50,muzzy_decay_ms:0,background_thread:true";

/// To be called before there are threads. Returns where the options are set, by us or by somebody who wants them otherwise, or
/// where they cannot be.
pub fn set_up() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| env!("CARGO_PKG_NAME").into());
    // Does not return where it succeeds. Where it fails, memory is bounded less exactly.
    let _ = Command::new(program).arg0(name).args(arguments).env(VARIABLE, OPTIONS).exec();
}
