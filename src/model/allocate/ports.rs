//! Node ports and health-check node ports: fixed, remembered, new. One allocator gives out both.
//!
//! A node port is a number, whatever the protocol. Ports of one Service that differ only in
//! protocol share one.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use super::super::{Service, ServicePort, ServiceType, TrafficPolicy};
use super::error::ErrorList;
use super::held::{Field, Held, Holder};
use super::pool::Pool;
use super::range::Bands;
use super::record::ServiceAllocation;
use super::{Input, NamespacedName};

/// What a Service is to have of node ports.
#[derive(Debug, Default)]
pub(super) struct ChosenPorts {
    /// Entry i belongs to `spec.ports[i]`.
    node_ports: Vec<Option<u16>>,
    health_check: Option<u16>,
}

impl ChosenPorts {
    pub(super) fn apply(self, service: &mut Service) {
        for (port, node_port) in service.ports.iter_mut().zip(self.node_ports) {
            port.node_port = node_port;
        }
        service.health_check_node_port = self.health_check;
    }
}

/// The ports that the manifest fixes and the type can have.
fn draft(service: &Service) -> ChosenPorts {
    let node_ports = service.ports.iter();
    ChosenPorts {
        node_ports: node_ports
            .map(|port| port.node_port.filter(|_| has_node_ports(service)))
            .collect(),
        health_check: service
            .health_check_node_port
            .filter(|_| has_health_check(service)),
    }
}

fn has_node_ports(service: &Service) -> bool {
    matches!(
        service.service_type,
        ServiceType::NodePort | ServiceType::LoadBalancer
    )
}

/// Ports without a node port are to get one.
fn wants_node_ports(service: &Service) -> bool {
    match service.service_type {
        ServiceType::NodePort => true,
        ServiceType::LoadBalancer => service.allocate_node_ports,
        ServiceType::ClusterIp | ServiceType::ExternalName => false,
    }
}

fn has_health_check(service: &Service) -> bool {
    service.service_type == ServiceType::LoadBalancer
        && service.external_traffic_policy == TrafficPolicy::Local
}

/// All node ports that are held, and which are free.
#[derive(Debug)]
pub(super) struct Book {
    range: RangeInclusive<u16>,
    held: Held<u16>,
    pool: Pool,
}

impl Book {
    pub(super) fn new(range: &RangeInclusive<u16>) -> Self {
        Self {
            range: range.clone(),
            held: Held::default(),
            pool: Pool::new(Bands::of_ports(range)),
        }
    }

