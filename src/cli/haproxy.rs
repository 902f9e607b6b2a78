//! `portolan haproxy`: the configuration of an HAProxy in front of the nodes.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use super::args::{self, InputArgs};
use super::{Exit, Failure};
use crate::agent::cluster::StateAccess;
use crate::agent::haproxy::{Checked, reload};
use crate::config::ProxyFlags;
use crate::config::duration;
use crate::translate::haproxy::{HaproxyOptions, ServiceName, balancer, text};

/// Arguments of `haproxy`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Services to balance: NAME or NAMESPACE/NAME [default: all of type LoadBalancer]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,

    #[command(flatten)]
    input: InputArgs,

    /// A node and an address of it, in place of the manifests' Node objects; repeatable
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = node)]
    node: Vec<(Arc<str>, IpAddr)>,

    /// Service whose connections are HTTP: requests are balanced, X-Forwarded-For is set;
    /// repeatable; all of them without a name
    #[arg(long, value_name = "SERVICE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    http: Vec<String>,

    /// Address, and port, that a Service is listened for at [default: all addresses, the Service's
    /// port]; repeatable
    #[arg(long, value_name = "SERVICE=ADDRESS[:PORT]", value_parser = bind)]
    bind: Vec<(ServiceName, IpAddr, Option<u16>)>,

    /// How often nodes are checked
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    check_interval: Duration,

    /// Write to this file, once haproxy -c has taken it, instead of printing
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Have the running HAProxy take the file up, if it changed; no connection is lost
    #[arg(long, requires = "output")]
    reload: bool,

    /// Pidfile of the HAProxy, which runs as a master with workers (-W)
    #[arg(long, value_name = "FILE", default_value = "/run/haproxy.pid")]
    pidfile: PathBuf,

    /// The HAProxy that checks the file
    #[arg(long, value_name = "PROGRAM", default_value = "haproxy")]
    haproxy: PathBuf,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Prints the configuration, or puts it in place.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args::proxy_config(&args.rules)?;
    let options = args.options()?;
    let cluster = args.input.load(&config, StateAccess::ReadOnly)?;
    let made = balancer(&cluster.snapshot, &options).map_err(Failure::bad_input)?;
    let mut stderr = anstream::stderr().lock();
    for note in &made.notes {
        writeln!(stderr, "note: {note}")?;
    }
    let text = text(&made, options.check_interval);
    let Some(path) = &args.output else {
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(Exit::Done);
    };
    let present = std::fs::read_to_string(path).ok();
    if present.as_ref() == Some(&text) {
        writeln!(io::stdout(), "{} unchanged", path.display())?;
        return Ok(Exit::Done);
    }
    Checked::new(&text, path, &args.haproxy)?.install()?;
    writeln!(io::stdout(), "{} written", path.display())?;
    if args.reload {
        reload(&args.pidfile)?;
        writeln!(io::stdout(), "haproxy reloaded")?;
    }
    Ok(Exit::Done)
}

impl Args {
    fn options(&self) -> Result<HaproxyOptions, Failure> {
        let names = |texts: &[String]| texts.iter().map(|text| ServiceName::parse(text)).collect();
        if self.check_interval < Duration::from_millis(1) {
            let wrong = anyhow!("--check-interval: must be at least 1ms");
            return Err(Failure::bad_input(wrong));
        }
        Ok(HaproxyOptions {
            services: names(&self.services),
            nodes: self.node.clone(),
            http: (!self.http.iter().any(String::is_empty)).then(|| names(&self.http)),
            binds: self.bind.clone(),
            check_interval: self.check_interval,
        })
    }
}

fn node(text: &str) -> Result<(Arc<str>, IpAddr), String> {
    let wrong = || "not a node such as n1=192.168.10.100".to_owned();
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(wrong());
    }
    Ok((name.into(), address.parse().map_err(|_| wrong())?))
}

fn bind(text: &str) -> Result<(ServiceName, IpAddr, Option<u16>), String> {
    let wrong = || "not a Service and an address, such as web=192.0.2.1:8080".to_owned();
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    let name = ServiceName::parse(name);
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Ok((name, address.ip(), Some(address.port())));
    }
    Ok((name, address.parse().map_err(|_| wrong())?, None))
}
