//! `portolan man [VERB]`: manual pages out of the same definition as `--help`.

use std::io::Write;

use clap::CommandFactory;

use super::{Cli, Exit, Failure};

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Verb to describe [default: the whole program]
    verb: Option<String>,
}

/// Prints the page to standard output.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    command.build();
    let page = match &args.verb {
        None => command,
        Some(verb) => command.find_subcommand(verb).cloned().ok_or_else(|| {
            Failure::bad_input(anyhow::anyhow!(
                "there is no verb \"{verb}\"; see portolan --help"
            ))
        })?,
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff)?;
    std::io::stdout().lock().write_all(&roff)?;
    Ok(Exit::Done)
}
