//! Connections that IPVS has, out of `/proc/thread-self/net/ip_vs_conn`.
//!
//! The counters of a real server do not tell a connection that carries data from a SYN that nobody
//! answered; this list does.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::IpvsError;
use crate::model::Protocol;
use crate::plan::ipvs::{Retired, ServerKey};

/// Where the list is, in the network namespace of the calling thread.
const PATH: &str = "/proc/thread-self/net/ip_vs_conn";
/// States of connections that nobody waits for: without an answer, or over
/// (`ip_vs_proto_tcp.c`, `ip_vs_proto_sctp.c`).
const IDLE: [&str; 15] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "SYNACK",
    "TIME_WAIT",
    "CLOSE",
    "LISTEN",
    "UDP",
    "ICMP",
    "INIT1",
    "INIT",
    "COOKIE_SENT",
    "COOKIE_REPLIED",
    "COOKIE_WAIT",
    "CLOSED",
];

/// Which of these real servers have connections that carry data.
///
/// # Errors
/// The list cannot be read.
pub(super) fn busy(among: &HashSet<Retired>) -> Result<HashSet<Retired>, IpvsError> {
    let failed = |source| IpvsError::Connections { path: PATH, source };
    let list = BufReader::new(File::open(PATH).map_err(failed)?);
    among_lines(list, among).map_err(failed)
}

fn among_lines(list: impl BufRead, among: &HashSet<Retired>) -> io::Result<HashSet<Retired>> {
    let mut busy = HashSet::new();
    for line in list.lines() {
        busy.extend(connection(&line?).filter(|real| among.contains(real)));
    }
    Ok(busy)
}

/// The real server of a line, if its connection carries data: protocol, client, virtual server and
/// real server with addresses and ports in hexadecimal, state.
fn connection(line: &str) -> Option<Retired> {
    let mut words = line.split_whitespace();
    let protocol = match words.next()? {
        "TCP" => Protocol::Tcp,
        "SCTP" => Protocol::Sctp,
        _ => return None,
    };
    let (_, client_port) = (words.next()?, words.next()?);
    let address = address(words.next()?)?;
    let port = u16::from_str_radix(words.next()?, 16).ok()?;
    let real = self::address(words.next()?)?;
    let real = SocketAddr::new(real, u16::from_str_radix(words.next()?, 16).ok()?);
    let state = words.next()?;
    // A template of persistence has no port of the client.
    if client_port == "0000" || IDLE.contains(&state) {
        return None;
    }
    let key = ServerKey {
        address,
        protocol,
        port,
    };
    Some((key, real))
}

/// `0A0A0101`, or `[fd00:0000:…:0001]`.
fn address(word: &str) -> Option<IpAddr> {
    if let Some(v6) = word.strip_prefix('[') {
        return v6.strip_suffix(']')?.parse().ok();
    }
    let v4 = u32::from_str_radix(word, 16).ok()?;
    Some(Ipv4Addr::from_bits(v4).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP C0A80A01 A5C2 0AE90A0A 0050 0AE94101 1F90 ESTABLISHED     899
TCP C0A80A01 A5C3 0AE90A0A 0050 0AE94102 1F90 SYN_RECV         59
TCP C0A80A01 0000 0AE90A0A 0050 0AE94103 1F90 NONE          10799
TCP C0A80A01 A5C4 0AE90A0A 0050 0AE94104 1F90 FIN_WAIT         59
UDP C0A80A01 A5C4 0AE90A0A 0050 0AE94105 1F90 UDP              59
TCP [fd00:0192:0168:0010:0000:0000:0000:0001] B000 [fd00:0010:0233:0000:0000:0000:0000:0a0a] 0050 [fd00:0010:0244:0065:0000:0000:0000:0001] 1F90 ESTABLISHED 899
";

    #[test]
    fn only_connections_that_carry_data_count() {
        let real = |address: &str, real: &str, protocol| {
            let address = address.parse().unwrap();
            let key = ServerKey {
                address,
                protocol,
                port: 80,
            };
            (key, SocketAddr::new(real.parse().unwrap(), 8080))
        };
        let all = (1..=6).map(|n| real("10.233.10.10", &format!("10.233.65.{n}"), Protocol::Tcp));
        let v6 = real("fd00:10:233::a0a", "fd00:10:244:65::1", Protocol::Tcp);
        let udp = real("10.233.10.10", "10.233.65.5", Protocol::Udp);
        let among = all.chain([v6, udp]).collect();
        let busy = among_lines(LIST.as_bytes(), &among).unwrap();
        let expected =
            [1, 4].map(|n| real("10.233.10.10", &format!("10.233.65.{n}"), Protocol::Tcp));
        assert_eq!(busy, expected.into_iter().chain([v6]).collect());
    }
}
