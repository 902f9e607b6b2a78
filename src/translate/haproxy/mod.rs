//! The configuration of an HAProxy in front of the nodes: for each port of a LoadBalancer Service a
//! frontend, and behind it a backend with one server a node, at its node port.
//!
//! Every node is checked. With `externalTrafficPolicy: Local` a node without endpoints drops what
//! it gets, so the check asks the Service's health-check node port instead of connecting.
//!
//! Pure: nothing is read or written here.

mod balancer;
mod text;

pub use balancer::{Backend, Balancer, BalancerError, Bind, Check, Server, balancer};
pub use text::text;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::NamespacedName;

/// A Service on the command line: `NAME` or `NAMESPACE/NAME`; without a namespace, of any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// The namespace, if given.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ServiceName {
    /// Reads `NAME` or `NAMESPACE/NAME`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => Self {
                namespace: Some(namespace.to_owned()),
                name: name.to_owned(),
            },
            None => Self {
                namespace: None,
                name: text.to_owned(),
            },
        }
    }

    /// This Service is meant.
    #[must_use]
    pub fn is(&self, service: &NamespacedName) -> bool {
        let namespace = self.namespace.as_deref();
        self.name == *service.name && namespace.is_none_or(|given| given == &*service.namespace)
    }
}

/// How the balancer is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaproxyOptions {
    /// Only these Services, whatever their type; all of type LoadBalancer if there are none.
    pub services: Vec<ServiceName>,
    /// Nodes with an address, in place of the Node objects.
    pub nodes: Vec<(Arc<str>, IpAddr)>,
    /// Services whose connections are HTTP; `None` for all.
    pub http: Option<Vec<ServiceName>>,
    /// Addresses to listen at, and ports in place of the Service's, by Service.
    pub binds: Vec<(ServiceName, IpAddr, Option<u16>)>,
    /// How often a node is checked.
    pub check_interval: Duration,
}
