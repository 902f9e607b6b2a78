//! `portolan lab exec`.

use super::{Exit, Failure, Name, failure};
use crate::lab::enter;

/// Arguments of `lab exec`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The command sees the network, the host name and the /etc/resolv.conf of that \
                             machine or pod, and otherwise the files of this one. Its exit code is \
                             given back."
)]
pub(super) struct Args {
    #[command(flatten)]
    name: Name,

    /// Where: n1, client, balancer, a pod, deploy/NAME
    target: String,

    /// What to run
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    // The lab is not locked while the command runs.
    let view = args.name.open()?.view(&args.target).map_err(failure)?;
    Err(failure(enter::replace(&view, &args.command)))
}
