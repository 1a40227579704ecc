//! The `h5mount` program: what it does stands in the library.

use std::process::ExitCode;

/// Planning and listing make millions of small allocations from several threads, and large ones that one thread takes and another
/// gives back: it takes both in its stride. How it is set up for a mount: `service::allocator`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    h5mount::cli::main(std::env::args_os()).into()
}
