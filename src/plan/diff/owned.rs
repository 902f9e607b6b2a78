//! Which tables and chains there are, and which are ours.

use crate::model::IpFamily;
use crate::plan::op::{ChainRef, Hook, TableRef};
use crate::plan::xtables::rule::XtTable;

/// All tables that may hold something of ours.
pub(in crate::plan) const TABLES: [XtTable; 3] = [XtTable::Filter, XtTable::Nat, XtTable::Mangle];

/// Prefixes of kube-proxy's chains for one service or endpoint, in table `nat`
/// (`pkg/proxy/iptables/proxier.go`, v1.36: the chains its stale-chain scan looks at).
const SERVICE_PREFIXES: [&str; 5] = [
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-SEP-",
    "KUBE-FW-",
    "KUBE-EXT-",
];

/// kubelet shares this chain: it is filled only when there is something to fill in.
pub(super) const FIREWALL_CHAIN: &str = "KUBE-FIREWALL";

/// Whether a chain belongs to one service or endpoint, so that it goes when that goes.
pub(super) fn is_service_chain(table: XtTable, name: &str) -> bool {
    table == XtTable::Nat && SERVICE_PREFIXES.iter().any(|p| name.starts_with(p))
}

/// Whether the chain's rules are ours to set. kube-proxy leaves `KUBE-FIREWALL` as kubelet made it
/// unless it has its own rule to put there.
pub(super) fn owns_content(name: &str, desired_rules: usize) -> bool {
    name != FIREWALL_CHAIN || desired_rules > 0
}

/// The table's place in arrays by table.
pub(super) fn index(table: XtTable) -> usize {
    match table {
        XtTable::Filter => 0,
        XtTable::Nat => 1,
        XtTable::Mangle => 2,
    }
}

/// A table of a family.
pub(super) fn table_ref(family: IpFamily, table: XtTable) -> TableRef {
    TableRef {
        family,
        name: table.name().into(),
    }
}

/// A chain of a family.
pub(super) fn chain_ref(
    family: IpFamily,
    table: XtTable,
    name: impl Into<std::sync::Arc<str>>,
) -> ChainRef {
    ChainRef {
        table: table_ref(family, table),
        name: name.into(),
    }
}

/// The hook of a built-in chain as iptables-nft makes it (`iptables/nft.c`, 1.8.9; priorities of
/// `netfilter_ipv4.h`). `None` if the table has no such chain.
pub(in crate::plan) fn builtin_hook(table: XtTable, chain: &str) -> Option<Hook> {
    let hook = match chain {
        "PREROUTING" => 0,
        "INPUT" => 1,
        "FORWARD" => 2,
        "OUTPUT" => 3,
        "POSTROUTING" => 4,
        _ => return None,
    };
    let (chain_type, priority) = match (table, chain) {
        (XtTable::Filter, "INPUT" | "FORWARD" | "OUTPUT") => ("filter", 0),
        // Destinations are translated before routing, sources after it.
        (XtTable::Nat, "PREROUTING" | "OUTPUT") => ("nat", -100),
        (XtTable::Nat, "INPUT" | "POSTROUTING") => ("nat", 100),
        (XtTable::Mangle, "OUTPUT") => ("route", -150),
        (XtTable::Mangle, _) => ("filter", -150),
        _ => return None,
    };
    Some(Hook {
        chain_type,
        hook,
        priority,
    })
}
