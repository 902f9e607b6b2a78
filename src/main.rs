//! The `portolan` program: parse the command line, run the verb, turn its end into an exit code.

use mimalloc::MiMalloc;
use std::process::ExitCode;

use portolan::cli::{parse, run};

fn main() -> ExitCode {
    run(parse(std::env::args_os())).into()
}

/// Loading a large cluster makes millions of small values of mixed lives; glibc's allocator spends a
/// quarter of the load looking for room among them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
