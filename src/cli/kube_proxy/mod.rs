//! `portolan run` in the place of kube-proxy: its configuration file, and its flags as it takes
//! them.
//!
//! * `line`: Go's spelling of flags into clap's.
//! * `expand`: a command line with `--config` into one without, by kube-proxy's precedence.
//! * `accepted`: flags that are taken and not needed.
//!
//! The file is read once, here; what it says then is a command line like any other.

mod accepted;
mod expand;
mod line;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches};

use super::{Cli, Command};

pub(super) use accepted::AcceptedFlags;
pub(super) use expand::File;

/// kube-proxy's ways to be started for something else than running.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "In place of kube-proxy")]
pub(super) struct Start {
    /// Read kube-proxy's configuration file; its flags beside it are then ignored, as it does.
    /// When the file changes, end with an error, to be started again
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Write the effective configuration as kube-proxy's file, and end
    #[arg(long, value_name = "FILE")]
    pub write_config_to: Option<PathBuf>,

    /// Make the kernel settings that need privileges, and end
    #[arg(long)]
    pub init_only: bool,

    /// Remove what portolan or kube-proxy wrote, and end
    #[arg(long)]
    pub cleanup: bool,

    /// What --config said.
    #[arg(skip)]
    pub file: Option<File>,
}

impl Start {
    /// It ends before there is anything to follow.
    pub(super) fn ends_early(&self) -> bool {
        self.write_config_to.is_some() || self.init_only || self.cleanup
    }
}

/// Parses a command line; what `--config` names is read.
///
/// Ends the process with clap's message if it is no command line of portolan's, or asks for help.
#[must_use]
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Cli {
    let command = Cli::command();
    let args = line::normalised(args.into_iter().collect(), &command);
    let matches = command.get_matches_from(args);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Command::Run(run) = &cli.command else {
        return cli;
    };
    let (Some(path), Some(("run", given))) = (run.config_file(), matches.subcommand()) else {
        return cli;
    };
    let (args, file) = expand::expanded(path, given, matches.get_count("verbose"));
    let matches = Cli::command().get_matches_from(args);
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Command::Run(run) = &mut cli.command {
        run.set_file(file);
    }
    cli
}

#[cfg(test)]
mod tests;
