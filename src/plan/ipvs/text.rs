//! Virtual servers as `ipvsadm-save -n` prints them and `ipvsadm-restore` reads them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::DEVICE;
use super::server::{Server, ServerKey, ServerSpec};
use crate::model::{BY_PORT, FALLBACK, IpFamily, Protocol};

/// `-t 10.96.0.1:443`.
#[must_use]
pub fn front(key: &ServerKey) -> String {
    let option = match key.protocol {
        Protocol::Tcp => "-t",
        Protocol::Udp => "-u",
        Protocol::Sctp => "--sctp-service",
    };
    format!("{option} {}", SocketAddr::new(key.address, key.port))
}

/// `-A -t 10.96.0.1:443 -s rr -p 10800`.
#[must_use]
pub fn server(key: &ServerKey, spec: &ServerSpec) -> String {
    let scheduler = &spec.scheduler;
    let mut line = format!("-A {} -s {}", front(key), scheduler.name);
    if let Some(seconds) = spec.persistence {
        // Writing to a String cannot fail.
        let _ = write!(line, " -p {seconds}");
    }
    let flags = [(FALLBACK, "fallback"), (BY_PORT, "port")].into_iter();
    let flags = flags.filter(|(bit, _)| scheduler.flags & bit != 0);
    let flags: Vec<_> = flags
        .map(|(_, word)| format!("{}-{word}", scheduler.name))
        .collect();
    if !flags.is_empty() {
        let _ = write!(line, " -b {}", flags.join(","));
    }
    line
}

/// `-a -t 10.96.0.1:443 -r 10.244.1.5:6443 -m -w 1`.
#[must_use]
pub fn real(key: &ServerKey, real: SocketAddr, weight: u32) -> String {
    format!("-a {} -r {real} -m -w {weight}", front(key))
}

/// `addr 10.96.0.1/32 dev kube-ipvs0`.
#[must_use]
pub fn address(address: IpAddr) -> String {
    let prefix = IpFamily::of(address).host_prefix();
    format!("addr {address}/{prefix} dev {DEVICE}")
}

/// All virtual servers with their real servers, in the order of their keys.
#[must_use]
pub fn save<'a>(servers: impl IntoIterator<Item = (&'a ServerKey, &'a Server)>) -> String {
    let servers: BTreeMap<_, _> = servers.into_iter().collect();
    let mut text = String::new();
    for (key, server) in servers {
        let _ = writeln!(text, "{}", self::server(key, &server.spec));
        for (socket, weight) in &server.reals {
            let _ = writeln!(text, "{}", real(key, *socket, *weight));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ipvs::Scheduler;

    #[test]
    fn lines_are_those_of_ipvsadm_save() {
        let key = |address: &str, protocol| ServerKey {
            address: address.parse().unwrap(),
            protocol,
            port: 80,
        };
        let server = |scheduler: &str, persistence| Server {
            spec: ServerSpec {
                scheduler: scheduler.parse::<Scheduler>().unwrap(),
                persistence,
            },
            reals: [("10.244.1.31:8080".parse().unwrap(), 1)].into(),
        };
        let servers = [
            (key("10.96.0.43", Protocol::Tcp), server("rr", Some(10_800))),
            (key("10.96.0.44", Protocol::Sctp), server("mh", None)),
        ];
        assert_eq!(
            save(servers.iter().map(|(key, server)| (key, server))),
            "-A -t 10.96.0.43:80 -s rr -p 10800\n\
             -a -t 10.96.0.43:80 -r 10.244.1.31:8080 -m -w 1\n\
             -A --sctp-service 10.96.0.44:80 -s mh -b mh-port\n\
             -a --sctp-service 10.96.0.44:80 -r 10.244.1.31:8080 -m -w 1\n"
        );
        assert_eq!(front(&key("fd00::1", Protocol::Udp)), "-u [fd00::1]:80");
    }
}
