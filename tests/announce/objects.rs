//! The cluster that the nodes are told of.

use crate::bed::{ENDPOINT_NODE, NODES, VIPS};

/// In a cluster, the API server has given the Service its addresses.
pub(crate) fn documents(
    in_cluster: bool,
    policy: &str,
    ready: bool,
    cordoned: Option<usize>,
) -> Vec<String> {
    let (given, status) = if in_cluster {
        (
            "clusterIP: 10.233.10.10, clusterIPs: [10.233.10.10, 'fd00:10:233::10'], ipFamilies: \
             [IPv4, IPv6], ",
            format!(
                ", status: {{loadBalancer: {{ingress: [{{ip: '{}', ipMode: VIP}}, {{ip: '{}', \
                 ipMode: VIP}}]}}}}",
                VIPS[0], VIPS[1]
            ),
        )
    } else {
        ("", String::new())
    };
    let mut all = vec![format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: default}}, spec: \
         {{type: LoadBalancer, externalTrafficPolicy: {policy}, ipFamilyPolicy: \
         RequireDualStack, {given}ports: [{{port: 80, targetPort: 8080, protocol: TCP}}]}}{status}}}"
    )];
    for (family, address) in [("IPv4", "192.168.10.21"), ("IPv6", "fd00:10::21")] {
        all.push(format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: web-{}, \
             namespace: default, labels: {{kubernetes.io/service-name: web}}}}, addressType: \
             {family}, ports: [{{port: 8080, name: \"\"}}], endpoints: [{{addresses: \
             ['{address}'], nodeName: n{ENDPOINT_NODE}, conditions: {{ready: {ready}}}}}]}}",
            family.to_lowercase()
        ));
    }
    for node in 0..NODES {
        let number = 101 + node;
        all.push(format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: n{node}}}, spec: {{unschedulable: \
             {}}}, status: {{addresses: [{{type: InternalIP, address: 192.168.10.{number}}}, \
             {{type: InternalIP, address: 'fd00:10::{number}'}}]}}}}",
            cordoned == Some(node)
        ));
    }
    all
}

/// A Service that waits for an address.
pub(crate) fn waiting(name: &str, cluster_ip: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "clusterIP": cluster_ip, "clusterIPs": [cluster_ip],
            "ipFamilies": [if cluster_ip.contains(':') { "IPv6" } else { "IPv4" }],
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
    })
}
