//! `portolan lab status`.

use std::io::{self, Write};

use clap::ValueEnum;

use super::{Exit, Failure, Name, table};
use crate::lab::look::Status;

/// `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Everything, for machines
    Json,
}

/// Arguments of `lab status`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    name: Name,

    /// Output format [default: tables and a picture]
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let status = args.name.open()?.status();
    let mut out = io::stdout().lock();
    match args.output {
        Some(Format::Json) => {
            serde_json::to_writer_pretty(&mut out, &status)?;
            writeln!(out)?;
        }
        None => print(&status, &mut out)?,
    }
    Ok(Exit::Done)
}

/// The picture, then pods and Services.
pub(super) fn print(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let nodes = status.nodes.len();
    writeln!(
        out,
        "lab {}: {nodes} node{}, {} mode\n",
        status.name,
        if nodes == 1 { "" } else { "s" },
        status.mode
    )?;
    writeln!(out, "{}", status.picture())?;
    let pods = status.pods.iter().map(|pod| {
        let ports = pod.tcp.iter().map(|port| format!("{port}/TCP"));
        let ports = ports.chain(pod.udp.iter().map(|port| format!("{port}/UDP")));
        vec![
            pod.namespace.clone(),
            pod.name.clone(),
            pod.word().to_owned(),
            pod.address.to_string(),
            pod.node.clone(),
            ports.collect::<Vec<_>>().join(","),
            pod.owner.clone(),
        ]
    });
    let headings = ["NAMESPACE", "POD", "STATUS", "IP", "NODE", "LISTENS", "OF"];
    table::write(out, &headings, pods)?;
    writeln!(out)?;
    let services = status.services.iter().map(|service| {
        vec![
            service.namespace.clone(),
            service.name.clone(),
            service.service_type.clone(),
            service.address.clone(),
            service.ports.clone(),
            match service.service_type.as_str() {
                "ExternalName" => String::new(),
                _ => service.ready_endpoints.to_string(),
            },
        ]
    });
    let headings = [
        "NAMESPACE",
        "SERVICE",
        "TYPE",
        "ADDRESS",
        "PORT(S)",
        "READY",
    ];
    table::write(out, &headings, services)
}
