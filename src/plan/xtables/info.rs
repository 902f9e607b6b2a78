//! Private structures of xtables matches and targets, byte by byte.
//!
//! Owns the layouts of `include/uapi/linux/netfilter/xt_*.h` and `nf_nat.h` (v6.1) on 64-bit
//! machines, at the sizes iptables 1.8.9 sends: rounded up to 8 bytes (`XT_ALIGN`). Numbers are in
//! host byte order unless said. Only builders live here; [`super::decode`] reads a structure by
//! building the one it believes it is and comparing, so that no byte is left unread.

use std::net::{IpAddr, SocketAddr};

use super::rule::{CtStates, Maybe, RecentOp};
use crate::model::{IpFamily, Protocol};

/// An xtables extension as nft_compat names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension {
    /// Name.
    pub(super) name: &'static str,
    /// Revision.
    pub(super) rev: u32,
    /// Private structure.
    pub(super) info: Box<[u8]>,
}

/// `XT_MAX_COMMENT_LEN`, with the closing NUL.
pub(super) const COMMENT_LEN: usize = 256;
/// `XT_RECENT_NAME_LEN`, with the closing NUL.
pub(super) const RECENT_NAME_LEN: usize = 200;
/// Where `xt_recent_mtinfo_v1` has its name.
pub(super) const RECENT_NAME_AT: usize = 10;
/// `NFACCT_NAME_MAX`, with the closing NUL.
pub(super) const NFACCT_NAME_LEN: usize = 32;

/// The mask iptables sets without being asked: all of `nf_inet_addr`.
pub(super) const RECENT_WHOLE_MASK: usize = 16;
/// `XT_RECENT_CHECK`.
pub(super) const RECENT_CHECK: u8 = 1;
/// `XT_RECENT_SET`.
pub(super) const RECENT_SET: u8 = 1 << 1;
/// `XT_RECENT_REAP`.
pub(super) const RECENT_REAP: u8 = 1 << 5;

/// `XT_ADDRTYPE_LOCAL`.
const ADDRTYPE_LOCAL: u16 = 1 << 2;
/// `XT_CONNTRACK_STATE`.
const CONNTRACK_STATE: u16 = 1;
/// `XT_SCTP_DEST_PORTS`.
const SCTP_DEST_PORTS: u32 = 1 << 1;
/// `NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED`.
const NAT_TO_ADDRESS_AND_PORT: u32 = 1 | 1 << 1;
/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
const NAT_RANDOM_FULLY: u32 = 1 << 4;
/// `IPT_ICMP_PORT_UNREACHABLE` (`ipt_REJECT.h`).
const REJECT_PORT_V4: u32 = 3;
/// `IP6T_ICMP6_PORT_UNREACH` (`ip6t_REJECT.h`).
const REJECT_PORT_V6: u32 = 4;

/// A zeroed structure being filled in.
struct Blob(Box<[u8]>);

impl Blob {
    fn new(size: usize) -> Self {
        Self(vec![0; size].into_boxed_slice())
    }

    /// Writes bytes at an offset; what lies beyond the structure is dropped.
    fn bytes(mut self, at: usize, value: &[u8]) -> Self {
        for (to, from) in self.0.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
        self
    }

    fn u8(self, at: usize, value: u8) -> Self {
        self.bytes(at, &[value])
    }

    fn u16(self, at: usize, value: u16) -> Self {
        self.bytes(at, &value.to_ne_bytes())
    }

    fn u32(self, at: usize, value: u32) -> Self {
        self.bytes(at, &value.to_ne_bytes())
    }

    /// A NUL-terminated text in a field of `len` bytes; a longer text is cut at a character.
    fn text(self, at: usize, len: usize, text: &str) -> Self {
        self.bytes(at, cut(text, len - 1).as_bytes())
    }

    fn named(self, name: &'static str, rev: u32) -> Extension {
        Extension {
            name,
            rev,
            info: self.0,
        }
    }
}

/// The longest prefix of at most `max` bytes that ends at a character.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// `xt_comment_info`.
pub(super) fn comment(text: &str) -> Extension {
    Blob::new(COMMENT_LEN)
        .text(0, COMMENT_LEN, text)
        .named("comment", 0)
}

/// A port match of a protocol with one destination port, or none at all.
pub(super) fn ports(protocol: Protocol, dport: Option<u16>) -> Extension {
    match protocol {
        Protocol::Tcp => tcp(dport),
        Protocol::Udp => udp(dport),
        Protocol::Sctp => sctp(dport, true),
    }
}

/// `xt_tcp`: source ports at 0, destination ports at 4, then options and flags.
fn tcp(dport: Option<u16>) -> Extension {
    port_ranges(dport).named("tcp", 0)
}

/// `xt_udp`: source ports at 0, destination ports at 4, then flags.
fn udp(dport: Option<u16>) -> Extension {
    port_ranges(dport).named("udp", 0)
}

fn port_ranges(dport: Option<u16>) -> Blob {
    Blob::new(16)
        .u16(2, u16::MAX)
        .u16(4, dport.unwrap_or(0))
        .u16(6, dport.unwrap_or(u16::MAX))
}

