//! The `portolan` program: parse the command line, run the verb, turn its end into an exit code.

use std::process::ExitCode;

use clap::Parser;
use portolan::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse()).into()
}
