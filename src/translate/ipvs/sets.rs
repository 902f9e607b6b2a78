//! The sets of table `portolan-ipvs`: names, types, comments.

use std::borrow::Cow;

use crate::model::IpFamily;
use crate::plan::nftables::text::{INET_PROTO, INET_SERVICE, INTERVAL, IPV4_ADDR, IPV6_ADDR};
use crate::plan::nftables::{SOURCES_PREFIX, SetDef};
use crate::plan::op::SetSpec;
use crate::translate::nftables::sets::{NO_TYPEOF, attribute, length, packed};

/// A set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpvsSet {
    /// Virtual servers that are ours.
    VirtualServers,
    /// Addresses of the dummy device.
    Addresses,
    /// Ranges of cluster IPs.
    ServiceCidrs,
    /// Front ends at cluster IPs.
    ClusterServices,
    /// Other front ends whose traffic may go to other nodes.
    ExternalServices,
    /// Front ends to drop.
    NoLocalEndpoints,
    /// Front ends to drop for clients outside.
    NoLocalEndpointsOutside,
    /// Front ends with source ranges.
    Firewalled,
    /// Endpoints of this node, reached by themselves.
    Hairpin,
    /// Kernel settings as they were before.
    Settings,
    /// Source ranges of a length.
    Sources(u8),
}

/// Name of [`IpvsSet::Settings`].
pub const SETTINGS: &str = "settings";
/// nft's number of type `mark`.
const MARK: u32 = 19;

/// What an element is.
enum Shape {
    Number,
    Address,
    FrontEnd,
    AddressFrontEnd,
}

impl IpvsSet {
    /// Those that are always there.
    pub const FIXED: [Self; 10] = [
        Self::VirtualServers,
        Self::Addresses,
        Self::ServiceCidrs,
        Self::ClusterServices,
        Self::ExternalServices,
        Self::NoLocalEndpoints,
        Self::NoLocalEndpointsOutside,
        Self::Firewalled,
        Self::Hairpin,
        Self::Settings,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::VirtualServers => "virtual-servers",
            Self::Addresses => "addresses",
            Self::ServiceCidrs => "service-cidrs",
            Self::ClusterServices => "cluster-services",
            Self::ExternalServices => "external-services",
            Self::NoLocalEndpoints => "no-local-endpoints",
            Self::NoLocalEndpointsOutside => "no-local-endpoints-outside",
            Self::Firewalled => "firewalled",
            Self::Hairpin => "hairpin",
            Self::Settings => SETTINGS,
            Self::Sources(length) => return format!("{SOURCES_PREFIX}{length}").into(),
        })
    }

    fn comment(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::VirtualServers => "virtual servers of IPVS that are portolan's",
            Self::Addresses => "addresses on kube-ipvs0",
            Self::ServiceCidrs => "ranges that cluster IPs are allocated from",
            Self::ClusterServices => "cluster IPs and ports",
            Self::ExternalServices => {
                "external IPs, load-balancer IPs and node ports with policy Cluster"
            }
            Self::NoLocalEndpoints => {
                "front ends inside whose policy is Local, without endpoint on this node: drop"
            }
            Self::NoLocalEndpointsOutside => {
                "front ends outside whose policy is Local, without endpoint on this node: drop what comes from outside"
            }
            Self::Firewalled => "load-balancer IPs and ports that only source ranges may reach",
            Self::Hairpin => "endpoints of this node, reached by themselves",
            Self::Settings => "kernel settings that portolan changed, as they were before",
            Self::Sources(length) => {
                return format!(
                    "source ranges of length {length} and the front ends they may reach"
                )
                .into();
            }
        })
    }

    fn shape(self) -> Shape {
        match self {
            Self::Addresses | Self::ServiceCidrs => Shape::Address,
            Self::Hairpin | Self::Sources(_) => Shape::AddressFrontEnd,
            Self::Settings => Shape::Number,
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
            Shape::Number => vec![MARK],
            Shape::Address => vec![address],
            Shape::FrontEnd => front_end.to_vec(),
            Shape::AddressFrontEnd => [&[address], &front_end[..]].concat(),
        };
        let comment = self.comment();
        let spec = SetSpec {
            flags: if self == Self::ServiceCidrs {
                INTERVAL
            } else {
                0
            },
            key_type: packed(&key),
            key_len: length(&key, family),
            data: None,
            size: None,
            userdata: self.userdata(&comment),
        };
        SetDef {
            name: self.name().into(),
            spec,
            comment: comment.into(),
        }
    }

    /// What nft stores with a set: byte order of the key, its `typeof`, the comment.
    fn userdata(self, comment: &str) -> Box<[u8]> {
        let (single, order): (bool, u32) = match self.shape() {
            Shape::Number => (true, 1),
            Shape::Address => (true, 2),
            _ => (false, 0),
        };
        let mut data = attribute(0, &order.to_ne_bytes());
        if !single {
            data.extend(attribute(3, &NO_TYPEOF));
        }
        data.extend(attribute(7, &[comment.as_bytes(), &[0]].concat()));
        data.into()
    }
}
