//! The sets and maps of the layout: names, types, comments.

use std::borrow::Cow;

use crate::model::IpFamily;
use crate::plan::nftables::text::{
    EVAL, INET_PROTO, INET_SERVICE, INTEGER, INTERVAL, IPV4_ADDR, IPV6_ADDR, MAP, TIMEOUT,
    address_len,
};
use crate::plan::nftables::{self, SetDef};
use crate::plan::op::SetSpec;

/// A set or map of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SetId {
    /// Every cluster IP.
    ClusterIps,
    /// Ranges of cluster IPs.
    ServiceCidrs,
    /// Addresses that accept node ports.
    NodePortAddresses,
    /// Cluster-IP front ends with endpoints.
    ClusterServices,
    /// Outside front ends with endpoints.
    ExternalServices,
    /// Outside front ends with policy Local.
    LocalPolicy,
    /// Front ends with affinity.
    AffinityServices,
    /// Front ends with a long list.
    Large,
    /// Front ends to refuse.
    NoEndpoints,
    /// Front ends to drop.
    NoLocalEndpoints,
    /// Front ends with source ranges.
    Firewalled,
    /// Endpoints of this node, reached by themselves.
    Hairpin,
    /// Sizes of long lists.
    Sizes,
    /// Front end and slot: endpoint.
    Endpoints,
    /// Front end and client: endpoint.
    Affinity,
    /// Source ranges of a length.
    Sources(u8),
    /// Endpoints of front ends with an affinity timeout in seconds.
    AffinityEndpoints(u32),
}

/// What the comment of an element names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comment {
    /// There is none.
    Nothing,
    /// The Service that holds it.
    Service,
    /// The service port that holds it.
    Port,
}

/// What an element of a set is.
enum Shape {
    Address,
    FrontEnd,
    FrontEndNumber,
    AddressFrontEnd,
    FrontEndEndpoint,
}

/// The most clients that affinity remembers.
const AFFINITY_SIZE: u32 = 1_048_576;

