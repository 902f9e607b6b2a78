//! `portolan lab`: an embedded cluster to live what Services do.

mod act;
mod curl;
mod exec;
mod serve;
mod status;
mod up;

use clap::Subcommand;

use super::{Exit, Failure, report, table};
use crate::lab::{DEFAULT_NAME, Lab, LabError};

/// Arguments of `lab`.
#[derive(clap::Args, Debug)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "A lab is made of network namespaces and lives until `lab down`; the host's own \
                  network is not touched. Its files and logs are in /run/portolan/lab/NAME."
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Make a cluster of nodes, pods, a client and a balancer, and run the agent on every node
    Up(up::Args),
    /// Remove a lab and everything of it, also after a crash
    Down(act::DownArgs),
    /// Show nodes, pods and Services, and draw them
    Status(status::Args),
    /// Run a command on a node, in a pod, or on the client
    Exec(exec::Args),
    /// Connect many times, and show who answered
    Curl(curl::Args),
    /// Change the number of pods of a Deployment or StatefulSet
    Scale(act::ScaleArgs),
    /// Take a node away as if its power failed
    Fail(act::FailArgs),
    /// Bring failed nodes and dead agents and pods back
    Heal(act::HealArgs),
    /// Make a pod ready or not ready, terminate or delete it
    Pod(act::PodArgs),
    /// Start all agents anew in another mode
    Mode(act::ModeArgs),
    /// Show the log of a node's agent
    Logs(act::LogsArgs),
    /// List labs
    List,
    /// Answer in a pod
    #[command(hide = true)]
    ServePod(serve::PodArgs),
    /// Answer for the world outside
    #[command(hide = true)]
    ServeOutside(serve::OutsideArgs),
}

/// Which lab is meant.
#[derive(clap::Args, Clone, Debug)]
struct Name {
    /// Name of the lab
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME, env = "PORTOLAN_LAB")]
    name: String,
}

impl Name {
    fn open(&self) -> Result<Lab, Failure> {
        Lab::open(&self.name).map_err(failure)
    }
}

/// Does what was asked of a lab.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Up(args) => up::run(args),
        Verb::Down(args) => args.run(),
        Verb::Status(args) => status::run(args),
        Verb::Exec(args) => exec::run(args),
        Verb::Curl(args) => curl::run(args),
        Verb::Scale(args) => args.run(),
        Verb::Fail(args) => args.run(),
        Verb::Heal(args) => args.run(),
        Verb::Pod(args) => args.run(),
        Verb::Mode(args) => args.run(),
        Verb::Logs(args) => args.run(),
        Verb::List => act::list(),
        Verb::ServePod(args) => args.run(),
        Verb::ServeOutside(args) => args.run(),
    }
}

/// What is wrong with what was asked is bad input; what the machine does not do is not.
fn failure(error: LabError) -> Failure {
    match error {
        LabError::Manifests(error) => super::args::load_failure(error),
        LabError::Asked(_) | LabError::Workloads(_) => Failure::bad_input(error),
        LabError::Failed(error) => error.into(),
    }
}
