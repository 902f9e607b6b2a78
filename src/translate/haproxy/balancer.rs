//! What the balancer listens to and where it sends it, as values.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{HaproxyOptions, ServiceName};
use crate::model::{
    IpFamily, NamespacedName, Protocol, Service, ServicePort, ServiceType, Snapshot, TrafficPolicy,
};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancer {
    /// One for each port of a Service.
    pub backends: Vec<Backend>,
    /// What is left out and why, a sentence each.
    pub notes: Vec<String>,
}

/// A frontend and the backend behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Name of both: `default_web_http`.
    pub name: String,
    /// Whose: `default/web:http`.
    pub port: String,
    /// Where clients come.
    pub binds: Vec<Bind>,
    /// Requests are HTTP.
    pub http: bool,
    /// How a node is checked.
    pub check: Check,
    /// One a node.
    pub servers: Vec<Server>,
}

/// An address and a port to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bind {
    /// An unspecified address is every one of its family.
    pub address: SocketAddr,
}

/// How a node is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// By connecting to the node port.
    Connect,
    /// By asking `/healthz` at this port.
    Http(u16),
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The node's name.
    pub name: Arc<str>,
    /// Its address and the node port.
    pub address: SocketAddr,
}

/// Why there is no configuration: every reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BalancerError(pub Vec<String>);

/// The balancer for a snapshot whose Services have their node ports.
///
/// # Errors
/// A Service that is asked for does not exist or cannot be balanced, two want the same address and
/// port, or there are no nodes.
pub fn balancer(snapshot: &Snapshot, options: &HaproxyOptions) -> Result<Balancer, BalancerError> {
    let mut making = Making {
        options,
        nodes: nodes(snapshot, options),
        made: Balancer::default(),
        errors: Vec::new(),
    };
    making.check_names(snapshot);
    for service in snapshot.services.values() {
        if is_wanted(service, options) {
            making.service(service);
        }
    }
    making.check_binds();
    if making.made.backends.is_empty() && making.errors.is_empty() {
        let none =
            "no Service to balance: none is of type LoadBalancer; name others to choose them";
        making.errors.push(none.to_owned());
    }
    if making.errors.is_empty() {
        Ok(making.made)
    } else {
        Err(BalancerError(making.errors))
    }
}

fn is_wanted(service: &Service, options: &HaproxyOptions) -> bool {
    if options.services.is_empty() {
        return service.service_type == ServiceType::LoadBalancer;
    }
    options.services.iter().any(|name| name.is(&service.name))
}

/// Names with their addresses, IPv4 and IPv6.
fn nodes(snapshot: &Snapshot, options: &HaproxyOptions) -> Vec<(Arc<str>, Vec<IpAddr>)> {
    if options.nodes.is_empty() {
        let nodes = snapshot.nodes.values();
        return nodes
            .map(|n| (n.name.clone(), n.addresses.clone()))
            .collect();
    }
    let mut given: Vec<(Arc<str>, Vec<IpAddr>)> = Vec::new();
    for (name, address) in &options.nodes {
        match given.iter_mut().find(|(known, _)| known == name) {
            Some((_, addresses)) => addresses.push(*address),
            None => given.push((name.clone(), vec![*address])),
        }
    }
    given
}

struct Making<'a> {
    options: &'a HaproxyOptions,
    nodes: Vec<(Arc<str>, Vec<IpAddr>)>,
    made: Balancer,
    errors: Vec<String>,
}

