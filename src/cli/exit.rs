//! How a run ends: exit codes, and failures on their way to standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

/// Exit codes, part of the contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or no difference.
    Done,
    /// Failed.
    Failed,
    /// Bad usage or bad input; nothing was touched.
    BadInput,
    /// `diff` or `verify` found a difference.
    Different,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
            Exit::Different => 3,
        })
    }
}

/// Why a verb could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// What was asked or given is wrong: exit code 2.
    BadInput(anyhow::Error),
    /// It was right, and did not work: exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    /// A mistake in what was asked or given.
    pub fn bad_input(error: impl Into<anyhow::Error>) -> Self {
        Self::BadInput(error.into())
    }
}

/// Anything that fails without saying otherwise is a failure, not bad input.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Reports how a verb ended and gives its exit code.
pub(super) fn finish(outcome: Result<Exit, Failure>) -> Exit {
    let (error, exit) = match outcome {
        Ok(exit) => return exit,
        Err(Failure::BadInput(error)) => (error, Exit::BadInput),
        Err(Failure::Failed(error)) => (error, Exit::Failed),
    };
    // `portolan render | head` ends early by wish of the reader: Unix calls that success.
    if is_broken_pipe(&error) {
        return Exit::Done;
    }
    let red: Style = AnsiColor::Red.on_default().bold();
    // Nothing is left to report to if standard error is closed.
    for line in format!("{error:#}").lines() {
        let _ = writeln!(anstream::stderr(), "{red}error:{red:#} {line}");
    }
    exit
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
