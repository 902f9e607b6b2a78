//! On which ports a pod's server listens.
//!
//! Pure. On a cluster the program in the image decides; the lab has no images, so the server listens
//! on what the pod declares, and on what Services that select it point to: `mynodeport.yml` of the
//! course points to port 8080 of pods that declare port 80, and shall be reachable here.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{NamespacedName, Pod, Protocol, Service, TargetPort};

/// Ports by protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) tcp: BTreeSet<u16>,
    pub(super) udp: BTreeSet<u16>,
}

impl Ports {
    /// SCTP has no server here.
    fn add(&mut self, protocol: Protocol, port: u16) {
        match protocol {
            Protocol::Tcp => self.tcp.insert(port),
            Protocol::Udp => self.udp.insert(port),
            Protocol::Sctp => false,
        };
    }

    fn has(&self, protocol: Protocol, port: u16) -> bool {
        match protocol {
            Protocol::Tcp => self.tcp.contains(&port),
            Protocol::Udp => self.udp.contains(&port),
            Protocol::Sctp => false,
        }
    }
}

/// What a pod declares.
fn declared(pod: &Pod) -> Ports {
    let mut ports = Ports::default();
    for port in &pod.ports {
        ports.add(port.protocol, port.port);
    }
    ports
}

fn selects(service: &Service, pod: &Pod) -> bool {
    service.name.namespace == pod.name.namespace
        && !service.selector.is_empty()
        && service
            .selector
            .iter()
            .all(|(key, value)| pod.labels.get(key) == Some(value))
}

/// Numbers that a Service points to.
fn targets(service: &Service) -> impl Iterator<Item = (Protocol, u16)> {
    service
        .ports
        .iter()
        .filter_map(|port| match port.target_port {
            TargetPort::Number(number) => Some((port.protocol, number)),
            TargetPort::Name(_) => None,
        })
}

/// Every port that this pod's server listens on.
pub(super) fn listened(pod: &Pod, services: &BTreeMap<NamespacedName, Service>) -> Ports {
    let mut ports = declared(pod);
    for service in services.values().filter(|service| selects(service, pod)) {
        for (protocol, number) in targets(service) {
            ports.add(protocol, number);
        }
    }
    ports
}

/// What there is to say about Services that point to ports which their pods do not declare: it works
/// here, and often not on a cluster.
pub(super) fn notes(pod: &Pod, services: &BTreeMap<NamespacedName, Service>) -> Vec<String> {
    let declared = declared(pod);
    let of_service = |service: &Service| {
        let missing = targets(service).filter(|(protocol, port)| !declared.has(*protocol, *port));
        let name = service.name.clone();
        missing
            .map(|(protocol, port)| match protocol {
                Protocol::Sctp => format!(
                    "Service {name}: nothing answers at port {port}/SCTP: pods of the lab speak TCP and UDP"
                ),
                _ => format!(
                    "Service {name}: port {port}/{protocol} is no containerPort of its pods; the lab's \
                     pods listen on it all the same"
                ),
            })
            .collect::<Vec<_>>()
    };
    let selecting = services.values().filter(|service| selects(service, pod));
    selecting.flat_map(of_service).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{ContainerPort, ServicePort};

    fn pod() -> Pod {
        Pod {
            name: NamespacedName::new("default", "p"),
            labels: [("app".into(), "webui".into())].into(),
            ips: Vec::new(),
            node_name: None,
            hostname: None,
            subdomain: None,
            ready: true,
            terminating: false,
            finished: false,
            ports: vec![ContainerPort {
                name: "http".into(),
                port: 80,
                protocol: Protocol::Tcp,
            }],
        }
    }

    fn service(name: &str, protocol: Protocol, target: TargetPort) -> Service {
        let mut service = Service::new(NamespacedName::new("default", name));
        service.selector = [("app".into(), "webui".into())].into();
        service.ports.push(ServicePort {
            name: Arc::from(""),
            protocol,
            port: 80,
            target_port: target,
            node_port: None,
        });
        service
    }

    fn all(services: [Service; 3]) -> BTreeMap<NamespacedName, Service> {
        let named = services
            .into_iter()
            .map(|service| (service.name.clone(), service));
        named.collect()
    }

    #[test]
    fn a_pod_listens_on_what_it_declares_and_on_what_services_point_to() {
        let mut elsewhere = service("elsewhere", Protocol::Tcp, TargetPort::Number(7));
        elsewhere.selector = [("app".into(), "other".into())].into();
        let services = all([
            service("node-port", Protocol::Tcp, TargetPort::Number(8080)),
            service("udp", Protocol::Udp, TargetPort::Number(53)),
            elsewhere,
        ]);
        let ports = listened(&pod(), &services);
        assert_eq!(ports.tcp, [80, 8080].into());
        assert_eq!(ports.udp, [53].into());
        assert_eq!(notes(&pod(), &services).len(), 2);
    }

    #[test]
    fn a_named_port_is_one_that_is_declared() {
        let services = all([
            service("a", Protocol::Tcp, TargetPort::Name("http".into())),
            service("b", Protocol::Tcp, TargetPort::Number(80)),
            service("c", Protocol::Sctp, TargetPort::Number(9)),
        ]);
        assert_eq!(listened(&pod(), &services).tcp, [80].into());
        let notes = notes(&pod(), &services);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("SCTP"));
    }
}
