//! What allocation does, seen from a manifest. Cases that hold for every input are properties, in
//! `tests/allocate_properties.rs`.

mod addresses;
mod balancers;
mod bands;
mod families;
mod memory;
mod node_ports;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::{
    IpFamily, NamespacedName, Protocol, Service, ServicePort, ServiceType, TargetPort,
    TrafficPolicy,
};
use super::{AddressRange, AllocationError, Allocations, BALANCER_CLASS, Ranges, allocate};

/// The Services of a cluster and what was given out to them.
struct Cluster {
    ranges: Ranges,
    services: BTreeMap<NamespacedName, Service>,
    allocations: Allocations,
}

impl Cluster {
    fn new(service_cidrs: &str, services: impl IntoIterator<Item = Service>) -> Self {
        let ranges = Ranges {
            cluster_ips: service_cidrs
                .split_terminator(',')
                .map(|range| range.parse().unwrap())
                .collect(),
            ..Ranges::default()
        };
        let mut cluster = Self {
            ranges,
            services: BTreeMap::new(),
            allocations: Allocations::default(),
        };
        cluster.set(services);
        cluster
    }

    fn v4(services: impl IntoIterator<Item = Service>) -> Self {
        Self::new("10.233.0.0/18", services)
    }

    fn dual(services: impl IntoIterator<Item = Service>) -> Self {
        Self::new("10.233.0.0/18,fd00:10:233::/112", services)
    }

    /// Replaces the manifests; what was given out stays remembered.
    fn set(&mut self, services: impl IntoIterator<Item = Service>) {
        let named = services.into_iter().map(|s| (s.name.clone(), s));
        self.services = named.collect();
    }

    fn allocate(&mut self) -> Result<(), Vec<AllocationError>> {
        self.allocations = allocate(&mut self.services, &self.ranges, &self.allocations)?;
        Ok(())
    }

    fn done(mut self) -> Self {
        self.allocate().unwrap();
        self
    }

    /// All errors, as `name: field: reason`.
    fn refused(&mut self) -> Vec<String> {
        let before = self.services.clone();
        let errors = self.allocate().unwrap_err();
        assert_eq!(
            self.services, before,
            "a refused allocation changes nothing"
        );
        let line = |e: AllocationError| format!("{}: {}: {}", e.service.name, e.field, e.reason);
        errors.into_iter().map(line).collect()
    }

    fn get(&self, name: &str) -> &Service {
        &self.services[&NamespacedName::new("default", name)]
    }

    fn ip(&self, name: &str) -> String {
        self.ips(name).join(",")
    }

    fn ips(&self, name: &str) -> Vec<String> {
        let ips = self.get(name).cluster_ips.iter();
        ips.map(ToString::to_string).collect()
    }

    fn node_ports(&self, name: &str) -> Vec<Option<u16>> {
        self.get(name).ports.iter().map(|p| p.node_port).collect()
    }
}

/// A Service with one port, 80/TCP, and a selector.
fn service(name: &str) -> Service {
    Service {
        ports: vec![port("", 80)],
        selector: [("app".into(), name.into())].into(),
        ..Service::new(NamespacedName::new("default", name))
    }
}

fn at(name: &str, ips: &str) -> Service {
    Service {
        cluster_ips: ips.split(',').map(ip).collect(),
        ..service(name)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol: Protocol::Tcp,
        port: number,
        target_port: TargetPort::Number(number),
        node_port: None,
    }
}

fn udp(name: &str, number: u16) -> ServicePort {
    ServicePort {
        protocol: Protocol::Udp,
        ..port(name, number)
    }
}

fn on(node_port: u16, port: ServicePort) -> ServicePort {
    ServicePort {
        node_port: Some(node_port),
        ..port
    }
}

fn node_port(name: &str, ports: impl Into<Vec<ServicePort>>) -> Service {
    Service {
        service_type: ServiceType::NodePort,
        ports: ports.into(),
        ..service(name)
    }
}

fn load_balancer(name: &str, ports: impl Into<Vec<ServicePort>>) -> Service {
    Service {
        service_type: ServiceType::LoadBalancer,
        ..node_port(name, ports)
    }
}

const V4: IpFamily = IpFamily::V4;
const V6: IpFamily = IpFamily::V6;
