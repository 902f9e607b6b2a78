//! Rules as iptables words them.
//!
//! Covers what kube-proxy's iptables mode writes, no more: a rule beyond this vocabulary is
//! foreign and stays [`Decoded::Foreign`](super::decode::Decoded).

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{IpFamily, Protocol};

/// A table of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum XtTable {
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
    /// `mangle`, where only kube-proxy's canary lives.
    Mangle,
}

impl XtTable {
    /// The table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Mangle => "mangle",
        }
    }
}

/// A condition that `!` can turn round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Maybe<T> {
    /// Written with `!`.
    pub not: bool,
    /// The value compared with.
    pub value: T,
}

impl<T> Maybe<T> {
    /// The plain condition.
    pub fn is(value: T) -> Self {
        Self { not: false, value }
    }

    /// The negated condition.
    pub fn is_not(value: T) -> Self {
        Self { not: true, value }
    }
}

/// `-i NAME` or `-i PREFIX+`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceMatch {
    /// Name or prefix, without the `+`.
    pub name: Arc<str>,
    /// Compare only the prefix.
    pub prefix: bool,
}

/// Connection states of `-m conntrack --ctstate`, as bits of `XT_CONNTRACK_STATE_*`
/// (`include/uapi/linux/netfilter/xt_conntrack.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CtStates(pub u16);

impl CtStates {
    /// Not identifiable.
    pub const INVALID: Self = Self(1);
    /// Seen in both directions.
    pub const ESTABLISHED: Self = Self(1 << 1);
    /// Expected by another connection.
    pub const RELATED: Self = Self(1 << 2);
    /// First packet.
    pub const NEW: Self = Self(1 << 3);
    /// Source was translated.
    pub const SNAT: Self = Self(1 << 6);
    /// Destination was translated.
    pub const DNAT: Self = Self(1 << 7);

    /// The union.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `-m recent`: what kube-proxy builds client affinity from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecentOp {
    /// `--set`: remember the source address.
    Set,
    /// `--rcheck --seconds N --reap`: seen within the last N seconds; forget older ones.
    CheckAndReap {
        /// The time-out.
        seconds: u32,
    },
}

/// A match, in the place where the command line has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum XtMatch {
    /// `-m comment --comment TEXT`, at most 255 bytes.
    Comment(Arc<str>),
    /// `-m tcp|udp|sctp [--dport PORT]`; the protocol is the rule's own.
    Ports {
        /// Destination port; `None` prints a bare `-m tcp`.
        dport: Option<u16>,
    },
    /// `-m mark [!] --mark VALUE/MASK`.
    Mark {
        /// Compared bits.
        value: u32,
        /// Which bits.
        mask: u32,
        /// Written with `!`.
        not: bool,
    },
    /// `-m conntrack [!] --ctstate STATES`.
    Conntrack(Maybe<CtStates>),
    /// `-m addrtype --src-type LOCAL`.
    SourceIsLocal,
    /// `-m addrtype --dst-type LOCAL`.
    DestinationIsLocal,
    /// `-m statistic --mode random --probability P`, P stored as the kernel does: `round(p·2³¹)`.
    Random {
        /// Probability times 2³¹.
        threshold: u32,
    },
    /// `-m recent … --name NAME --mask (all ones) --rsource`.
    Recent {
        /// What to do.
        op: RecentOp,
        /// List name: the endpoint's chain.
        list: Arc<str>,
    },
    /// `-m nfacct --nfacct-name NAME`: counts packets in a named object.
    Nfacct(Arc<str>),
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum XtTarget {
    /// `-j CHAIN`.
    Jump(Arc<str>),
    /// `-j RETURN`.
    Return,
    /// `-j ACCEPT`.
    Accept,
    /// `-j DROP`.
    Drop,
    /// `-j REJECT --reject-with icmp-port-unreachable` (`icmp6-…` in IPv6).
    Reject,
    /// `-j MARK --set-xmark VALUE/MASK`.
    Mark {
        /// Bits to toggle after clearing `mask`.
        value: u32,
        /// Bits to clear.
        mask: u32,
    },
    /// `-j MASQUERADE [--random-fully]`.
    Masquerade {
        /// With a fully random source port.
        random_fully: bool,
    },
    /// `-j DNAT --to-destination ADDRESS:PORT`.
    Dnat(SocketAddr),
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct XtRule {
    /// `-s`.
    pub source: Option<Maybe<IpNet>>,
    /// `-d`.
    pub destination: Option<Maybe<IpNet>>,
    /// `-i`.
    pub in_interface: Option<Maybe<InterfaceMatch>>,
    /// `-p`.
    pub protocol: Option<Protocol>,
    /// `-m …`, in order.
    pub matches: Vec<XtMatch>,
    /// `-j …`; a rule without target only counts.
    pub target: Option<XtTarget>,
}

/// A user chain with all its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XtChain {
    /// Its table.
    pub table: XtTable,
    /// Its name, at most 28 characters.
    pub name: Arc<str>,
    /// Its rules in order.
    pub rules: Vec<XtRule>,
}

/// A jump that must be present somewhere in a built-in chain; if it is not, it is put at the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XtJump {
    /// Table.
    pub table: XtTable,
    /// Built-in chain: `INPUT`, `PREROUTING`, …
    pub chain: &'static str,
    /// The rule, whose target is a jump.
    pub rule: XtRule,
}

/// A desired ruleset of one family, given chain by chain so that it never has to be in memory as a
/// whole.
pub trait XtRuleset {
    /// Its family.
    fn family(&self) -> IpFamily;

    /// Jumps from built-in chains, in the order kube-proxy ensures them (each is put at the head,
    /// so the last one comes first).
    fn jumps(&self) -> Vec<XtJump>;

    /// Visits every chain once. Chains come before the chains that jump to them: endpoint chains
    /// first, `KUBE-SERVICES` and the other dispatch chains last.
    fn for_each_chain(&self, visit: &mut dyn FnMut(XtChain));
}
