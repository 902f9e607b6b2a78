//! nf_tables expressions: what a kernel rule is made of.
//!
//! The vocabulary is the kernel's (`include/uapi/linux/netfilter/nf_tables.h`, v6.1). Only the
//! expressions that portolan writes, or needs to recognise in rules that iptables wrote, are
//! spelled out; any other is kept as [`Expr::Other`], so that a foreign rule never compares equal
//! to one of ours and is never lost.

/// A register number, `enum nft_registers`: 0 is the verdict, 1 to 4 are 16 bytes wide, 8 to 23
/// are 4 bytes wide and overlap them.
pub type Register = u32;

/// The verdict register.
pub const REG_VERDICT: Register = 0;
/// The first data register, and the one iptables uses for nearly everything.
pub const REG_1: Register = 1;

/// Comparison of `cmp` and `range`, `enum nft_cmp_ops`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
}

/// Where `payload` reads, `enum nft_payload_bases`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadBase {
    /// Link layer.
    LinkLayer,
    /// Network header.
    Network,
    /// Transport header.
    Transport,
}

/// What a rule or a map element decides, `enum nft_verdicts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Let the packet pass this hook.
    Accept,
    /// Discard it.
    Drop,
    /// Leave the chain.
    Return,
    /// Go on in another chain and come back.
    Jump(Box<str>),
    /// Go on in another chain.
    Goto(Box<str>),
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// `meta`: load packet metadata. `key` is `enum nft_meta_keys` (3 mark, 6 iifname, 16 l4proto).
    Meta {
        /// What to load.
        key: u32,
        /// Where to.
        dreg: Register,
    },
    /// `payload`: load header bytes.
    Payload {
        /// Header.
        base: PayloadBase,
        /// First byte.
        offset: u32,
        /// Number of bytes.
        len: u32,
        /// Where to.
        dreg: Register,
    },
    /// `cmp`: compare a register, in network byte order.
    Cmp {
        /// What to compare.
        sreg: Register,
        /// How.
        op: CmpOp,
        /// With what.
        data: Box<[u8]>,
    },
    /// `range`: compare a register with an interval.
    Range {
        /// What to compare.
        sreg: Register,
        /// `Eq` for inside, `Neq` for outside.
        op: CmpOp,
        /// Lower end, inclusive.
        from: Box<[u8]>,
        /// Upper end, inclusive.
        to: Box<[u8]>,
    },
    /// `bitwise` in its boolean form: `(sreg & mask) ^ xor`.
    Bitwise {
        /// Operand.
        sreg: Register,
        /// Result.
        dreg: Register,
        /// And.
        mask: Box<[u8]>,
        /// Exclusive or.
        xor: Box<[u8]>,
    },
    /// `counter`. Its values are not part of a rule's meaning and are not kept.
    Counter,
    /// `immediate` into the verdict register.
    Verdict(Verdict),
    /// `match`: an xtables match through nft_compat.
    Match {
        /// Name, at most 28 bytes.
        name: Box<str>,
        /// Revision.
        rev: u32,
        /// The match's private structure, at its exact (`XT_ALIGN`ed) size.
        info: Box<[u8]>,
    },
    /// `target`: an xtables target through nft_compat.
    Target {
        /// Name, at most 28 bytes.
        name: Box<str>,
        /// Revision.
        rev: u32,
        /// The target's private structure, at its exact (`XT_ALIGN`ed) size.
        info: Box<[u8]>,
    },
    /// `meta` the other way: store a register in packet metadata. `key` as in [`Expr::Meta`].
    MetaSet {
        /// What to store to.
        key: u32,
        /// What from.
        sreg: Register,
    },
    /// `ct`: load connection-tracking data. `key` is `enum nft_ct_keys` (0 state, 2 status,
    /// 12 proto-dst, 19 source address, 20 destination address of IPv4, 21 and 22 of IPv6).
    Ct {
        /// What to load.
        key: u32,
        /// 0 for the original direction, 1 for replies, where the key has directions.
        direction: Option<u8>,
        /// Where to.
        dreg: Register,
    },
    /// `lookup` in a named set or map.
    Lookup {
        /// Its name.
        set: Box<str>,
        /// Key.
        sreg: Register,
        /// Where a map's data goes; `None` for a set. A miss ends the rule.
        dreg: Option<Register>,
        /// Match where the key is *not* in the set.
        not: bool,
    },
    /// `numgen random`: `offset` plus a random number below `modulus`, in host byte order.
    Random {
        /// How many numbers.
        modulus: u32,
        /// The first of them.
        offset: u32,
        /// Where to.
        dreg: Register,
    },
    /// `nat` as destination NAT.
    Dnat {
        /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
        family: u32,
        /// The address.
        address: Register,
        /// The port.
        port: Register,
        /// `NF_NAT_RANGE_*`: 3 for address and port.
        flags: u32,
    },
    /// `masq`: source NAT to the address of the outgoing interface.
    Masquerade {
        /// `NF_NAT_RANGE_*`: 16 for fully random ports.
        flags: u32,
    },
    /// `reject`.
    Reject {
        /// `enum nft_reject_types`: 0 an ICMP unreachable, 1 a TCP reset.
        kind: u32,
        /// ICMP code: 3 port unreachable, 4 in ICMPv6.
        code: u8,
    },
    /// `fib`: look an address up in the routing tables.
    Fib {
        /// `NFTA_FIB_F_*`: 1 source address, 2 destination address.
        flags: u32,
        /// `enum nft_fib_result`: 3 the address type (2 `RTN_LOCAL`).
        result: u32,
        /// Where to.
        dreg: Register,
    },
    /// `dynset`: add, refresh or delete an element from the packet path.
    Dynset {
        /// The set or map.
        set: Box<str>,
        /// `enum nft_dynset_ops`: 0 add, 1 update, 2 delete.
        op: u32,
        /// Key.
        key: Register,
        /// Data, for a map.
        data: Option<Register>,
        /// Milliseconds until the element goes; 0 for the set's own.
        timeout_ms: u64,
    },
    /// `notrack`: connection tracking does not look at the packet.
    Notrack,
    /// An expression this vocabulary does not spell out.
    Other {
        /// Its kernel name.
        name: Box<str>,
        /// `NFTA_EXPR_DATA` as the kernel sent it.
        data: Box<[u8]>,
    },
}

/// A rule's content: everything of it but its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RuleBody {
    /// Expressions in order.
    pub exprs: Vec<Expr>,
    /// `NFTA_RULE_COMPAT`: protocol number and flags, needed where an xtables match or target
    /// checks the protocol.
    pub compat: Option<(u32, u32)>,
    /// `NFTA_RULE_USERDATA`, where nft keeps comments.
    pub userdata: Box<[u8]>,
}
