//! Small rulesets of kube-proxy's shape.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "test code, outside of #[test] functions"
)]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use portolan::model::{IpFamily, Protocol};
use portolan::plan::xtables::rule::{
    Maybe, XtChain, XtJump, XtMatch, XtRule, XtRuleset, XtTable, XtTarget,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

/// A service: a number and the numbers of its endpoints.
pub(crate) type Service = (u16, Vec<u8>);

/// A ruleset of these services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules(pub(crate) Vec<Service>);

/// Any small ruleset, in any order of services.
pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    (
        btree_set(0u16..6, 0..5),
        vec(btree_set(0u8..7, 0..5), 6),
        any::<u64>(),
    )
        .prop_map(
            |(services, endpoints, seed): (BTreeSet<u16>, Vec<BTreeSet<u8>>, u64)| {
                let mut services: Vec<Service> = services
                    .into_iter()
                    .map(|s| (s, endpoints[usize::from(s)].iter().copied().collect()))
                    .collect();
                services.sort_by_key(|(s, _)| (u64::from(*s) + 1).wrapping_mul(seed | 1) >> 7);
                Rules(services)
            },
        )
}

fn jump(comment: Option<String>, chain: &str) -> XtRule {
    XtRule {
        matches: comment
            .map(|c| XtMatch::Comment(c.into()))
            .into_iter()
            .collect(),
        target: Some(XtTarget::Jump(chain.into())),
        ..XtRule::default()
    }
}

/// The name of a service's chain.
pub(crate) fn service_chain(service: u16) -> String {
    format!("KUBE-SVC-{service:016}")
}

/// The name of an endpoint's chain.
pub(crate) fn endpoint_chain(service: u16, endpoint: u8) -> String {
    format!("KUBE-SEP-{service:08}{endpoint:08}")
}

/// `-d IP -p tcp -m comment … -m tcp --dport 80` to the service, or a refusal.
pub(crate) fn dispatch(service: u16, has_endpoints: bool) -> XtRule {
    let [high, low] = service.to_be_bytes();
    let address = std::net::IpAddr::from(Ipv4Addr::new(10, 233, high, low));
    let comment = format!("ns/s{service}:web cluster IP");
    let target = if has_endpoints {
        XtTarget::Jump(service_chain(service).into())
    } else {
        XtTarget::Reject
    };
    XtRule {
        destination: Some(Maybe::is(address.into())),
        protocol: Some(Protocol::Tcp),
        matches: vec![
            XtMatch::Comment(comment.into()),
            XtMatch::Ports { dport: Some(80) },
        ],
        target: Some(target),
        ..XtRule::default()
    }
}

fn endpoint_rules(service: u16, endpoint: u8) -> Vec<XtRule> {
    let address = Ipv4Addr::new(10, 1, 0, endpoint);
    let comment = format!("ns/s{service}:web");
    let mut masquerade = jump(Some(comment.clone()), "KUBE-MARK-MASQ");
    masquerade.source = Some(Maybe::is(std::net::IpAddr::from(address).into()));
    let dnat = XtRule {
        protocol: Some(Protocol::Tcp),
        matches: vec![
            XtMatch::Comment(comment.into()),
            XtMatch::Ports { dport: None },
        ],
        target: Some(XtTarget::Dnat(SocketAddr::new(address.into(), 8080))),
        ..XtRule::default()
    };
    vec![masquerade, dnat]
}

fn service_rules(service: u16, endpoints: &[u8]) -> Vec<XtRule> {
    let left = (1..=endpoints.len()).rev();
    let rules = endpoints.iter().zip(left).map(|(endpoint, left)| {
        let comment = format!("ns/s{service}:web -> 10.1.0.{endpoint}:8080");
        let mut rule = jump(Some(comment), &endpoint_chain(service, *endpoint));
        if left > 1 {
            let threshold = (1u32 << 31) / u32::try_from(left).unwrap();
            rule.matches.push(XtMatch::Random { threshold });
        }
        rule
    });
    rules.collect()
}

impl XtRuleset for Rules {
    fn family(&self) -> IpFamily {
        IpFamily::V4
    }

    fn jumps(&self) -> Vec<XtJump> {
        let jump = |table, chain, comment: &str, to| XtJump {
            table,
            chain,
            rule: jump(Some(comment.to_owned()), to),
        };
        vec![
            jump(XtTable::Filter, "INPUT", "node ports", "KUBE-NODEPORTS"),
            jump(XtTable::Filter, "INPUT", "portals", "KUBE-SERVICES"),
            jump(XtTable::Nat, "PREROUTING", "portals", "KUBE-SERVICES"),
            jump(XtTable::Nat, "OUTPUT", "portals", "KUBE-SERVICES"),
        ]
    }

    fn for_each_chain(&self, visit: &mut dyn FnMut(XtChain)) {
        let mut chain = |table, name: &str, rules| {
            visit(XtChain {
                table,
                name: name.into(),
                rules,
            });
        };
        let mark = XtTarget::Mark {
            value: 0x4000,
            mask: 0x4000,
        };
        let mark = XtRule {
            target: Some(mark),
            ..XtRule::default()
        };
        chain(XtTable::Nat, "KUBE-MARK-MASQ", vec![mark]);
        for (service, endpoints) in self.0.iter().filter(|(_, e)| !e.is_empty()) {
            for endpoint in endpoints {
                let name = endpoint_chain(*service, *endpoint);
                chain(XtTable::Nat, &name, endpoint_rules(*service, *endpoint));
            }
            let rules = service_rules(*service, endpoints);
            chain(XtTable::Nat, &service_chain(*service), rules);
        }
        let (served, empty): (Vec<_>, Vec<_>) = self.0.iter().partition(|(_, e)| !e.is_empty());
        let nat = served.iter().map(|(s, _)| dispatch(*s, true)).collect();
        chain(XtTable::Nat, "KUBE-SERVICES", nat);
        chain(XtTable::Filter, "KUBE-NODEPORTS", Vec::new());
        let filter = empty.iter().map(|(s, _)| dispatch(*s, false)).collect();
        chain(XtTable::Filter, "KUBE-SERVICES", filter);
    }
}
