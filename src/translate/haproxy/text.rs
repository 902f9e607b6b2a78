//! The configuration as HAProxy reads it (2.4 and newer).

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::balancer::{Backend, Balancer, Bind, Check};

/// A connection that a node does not accept at once goes to another after half of the retries;
/// with checks of that many failures a node is out after one interval.
const DEFAULTS: &str = "\
defaults
    log global
    mode tcp
    option dontlognull
    # A node that does not answer is not the client's affair: the next one is tried.
    option redispatch 1
    retries 3
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout check 1s
    timeout http-request 10s
    timeout http-keep-alive 1m
";

/// Writes the configuration. It has no `maxconn`: HAProxy makes it what its limit of open files allows,
/// and does not start with more.
#[must_use]
pub fn text(balancer: &Balancer, check_interval: Duration) -> String {
    let mut out = String::from(
        "# Written by portolan haproxy: changes are lost with the next one.\n\nglobal\n    log \
         stderr format short daemon\n    # What is under way may end for so long \
         after a reload.\n    hard-stop-after 1h\n\n",
    );
    out.push_str(DEFAULTS);
    let millis = check_interval.as_millis();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "    # One failed check takes a node out, two good ones bring it back.\n    \
         default-server inter {millis}ms fastinter {millis}ms fall 1 rise 2"
    );
    for note in &balancer.notes {
        let _ = writeln!(out, "\n# {note}");
    }
    for backend in &balancer.backends {
        let _ = write_backend(&mut out, backend);
    }
    out
}

fn write_backend(out: &mut String, backend: &Backend) -> std::fmt::Result {
    let Backend {
        name,
        port,
        binds,
        http,
        check,
        servers,
    } = backend;
    writeln!(out, "\n# {port}\nfrontend {name}")?;
    for bind in binds {
        writeln!(out, "    bind {}", bind_text(*bind))?;
    }
    let mode = if *http { "http" } else { "tcp" };
    writeln!(out, "    mode {mode}")?;
    if *http {
        writeln!(out, "    option httplog\n    option forwardfor")?;
    } else {
        writeln!(out, "    option tcplog")?;
    }
    writeln!(out, "    default_backend {name}\n")?;
    writeln!(
        out,
        "backend {name}\n    mode {mode}\n    balance roundrobin"
    )?;
    let at = match check {
        Check::Connect => String::new(),
        Check::Http(port) => {
            writeln!(
                out,
                "    # Only nodes with endpoints of their own.\n    option httpchk GET /healthz\n    \
                 http-check expect status 200"
            )?;
            format!(" port {port}")
        }
    };
    for server in servers {
        writeln!(
            out,
            "    server {} {} check{at}",
            server.name, server.address
        )?;
    }
    Ok(())
}

fn bind_text(Bind { address }: Bind) -> String {
    let port = address.port();
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("*:{port}"),
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) if ip.is_unspecified() => format!(":::{port} v6only"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