    /// Chooses for some Services, which hold nothing; entry i is for input i.
    pub(super) fn choose(
        &mut self,
        inputs: &[Input<'_>],
        errors: &mut ErrorList,
    ) -> Vec<ChosenPorts> {
        let mut drafts: Vec<_> = inputs.iter().map(|input| draft(input.service)).collect();
        for (input, draft) in inputs.iter().zip(&drafts) {
            self.take_fixed(input, draft, errors);
        }
        for (input, draft) in inputs.iter().zip(&mut drafts) {
            self.take_remembered(input, draft, errors);
        }
        for (input, draft) in inputs.iter().zip(&mut drafts) {
            self.take_new(input, draft, errors);
        }
        drafts
    }

    /// Gives back what a Service holds of this.
    pub(super) fn release(&mut self, service: &NamespacedName, record: &ServiceAllocation) {
        let node_ports = record.node_ports.iter().map(|port| port.node_port);
        for port in node_ports.chain(record.health_check_node_port) {
            if self.held.remove(port, service) {
                self.pool.release(u128::from(port - self.range.start()));
            }
        }
    }

    /// Makes all since the last call of this or [`undo`](Self::undo) final.
    pub(super) fn keep(&mut self) {
        self.held.keep();
    }

    /// Takes all back since the last call of this or [`keep`](Self::keep).
    pub(super) fn undo(&mut self) {
        while let Some((port, is_held)) = self.held.undo_one() {
            let position = u128::from(port - self.range.start());
            if is_held {
                self.pool.take(position);
            } else {
                self.pool.release(position);
            }
        }
    }

    fn hold(&mut self, port: u16, holder: Holder) -> Result<(), String> {
        if !self.range.contains(&port) {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                self.range.start(),
                self.range.end()
            ));
        }
        if let Some(other) = self.held.get(port) {
            return Err(format!("provided port is already allocated {other}"));
        }
        self.held.insert(port, holder);
        self.pool.take(u128::from(port - self.range.start()));
        Ok(())
    }

    fn take_fixed(&mut self, input: &Input<'_>, draft: &ChosenPorts, errors: &mut ErrorList) {
        let holder = |field| Holder {
            name: input.name.clone(),
            field,
            remembered: false,
        };
        for (index, node_port) in draft.node_ports.iter().enumerate() {
            let Some(node_port) = node_port.filter(|port| !self.shares(*port, input, index)) else {
                continue;
            };
            let field = Field::NodePort(index);
            if let Err(why) = self.hold(node_port, holder(field)) {
                errors.push(input.name, &field, refusal(field, node_port, &why));
            }
        }
        if let Some(port) = draft.health_check {
            let field = Field::HealthCheckNodePort;
            if let Err(why) = self.hold(port, holder(field)) {
                errors.push(input.name, &field, refusal(field, port, &why));
            }
        }
    }

    fn take_remembered(
        &mut self,
        input: &Input<'_>,
        draft: &mut ChosenPorts,
        errors: &mut ErrorList,
    ) {
        let Some(record) = input.remembered else {
            return;
        };
        if wants_node_ports(input.service) {
            let remembered = remembered_ports(&input.service.ports, record);
            for (index, node_port) in remembered.into_iter().enumerate() {
                let Some(node_port) = node_port.filter(|_| draft.node_ports[index].is_none())
                else {
                    continue;
                };
                if self.shares(node_port, input, index)
                    || self.keep_remembered(node_port, input, Field::NodePort(index), errors)
                {
                    draft.node_ports[index] = Some(node_port);
                }
            }
        }
        if has_health_check(input.service)
            && draft.health_check.is_none()
            && let Some(port) = record.health_check_node_port
            && self.keep_remembered(port, input, Field::HealthCheckNodePort, errors)
        {
            draft.health_check = Some(port);
        }
    }

    /// Whether a Service keeps what an earlier run gave it. If another Service's manifest claims
    /// it, that one is refused.
    fn keep_remembered(
        &mut self,
        port: u16,
        input: &Input<'_>,
        field: Field,
        errors: &mut ErrorList,
    ) -> bool {
        let holder = Holder {
            name: input.name.clone(),
            field,
            remembered: true,
        };
        if self.hold(port, holder.clone()).is_ok() {
            return true;
        }
        let Some(claimant) = self.held.get(port) else {
            return false;
        };
        if claimant.remembered || claimant.name == *input.name {
            return false;
        }
        let why = format!("provided port is already allocated {holder}");
        let reason = refusal(claimant.field, port, &why);
        errors.push(&claimant.name, &claimant.field, reason);
        true
    }

    fn take_new(&mut self, input: &Input<'_>, draft: &mut ChosenPorts, errors: &mut ErrorList) {
        if wants_node_ports(input.service) {
            self.take_new_node_ports(input, draft, errors);
        }
        if has_health_check(input.service) && draft.health_check.is_none() {
            let field = Field::HealthCheckNodePort;
            draft.health_check = self.next("healthCheckNodePort", input, field);
            if draft.health_check.is_none() {
                let full = self.full("failed to allocate a HealthCheck NodePort");
                errors.push(input.name, &Field::HealthCheckNodePort, full);
            }
        }
    }

    fn take_new_node_ports(
        &mut self,
        input: &Input<'_>,
        draft: &mut ChosenPorts,
        errors: &mut ErrorList,
    ) {
        let numbers: Vec<u16> = input.service.ports.iter().map(|port| port.port).collect();
        let mut by_number = HashMap::new();
        for (number, node_port) in numbers.iter().zip(&draft.node_ports) {
            if let Some(node_port) = *node_port {
                by_number.entry(*number).or_insert(node_port);
            }
        }
        let open = draft.node_ports.iter_mut().zip(numbers).enumerate();
        for (index, (node_port, number)) in open.filter(|(_, (port, _))| port.is_none()) {
            let shared = by_number.get(&number).copied();
            *node_port =
                shared.or_else(|| self.next(&number.to_string(), input, Field::NodePort(index)));
            if let Some(node_port) = *node_port {
                by_number.insert(number, node_port);
            } else {
                let full = self.full("failed to allocate a nodePort");
                errors.push(input.name, &Field::NodePort(index), full);
            }
        }
    }

    /// A port of the same Service and number has this node port: the two differ in protocol only,
    /// so they share it.
    fn shares(&self, node_port: u16, input: &Input<'_>, index: usize) -> bool {
        let Some(holder) = self.held.get(node_port) else {
            return false;
        };
        let ports = &input.service.ports;
        holder.name == *input.name
            && matches!(holder.field, Field::NodePort(other) if ports[other].port == ports[index].port)
    }

    /// A free port for a field, held from now on.
    fn next(&mut self, hashed: &str, input: &Input<'_>, field: Field) -> Option<u16> {
        let position = self.pool.take_next(&format!("{}/{hashed}", input.name))?;
        let port = self
            .range
            .start()
            .checked_add(u16::try_from(position).ok()?)?;
        // From now on as good as remembered.
        let holder = Holder {
            name: input.name.clone(),
            field,
            remembered: true,
        };
        self.held.insert(port, holder);
        Some(port)
    }

    fn full(&self, what: &str) -> String {
        let (start, end) = (self.range.start(), self.range.end());
        format!("{what}: range is full ({start}-{end})")
    }
}

/// What each port of a Service had: found by the port's name, as the API server does on an update,
/// else by number and protocol, so that a port keeps its node port when it is first given a name.
fn remembered_ports(ports: &[ServicePort], record: &ServiceAllocation) -> Vec<Option<u16>> {
    let names: HashSet<&str> = ports.iter().map(|port| &*port.name).collect();
    let mut by_name = HashMap::new();
    let mut by_number = HashMap::new();
    for had in &record.node_ports {
        by_name.insert(had.name.as_str(), had.node_port);
        if !names.contains(had.name.as_str()) {
            by_number.insert((had.port, had.protocol), had.node_port);
        }
    }
    let had = |port: &ServicePort| {
        let named = by_name.get(&*port.name);
        named.or_else(|| by_number.get(&(port.port, port.protocol)))
    };
    ports.iter().map(|port| had(port).copied()).collect()
}

/// A refusal of a port, as the API server words it for the field.
fn refusal(field: Field, port: u16, why: &str) -> String {
    let what = match field {
        Field::HealthCheckNodePort => {
            format!("failed to allocate requested HealthCheck NodePort {port}: ")
        }
        Field::NodePort(_) | Field::ClusterIp(_) | Field::LoadBalancerIp => String::new(),
    };
    format!("Invalid value: {port}: {what}{why}")
}
