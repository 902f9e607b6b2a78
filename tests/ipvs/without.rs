//! A kernel without IPVS.

use portolan::kernel::ipvs::{IpvsError, IpvsSocket};

use crate::support::program::portolan_in;
use crate::support::skip::{Lack, skip};
use crate::support::{Namespace, Service, manifests};

#[test]
fn what_the_kernel_lacks_is_told_in_one_sentence_before_anything_is_changed() {
    if !matches!(IpvsSocket::open(), Err(IpvsError::Unavailable)) {
        skip(
            Lack::Kernel,
            "this kernel has IPVS, or the test no privilege",
        );
        return;
    }
    let node = Namespace::new();
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("services.yaml");
    let service =
        Service::new("web", "10.233.10.10").annotation("portolan.dev/ipvs-scheduler", "mh,mh-port");
    std::fs::write(&manifest, manifests(&[service])).unwrap();
    let before = node.run("nft", &["list", "ruleset"]);
    let state = directory.path().join("state");
    let (manifest, state) = (manifest.to_str().unwrap(), state.to_str().unwrap());
    for verb in ["apply", "diff", "verify", "run"] {
        let args = [verb, "--mode", "ipvs", "-f", manifest, "--state-dir", state];
        let run = portolan_in(&node, &args).exits(1);
        let last = run.stderr.lines().last().unwrap();
        assert!(last.contains("ip_vs (CONFIG_IP_VS)"), "{last}");
        assert!(last.contains("linux-modules-extra"), "{last}");
        assert!(last.contains("nothing was changed"), "{last}");
        if verb != "run" {
            assert!(last.contains("ip_vs_mh (CONFIG_IP_VS_MH)"), "{last}");
        }
    }
    assert_eq!(node.run("nft", &["list", "ruleset"]), before);
    assert_eq!(node.run("ip", &["-o", "link", "show", "type", "dummy"]), "");
    // What needs no kernel still works.
    let args = [
        "render",
        "--mode",
        "ipvs",
        "-f",
        manifest,
        "--state-dir",
        state,
    ];
    let run = portolan_in(&node, &args).exits(0);
    assert_eq!(run.stdout, "-A -t 10.233.10.10:80 -s mh -b mh-port\n");
}
