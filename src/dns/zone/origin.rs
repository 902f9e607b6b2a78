//! Which Service or endpoint a record stands for.

use std::fmt;
use std::net::IpAddr;

use hickory_proto::rr::{Name, RData, Record};

use super::Zone;
use super::entry::{Entry, Kind, Target};
use super::question::{self, Below, Meaning};
use super::reverse::has_cluster_ip;
use crate::model::NamespacedName;

/// Where a record comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Service's own fields.
    Service(NamespacedName),
    /// An endpoint of a Service.
    Endpoint {
        /// The Service.
        service: NamespacedName,
        /// The endpoint's address.
        address: IpAddr,
        /// The pod it stands for.
        pod: Option<Box<str>>,
    },
    /// The name itself says it: a pod name.
    PodName,
    /// The zone, not an object in it.
    Zone,
}

/// `Service default/web`, `endpoint 10.233.65.1 (Pod web-0) of Service default/web`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "Service {name}"),
            Self::Endpoint {
                service,
                address,
                pod,
            } => {
                write!(f, "endpoint {address}")?;
                if let Some(pod) = pod {
                    write!(f, " (Pod {pod})")?;
                }
                write!(f, " of Service {service}")
            }
            Self::PodName => f.write_str("the address in the name"),
            Self::Zone => f.write_str("the zone"),
        }
    }
}

impl Origin {
    /// The Service, where there is one.
    #[must_use]
    pub fn service(&self) -> Option<&NamespacedName> {
        match self {
            Self::Service(service) | Self::Endpoint { service, .. } => Some(service),
            Self::PodName | Self::Zone => None,
        }
    }
}

impl Zone {
    /// Where a record of an answer comes from; `None` if it is not of this zone.
    #[must_use]
    pub fn origin(&self, record: &Record) -> Option<Origin> {
        match &record.data {
            RData::PTR(target) => self.origin_of_name(&target.0, None),
            RData::SRV(srv) => self.origin_of_name(&srv.target, None),
            RData::A(address) => self.origin_of_name(&record.name, Some(address.0.into())),
            RData::AAAA(address) => self.origin_of_name(&record.name, Some(address.0.into())),
            _ => self.origin_of_name(&record.name, None),
        }
    }

    fn origin_of_name(&self, name: &Name, address: Option<IpAddr>) -> Option<Origin> {
        let rest = question::rest(name, &self.domain)?;
        match rest.meaning() {
            Meaning::Service {
                service,
                namespace,
                below,
            } => Some(origin_in(self.entry(service, namespace)?, below, address)),
            Meaning::Pod { .. } => Some(Origin::PodName),
            _ => Some(Origin::Zone),
        }
    }
}

fn origin_in(entry: &Entry, below: Below<'_>, address: Option<IpAddr>) -> Origin {
    let endpoint = |target: &Target| Origin::Endpoint {
        service: entry.service.clone(),
        address: target.address,
        pod: target.pod.clone(),
    };
    let is_meant = |target: &&Target| address.is_none_or(|address| target.address == address);
    let found = match below {
        Below::Endpoint(label) => entry.labelled(label).into_iter().flatten().find(is_meant),
        _ if address.is_some_and(|address| has_cluster_ip(entry, address)) => None,
        _ if entry.kind == Kind::Headless && address.is_some() => {
            entry.endpoints.iter().flatten().find(is_meant)
        }
        _ => None,
    };
    found.map_or_else(|| Origin::Service(entry.service.clone()), endpoint)
}
