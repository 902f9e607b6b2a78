//! The configuration as HAProxy reads it (2.4 and newer).

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::balancer::{Backend, Balancer, Bind, Check};

/// How long a node may take to accept a connection: half a check's interval, within these.
const CONNECT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// What is the same for every cluster.
const DEFAULTS: &str = "\
defaults
    log global
    mode tcp
    option dontlognull
    timeout client 1h
    timeout server 1h
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
    // Writing to a String cannot fail.
    let _ = write_patience(&mut out, check_interval);
    for note in &balancer.notes {
        let _ = writeln!(out, "\n# {note}");
    }
    for backend in &balancer.backends {
        let _ = write_backend(&mut out, backend);
    }
    out
}

/// What becomes of a connection that a node does not accept, and when a node is out.
///
/// Redispatching is what keeps errors from clients, and needs no check to have failed before. The checks
/// only save the time of trying. Theirs go to a pod, too, and a failed node takes pods with it: a
/// check by way of a node that is well may meet one of those. So one failure alone means little.
fn write_patience(out: &mut String, check_interval: Duration) -> std::fmt::Result {
    let [least, most] = CONNECT;
    let connect = (check_interval / 2).clamp(least, most).as_millis();
    let every = check_interval.as_millis();
    let again = (check_interval / 4).as_millis().max(1);
    writeln!(
        out,
        "    # A node that does not answer is not the client's affair: the next one is tried.\n    \
         option redispatch 1\n    retries 7\n    timeout connect {connect}ms\n    \
         timeout check {connect}ms"
    )?;
    writeln!(
        out,
        "    # Three failed checks take a node out, the second and third soon after the first; two \
         good ones\n    # bring it back.\n    \
         default-server inter {every}ms fastinter {again}ms fall 3 rise 2"
    )
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
