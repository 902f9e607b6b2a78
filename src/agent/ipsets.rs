//! The ipsets that kube-proxy leaves behind in its IPVS mode: named, and destroyed when its rules,
//! which refer to them, are gone.
//!
//! Source of the names: kube-proxy 1.36, `pkg/proxy/ipvs/ipset.go` and `getIPSetName` beside it.
//! Other programs have sets that begin with `KUBE-` too (kube-router), so only these count.

use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::Socket;
use crate::kernel::ipset::{self, IpsetError};
use crate::source::with_causes;

/// What is after `KUBE-` or, of IPv6, `KUBE-6-`.
const NAMES: [&str; 17] = [
    "LOOP-BACK",
    "CLUSTER-IP",
    "EXTERNAL-IP",
    "EXTERNAL-IP-LOCAL",
    "LOAD-BALANCER",
    "LOAD-BALANCER-LOCAL",
    "LOAD-BALANCER-FW",
    "LOAD-BALANCER-SOURCE-IP",
    "LOAD-BALANCER-SOURCE-CIDR",
    "NODE-PORT-TCP",
    "NODE-PORT-LOCAL-TCP",
    "NODE-PORT-UDP",
    "NODE-PORT-LOCAL-UDP",
    "NODE-PORT-SCTP-HASH",
    "NODE-PORT-LOCAL-SCTP-HASH",
    "HEALTH-CHECK-NODE-PORT",
    "IPVS-IPS",
];
/// `IPSET_MAXNAMELEN` without the closing NUL: kube-proxy cuts longer names off.
const NAME_MAX: usize = 31;
/// The kernel lets go of the sets of deleted rules a moment after the transaction.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Those that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeProxySets(Vec<String>);

impl KubeProxySets {
    /// Finds them. That they cannot be listed is told, and stands in nobody's way.
    #[must_use]
    pub fn find() -> Self {
        let socket = Socket::open().map_err(IpsetError::List);
        match socket.and_then(|mut socket| ipset::names(&mut socket)) {
            Ok(names) => Self(
                names
                    .into_iter()
                    .filter(|name| is_kube_proxys(name))
                    .collect(),
            ),
            Err(error) => {
                tracing::warn!("{}", with_causes(&error));
                Self::default()
            }
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `17 ipsets of kube-proxy's IPVS mode`; `None` if there are none.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        (!self.is_empty()).then(|| format!("{} ipsets of kube-proxy's IPVS mode", self.len()))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Destroys them. One that stays is told, with the command that destroys it later.
    pub fn destroy(self) {
        let end = Instant::now() + PATIENCE;
        for name in &self.0 {
            if let Err(reason) = destroy(name, end) {
                tracing::warn!(
                    "ipset {name} of kube-proxy's IPVS mode stays: {reason}; \
                     `ipset destroy {name}` destroys it"
                );
            }
        }
    }
}

/// Destroys one, and says why it stays.
fn destroy(name: &str, end: Instant) -> Result<(), String> {
    let mut socket = Socket::open().map_err(|error| error.to_string())?;
    loop {
        match ipset::destroy(&mut socket, name) {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() < end => thread::sleep(PAUSE),
            Ok(false) => return Err("a rule still refers to it".to_owned()),
            Err(error) => return Err(with_causes(&error)),
        }
    }
}

fn is_kube_proxys(name: &str) -> bool {
    let made = |prefix: &str, rest: &str| {
        let mut made = format!("{prefix}{rest}");
        made.truncate(NAME_MAX);
        made
    };
    NAMES
        .iter()
        .any(|rest| name == made("KUBE-", rest) || name == made("KUBE-6-", rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_kube_router_and_of_users_are_not_taken_for_kube_proxys() {
        for name in [
            "KUBE-CLUSTER-IP",
            "KUBE-6-IPVS-IPS",
            "KUBE-6-LOAD-BALANCER-SOURCE-CID",
        ] {
            assert!(is_kube_proxys(name), "{name}");
        }
        for name in [
            "KUBE-SRC-2HVAFSQVDS7XW5SA",
            "KUBE-DST-X",
            "KUBE-",
            "cluster-ip",
        ] {
            assert!(!is_kube_proxys(name), "{name}");
        }
    }
}
