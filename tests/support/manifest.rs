//! Manifests for portolan, written as Kubernetes objects in JSON (which is YAML).
//!
//! A [`Service`] here is a Service with the EndpointSlices that the cluster would make for it: one
//! slice for each port and family, so that ports can differ in their endpoints.

use serde_json::{Value, json};

use super::bed::POD_PORT;
use super::dial::Protocol;
use super::host::Host;

/// A Service in namespace `default` with its EndpointSlices.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    name: String,
    spec: Value,
    status: Value,
    annotations: Value,
    ports: Vec<Port>,
}

#[derive(Clone, Debug)]
struct Port {
    protocol: Protocol,
    number: u16,
    target: u16,
    node_port: Option<u16>,
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug)]
struct Endpoint {
    v4: String,
    v6: String,
    rest: Value,
}

/// The conditions of an endpoint whose pod is going away but still answers.
pub(crate) fn terminating() -> Value {
    json!({"conditions": {"ready": false, "serving": true, "terminating": true}})
}

/// The hints of an endpoint that a zone should use.
pub(crate) fn hint_for_zone(zone: &str) -> Value {
    json!({"conditions": {"ready": true}, "hints": {"forZones": [{"name": zone}]}})
}

impl Service {
    /// TCP port 80 on a cluster IP of either family, without endpoints yet.
    pub(crate) fn new(name: &str, cluster_ip: &str) -> Self {
        let spec = json!({"type": "ClusterIP", "clusterIPs": [cluster_ip]});
        let service = Self {
            name: name.to_owned(),
            spec,
            status: json!({}),
            annotations: json!({}),
            ports: Vec::new(),
        };
        service.port(Protocol::Tcp, 80)
    }

    /// A second cluster IP, of the other family.
    pub(crate) fn dual_stack(mut self, cluster_ip: &str) -> Self {
        self.cluster_ips().push(json!(cluster_ip));
        self.field("ipFamilyPolicy", json!("RequireDualStack"))
    }

    /// One more port; what follows about node ports and endpoints is about it.
    pub(crate) fn port(mut self, protocol: Protocol, number: u16) -> Self {
        self.ports.push(Port {
            protocol,
            number,
            target: POD_PORT,
            node_port: None,
            endpoints: Vec::new(),
        });
        self
    }

    /// Another protocol for the last port.
    pub(crate) fn over(mut self, protocol: Protocol) -> Self {
        self.last_port().protocol = protocol;
        self
    }

    /// Type NodePort (unless it is a LoadBalancer already) with this port.
    pub(crate) fn node_port(mut self, port: u16) -> Self {
        self.last_port().node_port = Some(port);
        if self.spec["type"] == "ClusterIP" {
            return self.field("type", json!("NodePort"));
        }
        self
    }

    /// Type LoadBalancer with this address in its status, `ipMode: VIP` (the default).
    pub(crate) fn load_balancer(self, address: &str) -> Self {
        self.load_balancer_with(json!({"ip": address}))
    }

    /// Type LoadBalancer with this ingress in its status.
    pub(crate) fn load_balancer_with(mut self, ingress: Value) -> Self {
        self.status = json!({"loadBalancer": {"ingress": [ingress]}});
        self.field("type", json!("LoadBalancer"))
    }

