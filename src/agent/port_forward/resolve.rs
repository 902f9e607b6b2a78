//! From what is asked for to where it leads: which Pods, which port, and what is said where there
//! is none. Pure, and the same for manifests, labs and clusters, which differ in how a place is
//! reached: by an address, or by the name of a Pod.

use super::target::{PortSpec, Remote, Target};
use crate::model::{
    ContainerPort, Endpoint, EndpointPort, EndpointSlice, Pod, Protocol, Service, ServicePort,
};

/// Where a port leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way<P> {
    /// The number of the port that was asked for.
    pub(super) asked: u16,
    /// What can be forwarded to at the moment, in order; maybe nothing.
    pub(super) places: Vec<P>,
}

/// Nothing that could ever be forwarded to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// No such object.
    #[error("there is no {target} in namespace {namespace}")]
    NoTarget { target: Target, namespace: String },
    /// No such port.
    #[error("{target} has no port {port} of {protocol}; it has {has}")]
    NoPort {
        target: Target,
        port: Remote,
        protocol: Protocol,
        has: String,
    },
}

/// A port of a target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) target: &'a Target,
    pub(super) spec: &'a PortSpec,
}

impl Asked<'_> {
    /// The way to a Service's port: to those of its endpoints that are ready, at the port of their
    /// slice, which has a named target port resolved. `place` says how one is reached, or that it
    /// cannot be.
    pub(super) fn of_service<P: Ord>(
        self,
        service: &Service,
        slices: &[EndpointSlice],
        place: impl Fn(&Endpoint, u16) -> Option<P>,
    ) -> Result<Way<P>, ResolveError> {
        let asked = self.service_port(service)?;
        let mut places = Vec::new();
        for slice in slices {
            let mut ports = slice.ports.iter();
            let same =
                |port: &&EndpointPort| port.name == asked.name && port.protocol == asked.protocol;
            let Some(port) = ports.find(same).map(|p| p.port).filter(|&port| port != 0) else {
                continue;
            };
            let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready);
            places.extend(ready.filter_map(|endpoint| place(endpoint, port)));
        }
        Ok(Way::new(asked.port, places))
    }

    fn service_port(self, service: &Service) -> Result<&ServicePort, ResolveError> {
        let mut ports = service.ports.iter();
        let found = ports.find(|port| {
            let named = match &self.spec.remote {
                Remote::Number(number) => port.port == *number,
                Remote::Name(name) => *port.name == **name,
            };
            named && port.protocol == self.spec.protocol
        });
        found.ok_or_else(|| {
            let has = service.ports.iter();
            self.no_port(has.map(|port| format!("{}/{}", port.port, port.protocol)))
        })
    }

    /// The way to a port of one of these Pods: those that are ready, or if none is, any that has
    /// not ended, as kubectl has it. `place` says how one is reached, or that it cannot be.
    pub(super) fn of_pods<P: Ord>(
        self,
        pods: &[&Pod],
        place: impl Fn(&Pod, u16) -> Option<P>,
    ) -> Result<Way<P>, ResolveError> {
        let Some(asked) = pods.iter().find_map(|pod| self.number(pod)) else {
            let has = pods.iter().flat_map(|pod| &pod.ports);
            return Err(self.no_port(has.map(|port| {
                let name = Some(&*port.name).filter(|name| !name.is_empty());
                let name = name.unwrap_or("unnamed");
                format!("{name} ({}/{})", port.port, port.protocol)
            })));
        };
        let (mut ready, mut others) = (Vec::new(), Vec::new());
        for pod in pods.iter().filter(|pod| !pod.finished && !pod.terminating) {
            if let Some(place) = self.number(pod).and_then(|number| place(pod, number)) {
                let list = if pod.ready { &mut ready } else { &mut others };
                list.push(place);
            }
        }
        let places = if ready.is_empty() { others } else { ready };
        Ok(Way::new(asked, places))
    }

    /// The way to a port of a workload's Pods. Where there are none yet, their template says what
    /// ports they will have.
    pub(super) fn of_workload<P: Ord>(
        self,
        pods: &[&Pod],
        template: &Pod,
        place: impl Fn(&Pod, u16) -> Option<P>,
    ) -> Result<Way<P>, ResolveError> {
        if pods.is_empty() {
            return self.of_pods(&[template], |_, _| None);
        }
        self.of_pods(pods, place)
    }

    /// The number of the port in a Pod.
    fn number(self, pod: &Pod) -> Option<u16> {
        match &self.spec.remote {
            // A Pod may listen on ports that its manifest does not tell.
            Remote::Number(number) => Some(*number),
            Remote::Name(name) => {
                let mut ports = pod.ports.iter();
                let same = |port: &&ContainerPort| {
                    *port.name == **name && port.protocol == self.spec.protocol
                };
                ports.find(same).map(|port| port.port)
            }
        }
    }

    fn no_port(self, ports: impl Iterator<Item = String>) -> ResolveError {
        let mut has: Vec<String> = Vec::new();
        for port in ports {
            // The Pods of a workload have the same.
            if !has.contains(&port) {
                has.push(port);
            }
        }
        ResolveError::NoPort {
            target: self.target.clone(),
            port: self.spec.remote.clone(),
            protocol: self.spec.protocol,
            has: if has.is_empty() {
                "none".to_owned()
            } else {
                has.join(", ")
            },
        }
    }
}

