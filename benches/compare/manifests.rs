//! Manifests of a cluster of any size, as people write them: YAML, addresses left to be allocated.
//!
//! Owns the states that the cases lead from one to the next. The same cluster can be one file or a
//! file for each Service.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// Pods count up from here, away from every Service range.
const FIRST_POD: u32 = u32::from_be_bytes([10, 64, 0, 1]);
/// Pods that take another's place count up from here. They sort before the others, so that the
/// text of a table with a new pod differs from the one before in the lines of that pod.
const FIRST_NEW_POD: u32 = u32::from_be_bytes([10, 63, 0, 1]);
/// Endpoints are spread over this many nodes; n0 is the one that rules are made for.
const NODES: u32 = 3;
/// How many endpoints a rolling update replaces.
const ROLLED: u32 = 100;

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
}

/// One after the other; each holds the changes of those before it but for `Added`, which is taken
/// back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Base,
    /// One endpoint of the middle Service has another address.
    Moved,
    /// One Service more.
    Added,
    /// A hundred endpoints have other addresses.
    Rolled,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Moved => "moved",
            Self::Added => "added",
            Self::Rolled => "rolled",
        }
    }
}

impl Shape {
    /// The Service in the middle.
    pub(crate) fn middle(self) -> u32 {
        self.services / 2
    }

    /// The Services whose endpoints a rolling update replaces.
    pub(crate) fn rolled(self) -> std::ops::Range<u32> {
        0..(ROLLED / self.endpoints.max(1)).clamp(1, self.services)
    }

    fn pod(self, state: State, service: u32, endpoint: u32) -> Ipv4Addr {
        let number = service * self.endpoints + endpoint;
        let moved = state != State::Base && endpoint == 0 && service == self.middle();
        let rolled = state == State::Rolled && self.rolled().contains(&service);
        if moved || rolled {
            new_pod(number % 50_000)
        } else {
            Ipv4Addr::from(FIRST_POD + number)
        }
    }

    /// Writes a Node, the Services and an EndpointSlice for each.
    pub(crate) fn write(self, state: State, mut out: impl Write) -> io::Result<()> {
        out.write_all(NODE.as_bytes())?;
        let more = u32::from(state == State::Added);
        for service in 0..self.services + more {
            self.write_service(&mut out, service, |endpoint| {
                self.pod(state, service, endpoint)
            })?;
        }
        out.flush()
    }

    /// Writes a file for each Service into a directory.
    pub(crate) fn write_into(self, directory: &Path) -> io::Result<()> {
        fs::write(directory.join("node.yaml"), NODE)?;
        for service in 0..self.services {
            let file = File::create(file_of(directory, service))?;
            let mut out = BufWriter::new(file);
            let pod = |endpoint| self.pod(State::Base, service, endpoint);
            self.write_service(&mut out, service, pod)?;
            out.flush()?;
        }
        Ok(())
    }

    /// One Service in `round`: its first `fresh` endpoints have addresses of that round.
    pub(crate) fn service(self, service: u32, fresh: u32, round: u32) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.write_service(&mut text, service, |endpoint| {
            if endpoint < fresh {
                let number = service * self.endpoints + endpoint;
                new_pod((number.wrapping_mul(7) + round * 1009) % 65_000)
            } else {
                self.pod(State::Base, service, endpoint)
            }
        })?;
        Ok(text)
    }

    fn write_service(
        self,
        out: &mut impl Write,
        service: u32,
        pod: impl Fn(u32) -> Ipv4Addr,
    ) -> io::Result<()> {
        write!(
            out,
            "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: web-{service}\n  namespace: bench\n\
             spec:\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: web-{service}-a\n  namespace: bench\n\
             \x20 labels:\n    kubernetes.io/service-name: web-{service}\n\
             addressType: IPv4\nports:\n- name: http\n  port: 8080\n  protocol: TCP\nendpoints:\n"
        )?;
        for endpoint in 0..self.endpoints {
            writeln!(
                out,
                "- addresses: [{}]\n  nodeName: n{}\n  conditions: {{ready: true}}",
                pod(endpoint),
                (service + endpoint) % NODES
            )?;
        }
        Ok(())
    }
}

/// The file that holds one Service.
pub(crate) fn file_of(directory: &Path, service: u32) -> PathBuf {
    directory.join(format!("web-{service}.yaml"))
}

fn new_pod(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(FIRST_NEW_POD + number)
}

/// The node that rules are made for.
pub(crate) const NODE: &str = "\
apiVersion: v1
kind: Node
metadata:
  name: n0
status:
  addresses:
  - type: InternalIP
    address: 192.168.10.100
";
