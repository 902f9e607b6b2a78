//! A node under test: portolan in IPVS mode, and what `ipvsadm` and others show.

use std::collections::BTreeSet;

use portolan::kernel::ipvs::IpvsSocket;

use crate::support::program::portolan_in;
use crate::support::skip::{Lack, skip};
use crate::support::{Namespace, Run, Service, Testbed};

/// A testbed, if this kernel has IPVS.
pub(crate) fn testbed(pods: u8, far_pods: u8) -> Option<Testbed> {
    (!lacks_ipvs()).then(|| Testbed::with_pods_and_far_pods(pods, far_pods))
}

/// Whether this kernel has no IPVS, which is said then.
pub(crate) fn lacks_ipvs() -> bool {
    let lacks = IpvsSocket::open().is_err();
    if lacks {
        skip(
            Lack::Kernel,
            "IPVS: not in this kernel; scripts/vm/suite runs this under one that has it",
        );
    }
    lacks
}

impl Testbed {
    /// Runs a verb of the IPVS mode on the node.
    pub(crate) fn ipvs(&self, verb: &str, services: &[Service], more: &[&str]) -> Run {
        let manifest = self.write(services);
        let state = self.directory.path().join("state");
        let mut args = vec![verb, "--mode", "ipvs", "--node-name", "n0"];
        args.extend(["--cluster-cidr", crate::support::program::CLUSTER_CIDR]);
        args.extend(["--service-cidr", crate::support::program::SERVICE_CIDR]);
        args.extend(["--state-dir", state.to_str().unwrap()]);
        args.extend(["-f", manifest.to_str().unwrap()]);
        args.extend(more);
        portolan_in(&self.node.namespace, &args)
    }

    /// `portolan apply`, which must succeed.
    #[track_caller]
    pub(crate) fn ipvs_apply(&self, services: &[Service], more: &[&str]) -> Run {
        self.ipvs("apply", services, more).exits(0)
    }

    /// `portolan cleanup`, which must succeed.
    #[track_caller]
    pub(crate) fn ipvs_cleanup(&self) -> Run {
        portolan_in(&self.node.namespace, &["cleanup"]).exits(0)
    }
}

/// `ipvsadm-save -n`, a line each, without order.
pub(crate) fn saved(node: &Namespace) -> BTreeSet<String> {
    let text = node.run("ipvsadm-save", &["-n"]);
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// Everything that cleanup has to leave as it was. Settings that come with a scheduler's module are
/// not among it.
pub(crate) fn everything(node: &Namespace) -> Vec<String> {
    let sysctls = "net.ipv4.ip_forward net.ipv4.conf.all.arp_ignore \
                   net.ipv4.conf.all.arp_announce";
    let script = format!(
        "ipvsadm-save -n; ipvsadm -l --timeout; ip -o addr; ip -o link; nft list ruleset; \
         sysctl {sysctls}; sysctl -a 2>/dev/null | grep net.ipv4.vs. | \
         grep -v lblcr*_expiration"
    );
    let text = node.run("sh", &["-c", &script]);
    text.lines().map(str::to_owned).collect()
}