impl SetId {
    /// Those that are always there.
    pub const FIXED: [Self; 15] = [
        Self::ClusterIps,
        Self::ServiceCidrs,
        Self::NodePortAddresses,
        Self::ClusterServices,
        Self::ExternalServices,
        Self::LocalPolicy,
        Self::AffinityServices,
        Self::Large,
        Self::NoEndpoints,
        Self::NoLocalEndpoints,
        Self::Firewalled,
        Self::Hairpin,
        Self::Sizes,
        Self::Endpoints,
        Self::Affinity,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::ClusterIps => "cluster-ips",
            Self::ServiceCidrs => "service-cidrs",
            Self::NodePortAddresses => "node-port-addresses",
            Self::ClusterServices => "cluster-services",
            Self::ExternalServices => "external-services",
            Self::LocalPolicy => "local-policy",
            Self::AffinityServices => "affinity-services",
            Self::Large => "large",
            Self::NoEndpoints => "no-endpoints",
            Self::NoLocalEndpoints => "no-local-endpoints",
            Self::Firewalled => "firewalled",
            Self::Hairpin => "hairpin",
            Self::Sizes => "sizes",
            Self::Endpoints => nftables::ENDPOINTS,
            Self::Affinity => nftables::AFFINITY,
            Self::Sources(length) => return format!("{}{length}", nftables::SOURCES_PREFIX).into(),
            Self::AffinityEndpoints(seconds) => {
                return format!("{}{seconds}", nftables::AFFINITY_ENDPOINTS_PREFIX).into();
            }
        })
    }

    fn comment(self, family: IpFamily) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::ClusterIps => "cluster IPs of services",
            Self::ServiceCidrs => "ranges that cluster IPs are allocated from",
            Self::NodePortAddresses => {
                "addresses that accept node ports; unused when all local addresses do"
            }
            Self::ClusterServices => "cluster IPs and ports that have endpoints",
            Self::ExternalServices => {
                let zero = super::key::zero(family);
                return format!(
                    "external IPs, load-balancer IPs and node ports (address {zero}) that have endpoints"
                )
                .into();
            }
            Self::LocalPolicy => "external-services whose outside traffic stays on this node",
            Self::AffinityServices => "front ends with client affinity",
            Self::Large => "front ends with more than 16 endpoints (any, or local)",
            Self::NoEndpoints => "front ends without any endpoint: reject",
            Self::NoLocalEndpoints => {
                "front ends whose policy is Local, without endpoint on this node: drop"
            }
            Self::Firewalled => "load-balancer IPs and ports that only source ranges may reach",
            Self::Hairpin => "endpoints of this node, reached by themselves",
            Self::Sizes => {
                "large front ends and the power of two their slots are drawn from; 1000000 more for local ones"
            }
            Self::Endpoints => "front end and slot: endpoint",
            Self::Affinity => "front end and client: endpoint, for session affinity ClientIP",
            Self::Sources(length) => {
                return format!(
                    "source ranges of length {length} and the front ends they may reach"
                )
                .into();
            }
            Self::AffinityEndpoints(seconds) => {
                return format!(
                    "front ends with {seconds} s of client affinity, and their endpoints"
                )
                .into();
            }
        })
    }

    /// What the comments of its elements name.
    #[must_use]
    pub fn comment_of_element(self) -> Comment {
        match self {
            Self::ClusterIps => Comment::Service,
            Self::ClusterServices
            | Self::ExternalServices
            | Self::AffinityServices
            | Self::NoEndpoints
            | Self::NoLocalEndpoints
            | Self::Firewalled => Comment::Port,
            _ => Comment::Nothing,
        }
    }

    /// Several service ports may hold the same element.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self, Self::ClusterIps | Self::Hairpin)
    }

    /// Services decide what its elements are; not configuration, nor packets.
    #[must_use]
    pub fn follows_services(self) -> bool {
        !matches!(
            self,
            Self::ServiceCidrs | Self::NodePortAddresses | Self::Affinity
        )
    }

    /// It comes and goes with its elements.
    #[must_use]
    pub fn is_variable(self) -> bool {
        matches!(self, Self::Sources(_) | Self::AffinityEndpoints(_))
    }

    /// Bytes of a key.
    pub(super) fn key_len(self, family: IpFamily) -> usize {
        let address = address_len(family);
        match self.shape() {
            Shape::Address => address,
            Shape::FrontEnd => address + 8,
            Shape::FrontEndNumber => address + 12,
            Shape::AddressFrontEnd => 2 * address + 8,
            Shape::FrontEndEndpoint => 2 * address + 12,
        }
    }

    fn shape(self) -> Shape {
        match self {
            Self::ClusterIps | Self::ServiceCidrs | Self::NodePortAddresses => Shape::Address,
            Self::Sizes | Self::Endpoints => Shape::FrontEndNumber,
            Self::Hairpin | Self::Affinity | Self::Sources(_) => Shape::AddressFrontEnd,
            Self::AffinityEndpoints(_) => Shape::FrontEndEndpoint,
            _ => Shape::FrontEnd,
        }
    }

    /// The set in a family.
    pub(super) fn definition(self, family: IpFamily) -> SetDef {
        let address = match family {
            IpFamily::V4 => IPV4_ADDR,
            IpFamily::V6 => IPV6_ADDR,
        };
        let front_end = [address, INET_PROTO, INET_SERVICE];
        let key = match self.shape() {
            Shape::Address => vec![address],
            Shape::FrontEnd => front_end.to_vec(),
            Shape::FrontEndNumber => [&front_end[..], &[INTEGER]].concat(),
            Shape::AddressFrontEnd => [&[address], &front_end[..]].concat(),
            Shape::FrontEndEndpoint => [&front_end[..], &[address, INET_SERVICE]].concat(),
        };
        let is_map = matches!(self, Self::Endpoints | Self::Affinity);
        let endpoint = [address, INET_SERVICE];
        let comment = self.comment(family);
        let spec = SetSpec {
            flags: match self {
                Self::ServiceCidrs => INTERVAL,
                Self::Endpoints => MAP,
                Self::Affinity => MAP | TIMEOUT | EVAL,
                _ => 0,
            },
            key_type: packed(&key),
            key_len: length(&key, family),
            data: is_map.then(|| (packed(&endpoint), length(&endpoint, family))),
            size: (self == Self::Affinity).then_some(AFFINITY_SIZE),
            userdata: self.userdata(family, &comment),
        };
        SetDef {
            name: self.name().into(),
            spec,
            comment: comment.into(),
        }
    }

    /// What nft stores with a set, in the order in which nft 1.0.6 does.
    fn userdata(self, family: IpFamily, comment: &str) -> Box<[u8]> {
        let order: u32 = if matches!(self.shape(), Shape::Address) {
            2
        } else {
            0
        };
        let mut data = attribute(0, &order.to_ne_bytes());
        if matches!(self, Self::Endpoints | Self::Affinity) {
            data.extend(attribute(1, &0_u32.to_ne_bytes()));
        }
        match self.shape() {
            Shape::Address => {}
            Shape::FrontEndNumber => data.extend(attribute(3, &key_typeof(family))),
            _ => data.extend(attribute(3, &NO_TYPEOF)),
        }
        if self == Self::Endpoints {
            data.extend(attribute(4, &endpoint_typeof(family)));
        }
        if self == Self::Affinity {
            data.extend(attribute(4, &NO_TYPEOF));
        }
        if matches!(self, Self::Endpoints | Self::Affinity) {
            // Data is no interval.
            data.extend(attribute(6, &0_u32.to_ne_bytes()));
        }
        data.extend(attribute(7, &[comment.as_bytes(), &[0]].concat()));
        data.into()
    }
}

