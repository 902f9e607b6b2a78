use super::super::super::IpFamilyPolicy::{self, PreferDualStack, RequireDualStack, SingleStack};
use super::*;

fn with(policy: Option<IpFamilyPolicy>, families: &[IpFamily], ips: &[&str]) -> Service {
    Service {
        ip_family_policy: policy,
        ip_families: families.to_vec(),
        cluster_ips: ips.iter().map(|text| ip(text)).collect(),
        ..service("web")
    }
}

fn resolved(cidrs: &str, service: Service) -> (Option<IpFamilyPolicy>, Vec<IpFamily>) {
    let cluster = Cluster::new(cidrs, [service]).done();
    let web = cluster.get("web");
    let families: Vec<_> = web.cluster_ips.iter().map(|ip| IpFamily::of(*ip)).collect();
    if !web.headless {
        assert_eq!(families, web.ip_families, "each family has its address");
    }
    (web.ip_family_policy, web.ip_families.clone())
}

const ONE: &str = "10.233.0.0/18";
const TWO: &str = "10.233.0.0/18,fd00:10:233::/112";
const TWO_V6_FIRST: &str = "fd00:10:233::/112,10.233.0.0/18";

#[test]
fn families_follow_policy_and_ranges() {
    let table: [(&str, Service, IpFamilyPolicy, &[IpFamily]); 14] = [
        (ONE, with(None, &[], &[]), SingleStack, &[V4]),
        (TWO, with(None, &[], &[]), SingleStack, &[V4]),
        (TWO_V6_FIRST, with(None, &[], &[]), SingleStack, &[V6]),
        (TWO, with(None, &[V6], &[]), SingleStack, &[V6]),
        (
            TWO,
            with(None, &[], &["fd00:10:233::5"]),
            SingleStack,
            &[V6],
        ),
        (
            ONE,
            with(Some(PreferDualStack), &[], &[]),
            PreferDualStack,
            &[V4],
        ),
        (
            TWO,
            with(Some(PreferDualStack), &[], &[]),
            PreferDualStack,
            &[V4, V6],
        ),
        (
            TWO_V6_FIRST,
            with(Some(PreferDualStack), &[], &[]),
            PreferDualStack,
            &[V6, V4],
        ),
        (
            TWO,
            with(Some(PreferDualStack), &[V6], &[]),
            PreferDualStack,
            &[V6, V4],
        ),
        (
            TWO,
            with(Some(RequireDualStack), &[], &[]),
            RequireDualStack,
            &[V4, V6],
        ),
        (
            TWO,
            with(Some(RequireDualStack), &[], &["fd00:10:233::5"]),
            RequireDualStack,
            &[V6, V4],
        ),
        (
            TWO,
            with(Some(RequireDualStack), &[V6, V4], &["fd00:10:233::5"]),
            RequireDualStack,
            &[V6, V4],
        ),
        // A second range that portolan was not told of.
        (
            ONE,
            with(
                Some(RequireDualStack),
                &[V4, V6],
                &["10.233.0.9", "fd00::9"],
            ),
            RequireDualStack,
            &[V4, V6],
        ),
        (
            ONE,
            with(None, &[V4, V6], &["10.233.0.9", "fd00::9"]),
            RequireDualStack,
            &[V4, V6],
        ),
    ];
    for (index, (cidrs, service, policy, families)) in table.into_iter().enumerate() {
        assert_eq!(
            resolved(cidrs, service),
            (Some(policy), families.to_vec()),
            "row {index}"
        );
    }
}

#[test]
fn headless_without_selector_has_both_families_whatever_the_ranges() {
    let headless = |policy, families: &[IpFamily]| Service {
        headless: true,
        selector: BTreeMap::new(),
        ..with(policy, families, &[])
    };
    let table: [(&str, Service, IpFamilyPolicy, &[IpFamily]); 5] = [
        (ONE, headless(None, &[]), RequireDualStack, &[V4, V6]),
        (
            TWO_V6_FIRST,
            headless(None, &[]),
            RequireDualStack,
            &[V6, V4],
        ),
        (ONE, headless(None, &[V6]), RequireDualStack, &[V6, V4]),
        (ONE, headless(Some(SingleStack), &[V6]), SingleStack, &[V6]),
        (
            ONE,
            headless(Some(PreferDualStack), &[]),
            PreferDualStack,
            &[V4, V6],
        ),
    ];
    for (cidrs, service, policy, families) in table {
        assert_eq!(resolved(cidrs, service), (Some(policy), families.to_vec()));
    }
}

#[test]
fn headless_with_selector_follows_the_ranges() {
    let headless = |policy| Service {
        headless: true,
        ..with(policy, &[], &[])
    };
    assert_eq!(resolved(ONE, headless(None)).1, [V4]);
    assert_eq!(resolved(TWO, headless(Some(PreferDualStack))).1, [V4, V6]);
}

#[test]
fn impossible_families_are_refused_in_the_api_servers_words() {
    let table: [(&str, Service, &[&str]); 6] = [
        (
            ONE,
            with(None, &[V6], &[]),
            &[
                "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster; give its range with --service-cidr",
            ],
        ),
        (
            ONE,
            with(Some(PreferDualStack), &[V4, V6], &[]),
            &[
                "spec.ipFamilies[1]: Invalid value: \"IPv6\": not configured on this cluster; give its range with --service-cidr",
            ],
        ),
        (
            ONE,
            with(Some(RequireDualStack), &[], &[]),
            &[
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services; give its range with --service-cidr (a second one, of the other family)",
            ],
        ),
        (
            TWO,
            with(
                Some(SingleStack),
                &[V4, V6],
                &["10.233.0.9", "fd00:10:233::9"],
            ),
            &[
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            ],
        ),
        (
            TWO,
            with(None, &[V4, V6], &[]),
            &[
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            ],
        ),
        (
            "",
            with(None, &[], &[]),
            &[
                "spec.ipFamilies[0]: Invalid value: \"IPv4\": not configured on this cluster; give its range with --service-cidr",
            ],
        ),
    ];
    for (cidrs, service, reasons) in table {
        let expected: Vec<_> = reasons.iter().map(|r| format!("web: {r}")).collect();
        assert_eq!(Cluster::new(cidrs, [service]).refused(), expected);
    }
}
