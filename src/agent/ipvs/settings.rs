//! Kernel settings that the mode needs, and what they were before.
//!
//! What a setting was is written down in the table of the first family (set `settings`), so that
//! `cleanup` gives the node back as it was found, whoever runs it.

use std::collections::BTreeMap;

use crate::config::ProxyConfig;
use crate::kernel::sysctl;
use crate::plan::nftables::TableState;
use crate::translate::ipvs::SETTINGS;

/// A setting by name, with slashes, and its value.
pub(super) type Settings = BTreeMap<String, i64>;

/// The first Linux whose `conn_reuse_mode` needs no help (k/k#81775, kernel commit f0a5e4d7a594).
const REUSE_IS_GOOD: (u32, u32) = (5, 9);

/// The settings of kube-proxy, in its order (`pkg/proxy/ipvs/proxier.go`).
#[must_use]
pub(super) fn wanted(config: &ProxyConfig) -> Vec<(&'static str, i64)> {
    let mut wanted = vec![
        ("net/ipv4/vs/conntrack", 1),
        ("net/ipv4/vs/expire_nodest_conn", 1),
        ("net/ipv4/vs/expire_quiescent_template", 1),
        ("net/ipv4/ip_forward", 1),
    ];
    if kernel_version().is_some_and(|version| version < REUSE_IS_GOOD) {
        wanted.insert(1, ("net/ipv4/vs/conn_reuse_mode", 0));
    }
    if config.ipvs.strict_arp {
        wanted.push(("net/ipv4/conf/all/arp_ignore", 1));
        wanted.push(("net/ipv4/conf/all/arp_announce", 2));
    }
    wanted
}

fn kernel_version() -> Option<(u32, u32)> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(['.', '-']);
    let mut number = || numbers.next()?.trim().parse().ok();
    Some((number()?, number()?))
}

/// What settings that differ are now, beside what is written down of earlier changes.
#[must_use]
pub(super) fn before(wanted: &[(&'static str, i64)], recorded: &Settings) -> Settings {
    let mut before = recorded.clone();
    for (name, value) in wanted {
        if let Ok(now) = sysctl::get(name)
            && now != *value
        {
            before.entry((*name).to_owned()).or_insert(now);
        }
    }
    before
}

/// What a table that is in the kernel says of settings.
#[must_use]
pub(super) fn recorded(table: Option<&TableState>) -> Settings {
    let set = table.and_then(|table| table.sets.get(SETTINGS));
    let elements = set.into_iter().flat_map(|set| set.elements.values());
    let entry = |text: &str| {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    elements
        .filter_map(|element| entry(element.comment.as_deref()?))
        .collect()
}
