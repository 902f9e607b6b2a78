//! Elements that come from configuration, not from Services.

use std::net::IpAddr;

use ipnet::IpNet;

use super::elements::element;
use super::key::{Key, zero};
use super::options::NftablesOptions;
use super::sets::SetId;
use crate::model::{IpFamily, NodePortAddresses};
use crate::plan::op::Element;

/// Visits the addresses that accept node ports and the ranges of cluster IPs; intervals in order.
pub(in crate::translate) fn elements(
    options: &NftablesOptions,
    visit: &mut dyn FnMut(SetId, Element),
) {
    if let NodePortAddresses::Only(addresses) = &options.node_port_addresses {
        for address in addresses {
            let key = Key::new().address(*address).bytes();
            visit(SetId::NodePortAddresses, element(key, None, None));
        }
    }
    let cidrs = options.service_cidrs.iter();
    let cidrs = cidrs.filter(|cidr| IpFamily::of(cidr.addr()) == options.family);
    let cidrs = IpNet::aggregate(&cidrs.copied().collect());
    let zero = zero(options.family);
    if !cidrs.is_empty() && cidrs.iter().all(|cidr| cidr.network() != zero) {
        // As nft does: what lies before the first interval ends an interval.
        visit(SetId::ServiceCidrs, interval_end(zero));
    }
    for cidr in cidrs {
        let start = Key::new().address(cidr.network()).bytes();
        visit(SetId::ServiceCidrs, element(start, None, None));
        if let Some(after) = next_address(cidr.broadcast()) {
            visit(SetId::ServiceCidrs, interval_end(after));
        }
    }
}

fn interval_end(address: IpAddr) -> Element {
    let mut end = element(Key::new().address(address).bytes(), None, None);
    end.interval_end = true;
    end
}

/// The address after, `None` after the last.
fn next_address(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|n| IpAddr::V6(n.into())),
    }
}
