//! Shared by the `plan_*` tests: rules drawn at random.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code, outside of #[test] functions"
)]
#![allow(dead_code, reason = "each test uses its part")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use portolan::model::{IpFamily, Protocol};
use portolan::plan::xtables::rule::{
    CtStates, InterfaceMatch, Maybe, RecentOp, XtMatch, XtRule, XtTarget,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A family.
pub(crate) fn family() -> impl Strategy<Value = IpFamily> {
    prop_oneof![Just(IpFamily::V4), Just(IpFamily::V6)]
}

fn address(family: IpFamily) -> BoxedStrategy<IpAddr> {
    match family {
        IpFamily::V4 => any::<u32>().prop_map(|a| Ipv4Addr::from(a).into()).boxed(),
        IpFamily::V6 => any::<u128>().prop_map(|a| Ipv6Addr::from(a).into()).boxed(),
    }
}

fn prefix(family: IpFamily) -> impl Strategy<Value = Maybe<IpNet>> {
    (address(family), 0..=family.host_prefix(), any::<bool>()).prop_map(|(address, len, not)| {
        Maybe {
            not,
            value: IpNet::new(address, len).unwrap(),
        }
    })
}

fn name() -> impl Strategy<Value = Arc<str>> {
    "[A-Za-z0-9_-]{1,28}".prop_map(Arc::from)
}

fn interface() -> impl Strategy<Value = Maybe<InterfaceMatch>> {
    ("[a-z0-9.]{1,15}", any::<bool>(), any::<bool>()).prop_map(|(name, prefix, not)| Maybe {
        not,
        value: InterfaceMatch {
            name: name.into(),
            prefix,
        },
    })
}

fn any_match(ported: bool) -> BoxedStrategy<XtMatch> {
    let other = prop_oneof![
        "[ -~]{0,255}".prop_map(|t| XtMatch::Comment(t.into())),
        (
            any::<u32>(),
            prop_oneof![Just(u32::MAX), any::<u32>()],
            any::<bool>()
        )
            .prop_map(|(value, mask, not)| XtMatch::Mark { value, mask, not }),
        (any::<u16>(), any::<bool>()).prop_map(|(s, not)| XtMatch::Conntrack(Maybe {
            not,
            value: CtStates(s)
        })),
        Just(XtMatch::SourceIsLocal),
        Just(XtMatch::DestinationIsLocal),
        any::<u32>().prop_map(|threshold| XtMatch::Random { threshold }),
        (option::of(any::<u32>()), name()).prop_map(|(seconds, list)| XtMatch::Recent {
            op: seconds.map_or(RecentOp::Set, |seconds| RecentOp::CheckAndReap { seconds }),
            list,
        }),
        name().prop_map(XtMatch::Nfacct),
    ];
    if ported {
        let ports = option::of(any::<u16>()).prop_map(|dport| XtMatch::Ports { dport });
        prop_oneof![1 => ports, 2 => other].boxed()
    } else {
        other.boxed()
    }
}

fn target(family: IpFamily) -> impl Strategy<Value = XtTarget> {
    prop_oneof![
        name().prop_map(XtTarget::Jump),
        Just(XtTarget::Return),
        Just(XtTarget::Accept),
        Just(XtTarget::Drop),
        Just(XtTarget::Reject),
        (any::<u32>(), any::<u32>()).prop_map(|(value, mask)| XtTarget::Mark { value, mask }),
        any::<bool>().prop_map(|random_fully| XtTarget::Masquerade { random_fully }),
        (address(family), any::<u16>())
            .prop_map(|(address, port)| XtTarget::Dnat(SocketAddr::new(address, port))),
    ]
}

/// Any rule of the vocabulary.
pub(crate) fn rule(family: IpFamily) -> impl Strategy<Value = XtRule> {
    let protocol = option::of(prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Sctp)
    ]);
    protocol.prop_flat_map(move |protocol| {
        (
            option::of(prefix(family)),
            option::of(prefix(family)),
            option::of(interface()),
            vec(any_match(protocol.is_some()), 0..4),
            option::of(target(family)),
        )
            .prop_map(
                move |(source, destination, in_interface, matches, target)| XtRule {
                    source,
                    destination,
                    in_interface,
                    protocol,
                    matches,
                    target,
                },
            )
    })
}