/// `xt_sctp_info`: destination ports at 0, flags at 284. Without the flag no port is compared.
/// `iptables_marks` sets the four `flag_info[].chunktype` to -1 as iptables does; the kernel looks
/// at them only when chunk types are matched.
pub(super) fn sctp(dport: Option<u16>, iptables_marks: bool) -> Extension {
    let mut blob = Blob::new(296);
    if iptables_marks {
        for at in [268, 271, 274, 277] {
            blob = blob.u8(at, u8::MAX);
        }
    }
    if let Some(port) = dport {
        blob = blob.u16(0, port).u16(2, port).u32(284, SCTP_DEST_PORTS);
    }
    blob.named("sctp", 0)
}

/// `xt_mark_mtinfo1`.
pub(super) fn mark_match(value: u32, mask: u32, not: bool) -> Extension {
    Blob::new(16)
        .u32(0, value)
        .u32(4, mask)
        .u8(8, not.into())
        .named("mark", 1)
}

/// `xt_conntrack_mtinfo3`: what is matched at 146, what is inverted at 148, states at 150.
pub(super) fn conntrack(states: &Maybe<CtStates>) -> Extension {
    let inverted = if states.not { CONNTRACK_STATE } else { 0 };
    Blob::new(168)
        .u16(146, CONNTRACK_STATE)
        .u16(148, inverted)
        .u16(150, states.value.0)
        .named("conntrack", 3)
}

/// `xt_addrtype_info_v1`: source types at 0.
pub(super) fn source_is_local() -> Extension {
    Blob::new(8).u16(0, ADDRTYPE_LOCAL).named("addrtype", 1)
}

/// `xt_addrtype_info_v1`: destination types at 2.
pub(super) fn destination_is_local() -> Extension {
    Blob::new(8).u16(2, ADDRTYPE_LOCAL).named("addrtype", 1)
}

/// `xt_statistic_info` in random mode: probability at 4. `count` at 12 is unused in this mode;
/// iptables leaves the probability there too.
pub(super) fn random(threshold: u32, count: u32) -> Extension {
    Blob::new(24)
        .u32(4, threshold)
        .u32(12, count)
        .named("statistic", 0)
}

/// `xt_recent_mtinfo_v1`: seconds at 0, what to do at 8, name at 10, mask of all ones at 212.
///
/// `iptables-restore` of what `iptables-save` printed sets only the mask's first `mask` bytes,
/// those of an address; the kernel compares no others.
pub(super) fn recent(op: RecentOp, list: &str, mask: usize) -> Extension {
    let (seconds, check) = match op {
        RecentOp::Set => (0, RECENT_SET),
        RecentOp::CheckAndReap { seconds } => (seconds, RECENT_CHECK | RECENT_REAP),
    };
    Blob::new(232)
        .u32(0, seconds)
        .u8(8, check)
        .text(RECENT_NAME_AT, RECENT_NAME_LEN, list)
        .bytes(212, [u8::MAX; 16].get(..mask).unwrap_or_default())
        .named("recent", 1)
}

/// `xt_nfacct_match_info_v1` (and `xt_nfacct_match_info`, rev 0: the same on 64-bit machines).
pub(super) fn nfacct(name: &str, rev: u32) -> Extension {
    Blob::new(40)
        .text(0, NFACCT_NAME_LEN, name)
        .named("nfacct", rev)
}

/// `xt_mark_tginfo2`.
pub(super) fn set_mark(value: u32, mask: u32) -> Extension {
    Blob::new(8).u32(0, value).u32(4, mask).named("MARK", 2)
}

/// `nf_nat_ipv4_multi_range_compat` with one range, or `nf_nat_range` in IPv6.
pub(super) fn masquerade(random_fully: bool, family: IpFamily) -> Extension {
    let flags = if random_fully { NAT_RANDOM_FULLY } else { 0 };
    match family {
        IpFamily::V4 => Blob::new(24).u32(0, 1).u32(4, flags),
        IpFamily::V6 => Blob::new(40).u32(0, flags),
    }
    .named("MASQUERADE", 0)
}

/// `nf_nat_range2`: flags at 0, lowest and highest address at 4 and 20, lowest and highest port at
/// 36 and 38 in network byte order.
pub(super) fn dnat(to: SocketAddr) -> Extension {
    let blob = Blob::new(48).u32(0, NAT_TO_ADDRESS_AND_PORT);
    let port = to.port().to_be_bytes();
    let blob = match to.ip() {
        IpAddr::V4(a) => blob.bytes(4, &a.octets()).bytes(20, &a.octets()),
        IpAddr::V6(a) => blob.bytes(4, &a.octets()).bytes(20, &a.octets()),
    };
    blob.bytes(36, &port).bytes(38, &port).named("DNAT", 2)
}

/// `ipt_reject_info`, `ip6t_reject_info`: port unreachable.
pub(super) fn reject(family: IpFamily) -> Extension {
    let with = match family {
        IpFamily::V4 => REJECT_PORT_V4,
        IpFamily::V6 => REJECT_PORT_V6,
    };
    Blob::new(8).u32(0, with).named("REJECT", 0)
}
