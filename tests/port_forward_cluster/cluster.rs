//! Pods, and the objects that tell of them.

use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::support::server::Server;
use crate::support::{Namespace, Protocol};

/// What the pods of a Service listen on.
pub(crate) const PORT: u16 = 8080;

/// An API server and pods that no address leads to.
pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    pub(crate) pods: Vec<Namespace>,
    servers: Vec<Server>,
}

impl Cluster {
    /// With `pod-1` and so on, labelled `app: web`, and a Service in front of all of them.
    pub(crate) fn with_pods(count: usize) -> Self {
        let mut cluster = Self {
            server: ApiServer::start(),
            pods: Vec::new(),
            servers: Vec::new(),
        };
        for number in 1..=count {
            let namespace = Namespace::new();
            namespace.ip(&["link set lo up".to_owned()]);
            let name = format!("pod-{number}");
            let served = Server::start(&namespace, &name, Protocol::Tcp, PORT);
            cluster.servers.push(served);
            cluster.server.put(&pod(&name));
            cluster.server.runs(&name, namespace.path());
            cluster.pods.push(namespace);
        }
        cluster.server.put(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIP": "10.233.10.10", "selector": {"app": "web"}, "ports": [
                {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
                {"name": "dead", "port": 81, "targetPort": 9, "protocol": "TCP"},
            ]},
        }));
        let all: Vec<String> = (1..=count).map(|number| format!("pod-{number}")).collect();
        cluster.ready(&all.iter().map(String::as_str).collect::<Vec<_>>());
        cluster
    }

    /// These are the Service's ready endpoints, and another is not ready.
    pub(crate) fn ready(&self, pods: &[&str]) {
        let endpoint = |pod: &str, address: String, ready: bool| {
            json!({
                "addresses": [address], "conditions": {"ready": ready},
                "targetRef": {"kind": "Pod", "namespace": "default", "name": pod},
            })
        };
        // Both families: the same pods twice.
        for (family, prefix) in [("IPv4", "10.233.64."), ("IPv6", "fd00:10:233:64::")] {
            let mut endpoints: Vec<Value> = (1..)
                .zip(pods)
                .map(|(number, pod)| endpoint(pod, format!("{prefix}{number}"), true))
                .collect();
            endpoints.push(endpoint("pod-unready", format!("{prefix}99"), false));
            self.server.put(&json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("web-{}", family.to_lowercase()), "namespace": "default",
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "addressType": family,
                "ports": [
                    {"name": "http", "port": PORT, "protocol": "TCP"},
                    {"name": "dead", "port": 9, "protocol": "TCP"},
                ],
                "endpoints": endpoints,
            }));
        }
    }

    /// A Deployment, say, that has all pods.
    pub(crate) fn workload(&self, kind: &str, name: &str) {
        self.server.put(&json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}}, "serviceName": "web",
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
            },
        }));
    }
}

/// A pod that runs and is ready.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "c", "ports": [{"name": "http", "containerPort": PORT}]},
        ]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}