    /// Adds an annotation.
    pub(crate) fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations[name] = json!(value);
        self
    }

    /// Sets a field of `spec`.
    pub(crate) fn field(mut self, name: &str, value: Value) -> Self {
        self.spec[name] = value;
        self
    }

    /// `sessionAffinity: ClientIP` for this long.
    pub(crate) fn sticky(self, seconds: u32) -> Self {
        self.field("sessionAffinity", json!("ClientIP")).field(
            "sessionAffinityConfig",
            json!({"clientIP": {"timeoutSeconds": seconds}}),
        )
    }

    /// Ready endpoints for the last port.
    pub(crate) fn to<'a>(self, pods: impl IntoIterator<Item = &'a Host>) -> Self {
        self.to_with(pods, &json!({"conditions": {"ready": true}}))
    }

    /// Endpoints for the last port with these conditions and hints.
    pub(crate) fn to_with<'a>(
        mut self,
        pods: impl IntoIterator<Item = &'a Host>,
        rest: &Value,
    ) -> Self {
        let endpoints = pods.into_iter().map(|pod| {
            let mut rest = rest.clone();
            rest["nodeName"] = json!(pod.node);
            Endpoint {
                v4: pod.v4.clone(),
                v6: pod.v6.clone(),
                rest,
            }
        });
        self.last_port().endpoints.extend(endpoints);
        self
    }

    /// Ready endpoints for the last port that are no pods of the testbed: IPv4 addresses on a node.
    pub(crate) fn to_addresses(mut self, node: &str, addresses: Vec<String>, port: u16) -> Self {
        let endpoints = addresses.into_iter().map(|v4| Endpoint {
            v4,
            v6: String::new(),
            rest: json!({"conditions": {"ready": true}, "nodeName": node}),
        });
        let last = self.last_port();
        last.endpoints.extend(endpoints);
        last.target = port;
        self
    }

    /// The Service and its slices.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let mut objects = vec![self.service()];
        for (index, port) in self.ports.iter().enumerate() {
            for ip in self.spec["clusterIPs"].as_array().unwrap() {
                let v6 = ip.as_str().unwrap().contains(':');
                // One slice where there are no endpoints; the API takes 1000 in each.
                let mut lists = port.endpoints.chunks(1000);
                objects.push(self.slice(index, port, v6, lists.next().unwrap_or_default(), 0));
                for (list, number) in lists.zip(1..) {
                    objects.push(self.slice(index, port, v6, list, number));
                }
            }
        }
        objects
    }

    fn service(&self) -> Value {
        let mut spec = self.spec.clone();
        spec["clusterIP"] = spec["clusterIPs"][0].clone();
        spec["ipFamilies"] = spec["clusterIPs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ip| {
                if ip.as_str().unwrap().contains(':') {
                    "IPv6"
                } else {
                    "IPv4"
                }
            })
            .collect();
        spec["ports"] = self
            .ports
            .iter()
            .enumerate()
            .map(|(index, port)| port.spec(index))
            .collect();
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "namespace": "default",
                "name": self.name,
                "annotations": self.annotations,
            },
            "spec": spec,
            "status": self.status,
        })
    }

    fn slice(
        &self,
        index: usize,
        port: &Port,
        v6: bool,
        endpoints: &[Endpoint],
        number: u32,
    ) -> Value {
        let family = if v6 { "IPv6" } else { "IPv4" };
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|endpoint| endpoint.object(v6))
            .collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": "default",
                "name": format!("{}-{index}-{}-{number}", self.name, family.to_lowercase()),
                "labels": {"kubernetes.io/service-name": self.name},
            },
            "addressType": family,
            "ports": [{
                "name": port_name(index),
                "port": port.target,
                "protocol": port.protocol.to_string(),
            }],
            "endpoints": endpoints,
        })
    }

    fn last_port(&mut self) -> &mut Port {
        self.ports.last_mut().expect("a service has a port")
    }

    fn cluster_ips(&mut self) -> &mut Vec<Value> {
        self.spec["clusterIPs"].as_array_mut().unwrap()
    }
}

impl Port {
    fn spec(&self, index: usize) -> Value {
        let mut spec = json!({
            "name": port_name(index),
            "port": self.number,
            "targetPort": self.target,
            "protocol": self.protocol.to_string(),
        });
        if let Some(node_port) = self.node_port {
            spec["nodePort"] = json!(node_port);
        }
        spec
    }
}

impl Endpoint {
    fn object(&self, v6: bool) -> Value {
        let mut object = self.rest.clone();
        object["addresses"] = json!([if v6 { &self.v6 } else { &self.v4 }]);
        object
    }
}

fn port_name(index: usize) -> String {
    format!("p{index}")
}

/// The nodes n0 and n1 of the testbed, in zones `here` and `there`.
pub(crate) fn nodes() -> Vec<Value> {
    let node = |name: &str, zone: &str, host: u8| {
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone},
            },
            "status": {"addresses": [
                {"type": "InternalIP", "address": format!("192.168.10.{host}")},
                {"type": "InternalIP", "address": format!("fd00:192:168:10::{host}")},
            ]},
        })
    };
    vec![node("n0", "here", 100), node("n1", "there", 150)]
}

/// The nodes and the services as one multi-document manifest.
pub(crate) fn manifests(services: &[Service]) -> String {
    let objects = nodes()
        .into_iter()
        .chain(services.iter().flat_map(Service::objects));
    objects.map(|object| format!("---\n{object:#}\n")).collect()
}