impl<P: Ord> Way<P> {
    fn new(asked: u16, mut places: Vec<P>) -> Self {
        places.sort_unstable();
        // A Pod with two addresses is in two slices.
        places.dedup();
        Self { asked, places }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::NamespacedName;

    fn pod(name: &str, ready: bool) -> Pod {
        let port = |name: &str, port| ContainerPort {
            name: name.into(),
            port,
            protocol: Protocol::Tcp,
        };
        Pod {
            name: NamespacedName::new("default", name),
            labels: BTreeMap::new(),
            ips: Vec::new(),
            node_name: None,
            hostname: None,
            subdomain: None,
            ready,
            terminating: false,
            finished: false,
            ports: vec![port("http", 8080), port("", 9)],
        }
    }

    fn named(pod: &Pod, port: u16) -> Option<String> {
        Some(format!("{}:{port}", pod.name.name))
    }

    /// The places, or what is said where there is no such port.
    fn found(pods: &[&Pod], port: &str) -> Result<Vec<String>, String> {
        let target = "deploy/web".parse().unwrap();
        let spec = port.parse().unwrap();
        let (target, spec) = (&target, &spec);
        let way = Asked { target, spec }.of_workload(pods, &pod("template", true), named);
        way.map(|way| way.places).map_err(|error| error.to_string())
    }

    #[test]
    fn pods_that_are_ready_are_meant_and_if_none_is_any_that_goes_on() {
        let (a, b, c) = (pod("a", false), pod("b", true), pod("c", true));
        assert_eq!(found(&[&c, &a, &b], "http").unwrap(), ["b:8080", "c:8080"]);
        assert_eq!(found(&[&a], "70").unwrap(), ["a:70"]);
        let (mut ended, mut going) = (pod("d", false), pod("e", true));
        ended.finished = true;
        going.terminating = true;
        assert_eq!(found(&[&ended, &going, &a], "http").unwrap(), ["a:8080"]);
        assert_eq!(found(&[&ended, &going], "http"), Ok(Vec::new()));
    }

    #[test]
    fn a_port_that_no_pod_has_is_an_error_that_names_each_port_once() {
        let (a, b) = (pod("a", true), pod("b", true));
        let has = "it has http (8080/TCP), unnamed (9/TCP)";
        let expected = format!("deployment/web has no port https of TCP; {has}");
        assert_eq!(found(&[&a, &b], "https"), Err(expected.clone()));
        // The template knows before there are Pods.
        assert_eq!(found(&[], "https"), Err(expected));
        assert_eq!(found(&[], "http"), Ok(Vec::new()));
    }
}
