//! Whether an agent has what it was told last.
//!
//! Each time the lab writes endpoints, it writes one of its own with them, whose name counts up.
//! Agents give a name when the rules of the same change are in the kernel: if the name is there, so
//! are the rules.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use super::plan;
use crate::model::NamespacedName;
use crate::source::api::SERVICE_NAME_LABEL;

/// Namespace and name of the Service whose one endpoint is the revision.
const SERVICE: (&str, &str) = ("kube-system", "portolan-lab");
/// How long an answer is waited for, and how often is asked.
const ASK: Duration = Duration::from_millis(20);

/// The Service.
pub(super) fn service() -> Value {
    let (namespace, name) = SERVICE;
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": "None"},
    })
}

/// Whether it is that Service.
pub(super) fn is_of_lab(name: &NamespacedName) -> bool {
    (&*name.namespace, &*name.name) == SERVICE
}

/// Its endpoint in a revision.
pub(super) fn slice(revision: u64) -> Value {
    let (namespace, name) = SERVICE;
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace, "name": name, "labels": {SERVICE_NAME_LABEL: name},
        },
        "addressType": "IPv4",
        "ports": [],
        "endpoints": [{"addresses": [plan::ROUTER], "hostname": host(revision)}],
    })
}

fn host(revision: u64) -> String {
    format!("revision-{revision}")
}

/// Asks an agent, from the namespace of the calling thread, until it has the revision or the time is
/// over.
pub(super) fn is_in_force(server: SocketAddr, revision: u64, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    loop {
        let asked = Instant::now();
        match ask(server, revision) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => tracing::debug!(%server, %error, "the agent does not answer"),
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(ASK.saturating_sub(asked.elapsed()));
    }
}

fn ask(server: SocketAddr, revision: u64) -> io::Result<bool> {
    let (namespace, service) = SERVICE;
    let name = format!(
        "{}.{service}.{namespace}.svc.cluster.local.",
        host(revision)
    );
    let name = Name::from_str(&name).map_err(io::Error::other)?;
    let mut question = Message::query();
    question.add_query(Query::query(name, RecordType::A));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(ASK))?;
    socket.connect(server)?;
    socket.send(&question.to_vec().map_err(io::Error::other)?)?;
    let mut answer = [0; 1024];
    let length = socket.recv(&mut answer)?;
    let answer = Message::from_vec(&answer[..length]).map_err(io::Error::other)?;
    Ok(answer.metadata.id == question.metadata.id && !answer.answers.is_empty())
}
