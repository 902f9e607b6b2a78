//! Manifests of a cluster of any size, as people write them: YAML, addresses left to be allocated.

use std::io::{self, Write};
use std::net::Ipv4Addr;

/// Pods count up from here, away from every Service range.
const FIRST_POD: u32 = u32::from_be_bytes([10, 64, 0, 1]);
/// What a changed endpoint's address becomes.
const CHANGED_POD: Ipv4Addr = Ipv4Addr::new(10, 63, 255, 254);
/// Endpoints are spread over this many nodes; n0 is the one that rules are made for.
const NODES: u32 = 3;

/// What to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
    /// One endpoint of the middle Service has another address.
    pub(crate) changed: bool,
}

/// Writes a Node, the Services and an EndpointSlice for each.
pub(crate) fn write(shape: Shape, mut out: impl Write) -> io::Result<()> {
    out.write_all(NODE.as_bytes())?;
    for service in 0..shape.services {
        write!(
            out,
            "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: web-{service}\n  namespace: bench\n\
             spec:\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: web-{service}-a\n  namespace: bench\n\
             \x20 labels:\n    kubernetes.io/service-name: web-{service}\n\
             addressType: IPv4\nports:\n- name: http\n  port: 8080\n  protocol: TCP\nendpoints:\n"
        )?;
        for endpoint in 0..shape.endpoints {
            let pod = FIRST_POD + service * shape.endpoints + endpoint;
            let moved = shape.changed && endpoint == 0 && service == shape.services / 2;
            let address = if moved {
                CHANGED_POD
            } else {
                Ipv4Addr::from(pod)
            };
            writeln!(
                out,
                "- addresses: [{address}]\n  nodeName: n{}\n  conditions: {{ready: true}}",
                pod % NODES
            )?;
        }
    }
    out.flush()
}

const NODE: &str = "\
apiVersion: v1
kind: Node
metadata:
  name: n0
status:
  addresses:
  - type: InternalIP
    address: 192.168.10.100
";