pub(in crate::translate) fn attribute(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = u8::try_from(value.len()).unwrap_or(u8::MAX);
    [&[kind, len], value].concat()
}

/// nft packs the types of fields 6 bits each.
pub(in crate::translate) fn packed(types: &[u32]) -> u32 {
    types.iter().fold(0, |packed, field| packed << 6 | field)
}

pub(in crate::translate) fn length(types: &[u32], family: IpFamily) -> u32 {
    let address = u32::try_from(address_len(family)).unwrap_or(0);
    types
        .iter()
        .map(|field| match *field {
            IPV4_ADDR | IPV6_ADDR => address,
            _ => 4,
        })
        .sum()
}

/// What nft stores in place of a `typeof`: a concatenation of nothing.
pub(in crate::translate) const NO_TYPEOF: [u8; 8] = [0, 4, 13, 0, 0, 0, 1, 0];

/// What nft stores for `typeof ip daddr . meta l4proto . th dport . numgen random mod 65536`.
#[rustfmt::skip]
const KEY_TYPEOF: [u8; 96] = [
    0x00, 0x04, 0x0d, 0x00, 0x00, 0x00, 0x01, 0x58, 0x00, 0x14, 0x00, 0x04, 0x07, 0x00, 0x00, 0x00,
    0x01, 0x0c, 0x00, 0x04, 0x0c, 0x00, 0x00, 0x00, 0x01, 0x04, 0x0c, 0x00, 0x00, 0x00, 0x01, 0x0e,
    0x00, 0x04, 0x09, 0x00, 0x00, 0x00, 0x01, 0x06, 0x00, 0x04, 0x10, 0x00, 0x00, 0x00, 0x02, 0x14,
    0x00, 0x04, 0x07, 0x00, 0x00, 0x00, 0x01, 0x0c, 0x00, 0x04, 0x0b, 0x00, 0x00, 0x00, 0x01, 0x04,
    0x02, 0x00, 0x00, 0x00, 0x03, 0x1a, 0x00, 0x04, 0x17, 0x00, 0x00, 0x00, 0x01, 0x12, 0x00, 0x04,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x00, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x00, 0x00, 0x00,
];

/// What nft stores for `typeof ip daddr . th dport`.
#[rustfmt::skip]
const ENDPOINT_TYPEOF: [u8; 52] = [
    0x00, 0x04, 0x0d, 0x00, 0x00, 0x00, 0x01, 0x2c, 0x00, 0x14, 0x00, 0x04, 0x07, 0x00, 0x00, 0x00,
    0x01, 0x0c, 0x00, 0x04, 0x0c, 0x00, 0x00, 0x00, 0x01, 0x04, 0x0c, 0x00, 0x00, 0x00, 0x01, 0x14,
    0x00, 0x04, 0x07, 0x00, 0x00, 0x00, 0x01, 0x0c, 0x00, 0x04, 0x0b, 0x00, 0x00, 0x00, 0x01, 0x04,
    0x02, 0x00, 0x00, 0x00,
];

fn key_typeof(family: IpFamily) -> Vec<u8> {
    of_family(&KEY_TYPEOF, family)
}

fn endpoint_typeof(family: IpFamily) -> Vec<u8> {
    of_family(&ENDPOINT_TYPEOF, family)
}

/// IPv6 differs in two numbers: of the protocol description and of the field within it.
fn of_family(ipv4: &[u8], family: IpFamily) -> Vec<u8> {
    let mut bytes = ipv4.to_vec();
    if family == IpFamily::V6 {
        for (at, value) in [(20, 0x0d), (26, 0x09)] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_long_as_its_set_says() {
        let variable = [SetId::Sources(24), SetId::AffinityEndpoints(10_800)];
        for set in SetId::FIXED.into_iter().chain(variable) {
            for family in IpFamily::ALL {
                let spec = set.definition(family).spec;
                let len = usize::try_from(spec.key_len).unwrap();
                assert_eq!(set.key_len(family), len, "{set:?} {family}");
            }
        }
    }
}
