//! Kernel settings that the mode needs, and what they were before.
//!
//! What a setting was is written down in the table of the first family (set `settings`), so that
//! `cleanup` gives the node back as it was found, whoever runs it. What it may not touch
//! (`--ipvs-exclude-cidrs`) is written there too.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::config::{IpvsConfig, ProxyConfig};
use crate::kernel::ipvs::{IpvsError, IpvsKernel, Timeouts};
use crate::kernel::sysctl;
use crate::plan::nftables::TableState;
use crate::translate::ipvs::SETTINGS;

/// A setting by name, with slashes, and its value. Timeouts of IPVS are among them.
pub(super) type Settings = BTreeMap<String, i64>;

/// The first Linux whose `conn_reuse_mode` needs no help (k/k#81775, kernel commit f0a5e4d7a594).
const REUSE_IS_GOOD: (u32, u32) = (5, 9);

/// Names of timeouts among the settings; the last part is `ipvsadm`'s.
const TIMEOUTS: [&str; 3] = [
    "ipvs-timeout/tcp",
    "ipvs-timeout/tcpfin",
    "ipvs-timeout/udp",
];
/// What is before an address range that is not to be touched.
const EXCLUDED: &str = "excluded=";

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

/// The timeouts that are asked for, in seconds; 0 for those that stay.
#[must_use]
pub(super) fn timeouts(config: &IpvsConfig) -> Timeouts {
    let [tcp, tcp_fin, udp] = config.timeouts;
    Timeouts { tcp, tcp_fin, udp }
}

/// Adds what timeouts that differ are now, beside what is written down of earlier changes.
///
/// # Errors
/// The kernel does not say.
pub(super) fn timeouts_before(
    ipvs: &mut impl IpvsKernel,
    wanted: Timeouts,
    before: &mut Settings,
) -> Result<(), IpvsError> {
    if wanted == Timeouts::default() {
        return Ok(());
    }
    let now = ipvs.timeouts()?;
    let pairs = [
        (wanted.tcp, now.tcp),
        (wanted.tcp_fin, now.tcp_fin),
        (wanted.udp, now.udp),
    ];
    for (name, (wanted, now)) in TIMEOUTS.into_iter().zip(pairs) {
        if wanted != 0 && wanted != now {
            before.entry(name.to_owned()).or_insert(now.into());
        }
    }
    Ok(())
}

/// The timeouts among settings; 0 for those that were not changed.
#[must_use]
pub(super) fn timeouts_in(settings: &Settings) -> Timeouts {
    let value = |name: &str| {
        settings
            .get(name)
            .and_then(|value| u32::try_from(*value).ok())
    };
    let [tcp, tcp_fin, udp] = TIMEOUTS.map(|name| value(name).unwrap_or(0));
    Timeouts { tcp, tcp_fin, udp }
}

/// The settings that are no timeouts.
pub(super) fn sysctls_in(settings: &Settings) -> impl Iterator<Item = (&String, i64)> {
    let all = settings.iter().map(|(name, value)| (name, *value));
    all.filter(|(name, _)| !TIMEOUTS.contains(&name.as_str()))
}

/// What is written down: an entry each.
pub(super) fn record(before: &Settings, excluded: &[IpNet]) -> Vec<String> {
    let before = before.iter().map(|(name, value)| format!("{name}={value}"));
    let excluded = excluded.iter().map(|net| format!("{EXCLUDED}{net}"));
    before.chain(excluded).collect()
}

/// What a table that is in the kernel says of settings.
#[must_use]
pub(super) fn recorded(table: Option<&TableState>) -> Settings {
    let entry = |text: &str| {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    entries(table).filter_map(entry).collect()
}

/// What a table that is in the kernel says is not to be touched.
pub(super) fn excluded(table: Option<&TableState>) -> Vec<IpNet> {
    let net = |text: &str| text.strip_prefix(EXCLUDED)?.parse().ok();
    entries(table).filter_map(net).collect()
}

fn entries(table: Option<&TableState>) -> impl Iterator<Item = &str> {
    let set = table.and_then(|table| table.sets.get(SETTINGS));
    let elements = set.into_iter().flat_map(|set| set.elements.values());
    elements.filter_map(|element| element.comment.as_deref())
}
