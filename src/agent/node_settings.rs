//! Settings of the node beside rules, made once at the start: the connection table's limit and
//! timeouts, and this process's place in the order in which the kernel ends processes.
//!
//! What cannot be set is told and left: rules matter more. In a network namespace other than the
//! first, the kernel lets nobody change the limit.

use std::fs;
use std::thread;

use crate::config::NodeFlags;
use crate::kernel::sysctl::{self, SysctlError};

const CONNTRACK_MAX: &str = "net/netfilter/nf_conntrack_max";
/// Buckets of the connection table.
const HASH_SIZE: &str = "/sys/module/nf_conntrack/parameters/hashsize";

/// Makes the settings, in the network namespace of the calling thread; writes only what differs.
pub fn apply(flags: &NodeFlags) {
    if let Some(limit) = flags.conntrack_max(cpus())
        && set(CONNTRACK_MAX, limit)
    {
        grow_buckets(limit / 4);
    }
    for (name, value) in flags.sysctls() {
        set(name, value);
    }
}

/// Sets this process's place. Needs `CAP_SYS_RESOURCE` to be ended later than before.
pub fn protect(flags: &NodeFlags) {
    let adjustment = flags.oom_score_adj.to_string();
    let path = "/proc/self/oom_score_adj";
    let present = fs::read_to_string(path).unwrap_or_default();
    if present.trim() != adjustment
        && let Err(error) = fs::write(path, &adjustment)
    {
        tracing::info!("cannot set {path} to {adjustment}: {error}");
    }
}

/// Whether the setting has the value now.
fn set(name: &str, value: i64) -> bool {
    match sysctl::set(name, value) {
        Ok(changed) => {
            if changed {
                tracing::info!("sysctl {} = {value}", name.replace('/', "."));
            }
            true
        }
        Err(error @ SysctlError::Missing { .. }) => {
            tracing::debug!("{error}");
            false
        }
        Err(error) => {
            tracing::info!("{:#}", anyhow::Error::from(error));
            false
        }
    }
}

/// More buckets for more entries, never fewer.
fn grow_buckets(wanted: i64) {
    let present = fs::read_to_string(HASH_SIZE).ok();
    let present = present.and_then(|text| text.trim().parse::<i64>().ok());
    if present.is_some_and(|present| present < wanted)
        && let Err(error) = fs::write(HASH_SIZE, wanted.to_string())
    {
        tracing::info!("cannot set {HASH_SIZE} to {wanted}: {error}");
    }
}

/// CPUs that are online, whichever of them this process may use.
fn cpus() -> usize {
    let online = fs::read_to_string("/sys/devices/system/cpu/online");
    let counted = online.ok().and_then(|list| count(list.trim()));
    counted.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// How many numbers a list such as `0-3,6` has.
fn count(list: &str) -> Option<usize> {
    list.split(',')
        .map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.parse::<usize>().ok()?, to.parse::<usize>().ok()?);
            Some((to + 1).saturating_sub(from))
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_counted_from_the_kernels_list() {
        let table = [
            ("0", Some(1)),
            ("0-1", Some(2)),
            ("0-3,6,8-9", Some(7)),
            ("x", None),
        ];
        for (list, expected) in table {
            assert_eq!(count(list), expected, "{list}");
        }
    }
}
