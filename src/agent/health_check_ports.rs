//! Health-check node ports: for each Service of type LoadBalancer with
//! `externalTrafficPolicy: Local`, a server on `spec.healthCheckNodePort` that tells the balancer
//! whether this node has endpoints of it.
//!
//! Follows the snapshot, Service by Service. To be used on a thread inside the network namespace
//! of the node: ports are bound by the calling thread.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::http::HeaderName;
use axum::response::IntoResponse;
use tokio::runtime::Handle;

use super::health::listen::{self, Families, Server};
use super::health::server::json;
use super::health::{Health, health_check_body, health_check_response};
use crate::model::{
    EndpointSlice, IpFamily, NamespacedName, NodePortAddresses, Snapshot, Touched, proxied_ports,
};

/// What a balancer may weigh nodes by, as kube-proxy sends it.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// The addresses that node ports answer on, family by family.
#[derive(Clone, Debug)]
pub struct PortAddresses {
    /// IPv4.
    pub v4: NodePortAddresses,
    /// IPv6.
    pub v6: NodePortAddresses,
}

impl PortAddresses {
    fn of(&self, family: IpFamily) -> Vec<IpAddr> {
        let (addresses, unspecified) = match family {
            IpFamily::V4 => (&self.v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            IpFamily::V6 => (&self.v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        match addresses {
            NodePortAddresses::All => vec![unspecified],
            NodePortAddresses::Only(list) => list.clone(),
        }
    }
}

/// The health-check node ports of one node.
#[derive(Debug)]
pub struct HealthCheckPorts {
    runtime: Handle,
    health: Arc<Health>,
    node_name: Arc<str>,
    families: Vec<IpFamily>,
    addresses: PortAddresses,
    open: BTreeMap<Key, Port>,
    /// Those of them that are not served yet.
    missing: BTreeSet<Key>,
    /// Failures that nobody has been told of.
    news: Vec<(NamespacedName, String)>,
}

type Key = (NamespacedName, IpFamily);

/// The port of one Service in one family.
#[derive(Debug)]
struct Port {
    number: u16,
    endpoints: Arc<AtomicUsize>,
    /// One for each address; empty while some address cannot be bound. Held, never read.
    servers: Vec<Server>,
    failure: Option<String>,
}

impl HealthCheckPorts {
    /// No ports yet.
    #[must_use]
    pub fn new(
        runtime: Handle,
        health: Arc<Health>,
        node_name: Arc<str>,
        families: Vec<IpFamily>,
        addresses: PortAddresses,
    ) -> Self {
        Self {
            runtime,
            health,
            node_name,
            families,
            addresses,
            open: BTreeMap::new(),
            missing: BTreeSet::new(),
            news: Vec::new(),
        }
    }

    /// Follows all Services of a snapshot.
    pub fn follow_all(&mut self, snapshot: &Snapshot) {
        let known: BTreeSet<_> = self.open.keys().map(|(name, _)| name.clone()).collect();
        let all: Vec<&NamespacedName> = snapshot.services.keys().chain(&known).collect();
        self.follow(snapshot, all);
    }

    /// Follows the Services that changed.
    pub fn follow_touched(&mut self, snapshot: &Snapshot, touched: &Touched) {
        self.follow(snapshot, touched.services.iter().collect());
    }

    fn follow(&mut self, snapshot: &Snapshot, services: Vec<&NamespacedName>) {
        let mut wanted = Vec::new();
        for service in services {
            for family in self.families.clone() {
                let key = (service.clone(), family);
                let number = wanted_port(snapshot, service, family);
                // Ports are closed before any is opened: one may have moved between Services.
                if self.open.get(&key).map(|port| port.number) != number {
                    self.open.remove(&key);
                    self.missing.remove(&key);
                }
                wanted.extend(number.map(|number| (key, number)));
            }
        }
        for (key, number) in wanted {
            let (service, family) = &key;
            let slices = snapshot.slices_of(service);
            let count = local_endpoints(slices, *family, &self.node_name);
            let port = match self.open.entry(key) {
                Entry::Occupied(port) => port.into_mut(),
                Entry::Vacant(place) => {
                    self.missing.insert(place.key().clone());
                    place.insert(Port::new(number))
                }
            };
            port.endpoints.store(count, Ordering::Relaxed);
        }
        self.bind_missing();
    }

    /// Tries again to bind what could not be bound.
    pub fn bind_missing(&mut self) {
        for key in std::mem::take(&mut self.missing) {
            let Some(port) = self.open.get_mut(&key) else {
                continue;
            };
            let (service, family) = &key;
            let addresses = self.addresses.of(*family);
            if let Err(news) = port.bind(service, &addresses, &self.runtime, &self.health) {
                self.news.extend(news.map(|text| (service.clone(), text)));
                self.missing.insert(key);
            }
        }
    }

    /// The servers of all ports, which are this one's no more.
    pub fn take_servers(&mut self) -> Vec<Server> {
        self.missing.clear();
        let ports = std::mem::take(&mut self.open).into_values();
        ports.flat_map(|port| port.servers).collect()
    }

    /// Why which Services' ports cannot be served, each reason once.
    pub fn take_news(&mut self) -> Vec<(NamespacedName, String)> {
        std::mem::take(&mut self.news)
    }

    /// How many ports cannot be served.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.missing.len()
    }
}

impl Port {
    fn new(number: u16) -> Self {
        Self {
            number,
            endpoints: Arc::default(),
            servers: Vec::new(),
            failure: None,
        }
    }

    /// Serves on all addresses or, if one of them cannot be bound, on none; gives the reason if it
    /// is another than the last.
    fn bind(
        &mut self,
        service: &NamespacedName,
        addresses: &[IpAddr],
        runtime: &Handle,
        health: &Arc<Health>,
    ) -> Result<(), Option<String>> {
        let router = router(service, &self.endpoints, health);
        let server = |address: &IpAddr| -> Result<Server, (SocketAddr, io::Error)> {
            let address = SocketAddr::new(*address, self.number);
            listen::bind(address, Families::OfAddress)
                .and_then(|listener| Server::start(runtime, listener, router.clone()))
                .map_err(|error| (address, error))
        };
        match addresses.iter().map(server).collect() {
            Ok(servers) => {
                self.servers = servers;
                Ok(())
            }
            Err((address, error)) => {
                let text = format!(
                    "Service {service}: spec.healthCheckNodePort: cannot serve at {address}: {error}"
                );
                if self.failure.as_ref() == Some(&text) {
                    return Err(None);
                }
                tracing::warn!("{text}; trying again every few seconds");
                self.failure = Some(text.clone());
                Err(Some(text))
            }
        }
    }
}

/// The port a Service wants in a family.
fn wanted_port(snapshot: &Snapshot, service: &NamespacedName, family: IpFamily) -> Option<u16> {
    let service = snapshot.services.get(service)?;
    // Nearly all Services have none, and are done here.
    service.health_check_node_port?;
    let ports = proxied_ports(service, family);
    ports.first()?.health_check_node_port
}

/// The distinct addresses of ready endpoints on this node, over all ports of the Service.
fn local_endpoints(slices: &[EndpointSlice], family: IpFamily, node_name: &str) -> usize {
    let slices = slices
        .iter()
        .filter(|slice| slice.family == family && !slice.ports.is_empty());
    let ready: BTreeSet<IpAddr> = slices
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.ready && !node_name.is_empty())
        .filter(|endpoint| endpoint.node_name.as_deref() == Some(node_name))
        .map(|endpoint| endpoint.address)
        .collect();
    ready.len()
}

/// Every path and method gets the same answer.
fn router(service: &NamespacedName, endpoints: &Arc<AtomicUsize>, health: &Arc<Health>) -> Router {
    let (service, endpoints) = (service.clone(), Arc::clone(endpoints));
    let health = Arc::clone(health);
    Router::new().fallback(move || async move {
        let count = endpoints.load(Ordering::Relaxed);
        let healthy = health.report(Instant::now()).healthy;
        let code = health_check_response(count, healthy);
        let body = health_check_body(&service, count, healthy);
        ([(WEIGHT, count.to_string())], json(code, body)).into_response()
    })
}
