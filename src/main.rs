//! The `portolan` program: parse the command line, run the verb, turn its end into an exit code.

use mimalloc::MiMalloc;
use std::process::ExitCode;

use clap::Parser;
use portolan::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse()).into()
}

/// Loading a large cluster makes millions of small values of mixed lives; glibc's allocator spends a
/// quarter of the load looking for room among them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