impl Making<'_> {
    fn check_names(&mut self, snapshot: &Snapshot) {
        let http = self.options.http.iter().flatten();
        let binds = self.options.binds.iter().map(|(name, _, _)| name);
        let names: Vec<&ServiceName> = self
            .options
            .services
            .iter()
            .chain(http)
            .chain(binds)
            .collect();
        for name in names {
            if !snapshot.services.keys().any(|known| name.is(known)) {
                let of = name.namespace.as_ref();
                let of = of
                    .map(|namespace| format!("{namespace}/"))
                    .unwrap_or_default();
                self.errors
                    .push(format!("there is no Service {of}{}", name.name));
            }
        }
        if self.nodes.is_empty() {
            let none = "no nodes: the manifests hold none; give them with --node NAME=ADDRESS";
            self.errors.push(none.to_owned());
        }
    }

    fn service(&mut self, service: &Service) {
        let families: Vec<IpFamily> = IpFamily::ALL
            .into_iter()
            .filter(|family| service.cluster_ip(*family).is_some())
            .collect();
        if families.is_empty() {
            let name = &service.name;
            self.made.notes.push(format!(
                "{name}: has no cluster IP, so nodes know no port of it"
            ));
            return;
        }
        for port in &service.ports {
            self.port(service, port, &families);
        }
    }

    fn port(&mut self, service: &Service, port: &ServicePort, families: &[IpFamily]) {
        let shown = shown(&service.name, port);
        if port.protocol != Protocol::Tcp {
            let protocol = port.protocol;
            self.made
                .notes
                .push(format!("{shown}: HAProxy does not balance {protocol}"));
            return;
        }
        let Some(node_port) = port.node_port.filter(|number| *number != 0) else {
            self.made.notes.push(format!("{shown}: has no node port"));
            return;
        };
        let servers = self.servers(&shown, families, node_port);
        let http = match &self.options.http {
            None => true,
            Some(names) => names.iter().any(|name| name.is(&service.name)),
        };
        let local = service.external_traffic_policy == TrafficPolicy::Local;
        let health = service
            .health_check_node_port
            .filter(|port| local && *port != 0);
        self.made.backends.push(Backend {
            name: name(&service.name, port),
            port: shown,
            binds: self.binds(service, port, families),
            http,
            check: health.map_or(Check::Connect, Check::Http),
            servers,
        });
    }

    /// Each node once, at its address of the Service's first family that it has.
    fn servers(&mut self, shown: &str, families: &[IpFamily], node_port: u16) -> Vec<Server> {
        let mut servers = Vec::new();
        for (name, addresses) in &self.nodes {
            let of = |family: &IpFamily| {
                let mut addresses = addresses.iter().copied();
                addresses.find(|address| IpFamily::of(*address) == *family)
            };
            match families.iter().find_map(of) {
                Some(address) => servers.push(Server {
                    name: name.clone(),
                    address: SocketAddr::new(address, node_port),
                }),
                None => self.made.notes.push(format!(
                    "{shown}: node {name} has no address of a family that the Service has"
                )),
            }
        }
        servers
    }

    fn binds(&self, service: &Service, port: &ServicePort, families: &[IpFamily]) -> Vec<Bind> {
        let given = self.options.binds.iter();
        let given = given.filter(|(name, _, _)| name.is(&service.name));
        let given: Vec<Bind> = given
            .map(|(_, address, number)| Bind {
                address: SocketAddr::new(*address, number.unwrap_or(port.port)),
            })
            .collect();
        if !given.is_empty() {
            return given;
        }
        let everywhere = |family: &IpFamily| -> IpAddr {
            match family {
                IpFamily::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
                IpFamily::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
            }
        };
        let binds = families.iter().map(|family| Bind {
            address: SocketAddr::new(everywhere(family), port.port),
        });
        binds.collect()
    }

    /// A port of all addresses is taken for each of them.
    fn check_binds(&mut self) {
        let mut taken: BTreeMap<(u16, IpFamily), Vec<(IpAddr, &str)>> = BTreeMap::new();
        for backend in &self.made.backends {
            for Bind { address } in &backend.binds {
                let key = (address.port(), IpFamily::of(address.ip()));
                let others = taken.entry(key).or_default();
                let clash = others.iter().find(|(other, _)| {
                    other.is_unspecified()
                        || address.ip().is_unspecified()
                        || *other == address.ip()
                });
                if let Some((_, other)) = clash {
                    self.errors.push(format!(
                        "{} and {other} both want port {}: give one of them another address or port \
                         with --bind SERVICE=ADDRESS[:PORT]",
                        backend.port,
                        address.port()
                    ));
                }
                others.push((address.ip(), &backend.port));
            }
        }
        self.errors.dedup();
    }
}

/// `default/web:http`, as kube-proxy writes a service port.
fn shown(service: &NamespacedName, port: &ServicePort) -> String {
    if port.name.is_empty() {
        service.to_string()
    } else {
        format!("{service}:{}", port.name)
    }
}

/// A name that HAProxy takes: Kubernetes' names have no other letters than those it knows, and no
/// underscore.
fn name(service: &NamespacedName, port: &ServicePort) -> String {
    let of = if port.name.is_empty() {
        port.port.to_string()
    } else {
        port.name.to_string()
    };
    format!("{}_{}_{of}", service.namespace, service.name)
}
