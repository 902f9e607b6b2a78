//! xtables matches and targets as the byte structures that iptables 1.8.9 hands to the kernel.

use portolan::plan::expr::{CmpOp, Expr, PayloadBase, REG_1, Verdict};

/// A `match` with its private structure padded as `XT_ALIGN` does.
pub fn xt_match(name: &str, rev: u32, info: Vec<u8>) -> Expr {
    Expr::Match {
        name: name.into(),
        rev,
        info: aligned(info),
    }
}

/// A `target`, likewise.
pub fn xt_target(name: &str, rev: u32, info: Vec<u8>) -> Expr {
    Expr::Target {
        name: name.into(),
        rev,
        info: aligned(info),
    }
}

fn aligned(mut info: Vec<u8>) -> Box<[u8]> {
    info.resize(info.len().next_multiple_of(8), 0);
    info.into()
}

fn put(info: &mut [u8], at: usize, bytes: &[u8]) {
    info[at..at + bytes.len()].copy_from_slice(bytes);
}

/// `meta l4proto PROTOCOL`.
pub fn protocol(number: u8) -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: 16,
            dreg: REG_1,
        },
        cmp(&[number]),
    ]
}

pub fn cmp(data: &[u8]) -> Expr {
    Expr::Cmp {
        sreg: REG_1,
        op: CmpOp::Eq,
        data: data.into(),
    }
}

/// `-d ADDRESS`, all bits.
pub fn destination(address: &[u8]) -> Vec<Expr> {
    let offset = if address.len() == 4 { 16 } else { 24 };
    vec![
        Expr::Payload {
            base: PayloadBase::Network,
            offset,
            len: u32::try_from(address.len()).unwrap(),
            dreg: REG_1,
        },
        cmp(address),
    ]
}

/// `--dport PORT`, as nf_tables says it.
pub fn dport(port: u16) -> Vec<Expr> {
    vec![
        Expr::Payload {
            base: PayloadBase::Transport,
            offset: 2,
            len: 2,
            dreg: REG_1,
        },
        cmp(&port.to_be_bytes()),
    ]
}

/// `-m mark --mark VALUE/VALUE`.
pub fn mark(value: u32) -> Vec<Expr> {
    vec![
        Expr::Meta {
            key: 3,
            dreg: REG_1,
        },
        Expr::Bitwise {
            sreg: REG_1,
            dreg: REG_1,
            mask: value.to_ne_bytes().into(),
            xor: [0; 4].into(),
        },
        cmp(&value.to_ne_bytes()),
    ]
}

pub fn comment(text: &str) -> Expr {
    let mut info = vec![0; 256];
    put(&mut info, 0, text.as_bytes());
    xt_match("comment", 0, info)
}

pub fn statistic(threshold: u32) -> Expr {
    let mut info = vec![0; 24];
    put(&mut info, 4, &threshold.to_ne_bytes());
    xt_match("statistic", 0, info)
}

/// `--rcheck --seconds 10800 --reap` (`check_set` 1 | 32) or `--set` (2).
pub fn recent(seconds: u32, check_set: u8, list: &str) -> Expr {
    let mut info = vec![0; 228];
    put(&mut info, 0, &seconds.to_ne_bytes());
    put(&mut info, 8, &[check_set]);
    put(&mut info, 10, list.as_bytes());
    put(&mut info, 212, &[0xff; 16]);
    xt_match("recent", 1, info)
}

pub fn destination_is_local() -> Expr {
    let mut info = vec![0; 8];
    put(&mut info, 2, &4u16.to_ne_bytes());
    xt_match("addrtype", 1, info)
}

pub fn conntrack(states: u16) -> Expr {
    let mut info = vec![0; 164];
    put(&mut info, 146, &1u16.to_ne_bytes());
    put(&mut info, 150, &states.to_ne_bytes());
    xt_match("conntrack", 3, info)
}

pub fn tcp() -> Expr {
    xt_match(
        "tcp",
        0,
        vec![0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
    )
}

pub fn udp() -> Expr {
    xt_match("udp", 0, vec![0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0])
}

pub fn sctp(dport: u16) -> Expr {
    let mut info = vec![0; 292];
    put(&mut info, 0, &dport.to_ne_bytes());
    put(&mut info, 2, &dport.to_ne_bytes());
    // flag_info[]: no chunk type asked for.
    for at in [268, 271, 274, 277] {
        put(&mut info, at, &[0xff]);
    }
    // XT_SCTP_DEST_PORTS
    put(&mut info, 284, &2u32.to_ne_bytes());
    xt_match("sctp", 0, info)
}

/// Revisions 0 and 1 have the same layout; iptables 1.8.9 writes 1.
pub fn nfacct(rev: u32, name: &str) -> Expr {
    let mut info = vec![0; 40];
    put(&mut info, 0, name.as_bytes());
    xt_match("nfacct", rev, info)
}

pub fn set_mark(value: u32) -> Expr {
    let mut info = value.to_ne_bytes().to_vec();
    info.extend(value.to_ne_bytes());
    xt_target("MARK", 2, info)
}

pub fn masquerade(v6: bool) -> Expr {
    let mut info = vec![0; if v6 { 40 } else { 20 }];
    if !v6 {
        put(&mut info, 0, &1u32.to_ne_bytes());
    }
    xt_target("MASQUERADE", 0, info)
}

pub fn reject(v6: bool) -> Expr {
    // IPT_ICMP_PORT_UNREACHABLE 3, IP6T_ICMP6_PORT_UNREACH 4.
    xt_target("REJECT", 0, vec![if v6 { 4 } else { 3 }, 0, 0, 0])
}

pub fn dnat(address: &[u8], port: u16) -> Expr {
    let mut info = vec![0; 44];
    put(&mut info, 0, &3u32.to_ne_bytes());
    put(&mut info, 4, address);
    put(&mut info, 20, address);
    put(&mut info, 36, &port.to_be_bytes());
    put(&mut info, 38, &port.to_be_bytes());
    xt_target("DNAT", 2, info)
}

pub fn verdict(verdict: Verdict) -> Expr {
    Expr::Verdict(verdict)
}
