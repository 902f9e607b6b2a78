//! The ranges that values come from, and their static and dynamic bands.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net};

use super::super::IpFamily;
use super::balancers::AddressRange;

/// Shortest IPv6 prefix the API server accepts for a Service range.
const SHORTEST_V6_PREFIX: u8 = 64;
/// Fewest addresses the API server accepts in a Service range.
const FEWEST_ADDRESSES: u128 = 8;
/// Ranges up to this size have no static band.
const NO_BAND_UP_TO: u128 = 16;
/// The API server counts addresses in an `int64`.
const MOST_ADDRESSES: u128 = (1 << 63) - 1;

/// The ranges that a cluster's Services draw from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// `--service-cidr`: at most two, of different families. The first one's family is what
    /// Services get that do not say.
    pub cluster_ips: Vec<IpNet>,
    /// `--service-node-port-range`, ends included.
    pub node_ports: RangeInclusive<u16>,
    /// `--lb-pool`: what load balancers get addresses from; none without it.
    pub balancers: Vec<AddressRange>,
}

impl Default for Ranges {
    /// A kubespray cluster's ranges: 10.233.0.0/18 and 30000-32767.
    fn default() -> Self {
        let cluster_ips = Ipv4Net::new_assert(Ipv4Addr::new(10, 233, 0, 0), 18);
        Self {
            cluster_ips: vec![cluster_ips.into()],
            node_ports: 30000..=32767,
            balancers: Vec::new(),
        }
    }
}

/// A range that Services cannot draw from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Neither family has a range.
    #[error("no Service range given: at least one is needed")]
    NoRange,
    /// More than one range for a family.
    #[error(
        "more than one {family} Service range given ({first}, {second}): at most one of each family is possible"
    )]
    TwoOfAFamily {
        /// The family.
        family: IpFamily,
        /// The range given first.
        first: IpNet,
        /// The range given later.
        second: IpNet,
    },
    /// Fewer than eight addresses.
    #[error("Service range {0} is too small: it must have at least 8 addresses")]
    TooSmall(IpNet),
    /// An IPv6 prefix shorter than /64.
    #[error("Service range {0} is too large: the shortest allowed IPv6 prefix is /64")]
    TooLarge(IpNet),
    /// No port, or port 0, which means "none".
    #[error("node port range {start}-{end} is not valid: it must be not empty and within 1-65535", start = .0.start(), end = .0.end())]
    NodePorts(RangeInclusive<u16>),
}

impl Ranges {
    /// Ranges that are known to be usable, host bits cleared.
    ///
    /// # Errors
    ///
    /// All reasons for which the API server would not start with them.
    pub fn new(
        cluster_ips: &[IpNet],
        node_ports: RangeInclusive<u16>,
    ) -> Result<Self, Vec<RangeError>> {
        let mut errors = Vec::new();
        if cluster_ips.is_empty() {
            errors.push(RangeError::NoRange);
        }
        for (index, range) in cluster_ips.iter().enumerate() {
            let family = IpFamily::of(range.addr());
            if let Some(first) = cluster_ips[..index]
                .iter()
                .find(|earlier| IpFamily::of(earlier.addr()) == family)
            {
                errors.push(RangeError::TwoOfAFamily {
                    family,
                    first: *first,
                    second: *range,
                });
            }
            if family == IpFamily::V6 && range.prefix_len() < SHORTEST_V6_PREFIX {
                errors.push(RangeError::TooLarge(*range));
            }
            if total_addresses(range) < FEWEST_ADDRESSES {
                errors.push(RangeError::TooSmall(*range));
            }
        }
        if node_ports.is_empty() || *node_ports.start() == 0 {
            errors.push(RangeError::NodePorts(node_ports.clone()));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            cluster_ips: cluster_ips.iter().map(IpNet::trunc).collect(),
            node_ports,
            balancers: Vec::new(),
        })
    }

    /// The families that have a range, primary first.
    pub(super) fn families(&self) -> Vec<IpFamily> {
        let families = self.cluster_ips.iter().map(|r| IpFamily::of(r.addr()));
        families.collect()
    }
}

/// The values of a range, numbered from 0, and where its dynamic band begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bands {
    /// How many values there are to give out.
    pub(super) usable: u128,
    /// The first this many are the static band.
    pub(super) static_size: u128,
}

impl Bands {
    /// Bands of a node port range: a thirty-second of it, at least 16 and at most 128.
    pub(super) fn of_ports(range: &RangeInclusive<u16>) -> Self {
        let usable = range.len() as u128;
        Self {
            usable,
            static_size: static_band(usable, 32, 128),
        }
    }

    /// Bands of a Service range: a sixteenth of it, at least 16 and at most 256.
    ///
    /// The network address is never given out, nor is IPv4's broadcast address.
    pub(super) fn of_addresses(range: &IpNet) -> Self {
        let total = total_addresses(range);
        let unusable = match range {
            IpNet::V4(_) => 2,
            IpNet::V6(_) => 1,
        };
        let usable = total.saturating_sub(unusable);
        Self {
            usable,
            static_size: static_band(total.min(MOST_ADDRESSES), 16, 256).min(usable),
        }
    }
}

/// Size of a static band: `min(max(16, size/divisor), most)`, none in ranges of 16 and fewer.
///
/// Source: Kubernetes' `calculateRangeOffset` of both allocators.
fn static_band(size: u128, divisor: u128, most: u128) -> u128 {
    if size <= NO_BAND_UP_TO {
        return 0;
    }
    (size / divisor).clamp(16, most)
}

/// All addresses of a range; one fewer for ::/0, whose number does not fit.
fn total_addresses(range: &IpNet) -> u128 {
    let host_bits = u32::from(range.max_prefix_len() - range.prefix_len());
    1u128.checked_shl(host_bits).unwrap_or(u128::MAX)
}

/// Position of an address among the usable ones of a range: 0 is the first usable.
pub(super) fn position(range: &IpNet, address: IpAddr) -> Option<u128> {
    if IpFamily::of(address) != IpFamily::of(range.addr()) {
        return None;
    }
    let first = number(range.network()).checked_add(1)?;
    let position = number(address).checked_sub(first)?;
    (position < Bands::of_addresses(range).usable).then_some(position)
}

/// The usable address at a position; `None` past the family's last address.
pub(super) fn address_at(range: &IpNet, position: u128) -> Option<IpAddr> {
    let number = number(range.network())
        .checked_add(1)?
        .checked_add(position)?;
    match range {
        IpNet::V4(_) => Some(Ipv4Addr::from(u32::try_from(number).ok()?).into()),
        IpNet::V6(_) => Some(Ipv6Addr::from(number).into()),
    }
}

pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}
