//! A Kubernetes API server for tests: real HTTP, the real rules of lists and watches, and failures
//! on demand.
//!
//! * `store`: objects, versions, the log of events and how far it reaches back
//! * `http`: lists (pages, `continue`), Events; `watches`: bookmarks, streamed lists, 410
//! * `objects`: single objects, and lists of a namespace
//! * `tunnel`: the `portforward` subresource, with a kubelet behind it that is in the namespaces of
//!   the pods; `spdy`: what it speaks
//! * `balancers`: the status of Services
//! * `leases`: Leases, and who loses when two write
//! * `gate`: the wire between server and client, which can be cut, frozen, slowed or closed
//!
//! What an answer looks like was taken from kube-apiserver 1.36. It must not know what the client
//! makes of it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: each test binary uses a part of it, and a failure is a failed test"
)]

mod balancers;
mod gate;
mod http;
mod leases;
mod objects;
mod spdy;
mod store;
mod tunnel;
mod watches;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) use gate::Wire;
pub(crate) use http::{Rules, Seen};
pub(crate) use store::Kind;

use gate::Gate;
use http::Api;
use store::Store;

/// A running server. Its state outlives [`stop`](Self::stop), as etcd's outlives the API server.
pub(crate) struct ApiServer {
    api: Arc<Api>,
    /// One for everybody, and then those of single clients.
    gates: Vec<Gate>,
    inner: SocketAddr,
    runtime: Runtime,
}

impl ApiServer {
    /// A server without objects but the usual ServiceCIDR, on a port of the loopback address.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("runtime");
        let api = Arc::new(Api::new(Store::default()));
        let inner = runtime.block_on(http::serve(Arc::clone(&api)));
        let gate = runtime.block_on(Gate::open(inner));
        let server = Self {
            api,
            gates: vec![gate],
            inner,
            runtime,
        };
        server.put(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": ["10.233.0.0/18", "fd00:10:233::/112"]},
        }));
        server
    }

    /// As `--master` takes it.
    pub(crate) fn url(&self) -> String {
        self.url_of(0)
    }

    /// A wire of its own for a client, which can be cut alone; gives its number.
    pub(crate) fn another_wire(&mut self) -> usize {
        let gate = self.runtime.block_on(Gate::open(self.inner));
        self.gates.push(gate);
        self.gates.len() - 1
    }

    /// The server at the end of a wire of [`another_wire`](Self::another_wire).
    pub(crate) fn url_of(&self, wire: usize) -> String {
        format!("http://{}", self.gates[wire].address())
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&self, object: &Value) {
        self.api.change(|store| store.put(object));
    }

    /// The same for many: one wake-up for all.
    pub(crate) fn put_all<'a>(&self, objects: impl IntoIterator<Item = &'a Value>) {
        self.api.change(|store| {
            for object in objects {
                store.put(object);
            }
        });
    }

    /// Deletes an object.
    #[track_caller]
    pub(crate) fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        let was = self.api.change(|store| store.delete(kind, namespace, name));
        assert!(was, "no {kind:?} {namespace}/{name}");
    }

    /// Replaces all Services and slices by those given; what is equal is left alone.
    pub(crate) fn replace(&self, objects: &[Value]) {
        self.api.change(|store| store.replace(objects));
    }

    /// Forgets the events up to now, as etcd's compaction does: watches and pages of versions
    /// before are gone.
    pub(crate) fn compact(&self) {
        self.api.change(Store::compact);
    }

    /// Sends a line as it is on all open watches of a kind.
    pub(crate) fn inject(&self, kind: Kind, line: &str) {
        self.api.change(|store| store.inject(kind, line));
    }

    /// A pod of this name runs in a network namespace, at a path that this process can open.
    pub(crate) fn runs(&self, pod: &str, namespace: PathBuf) {
        self.api
            .running
            .lock()
            .unwrap()
            .insert(pod.to_owned(), namespace);
    }

    /// Changes how the server answers.
    pub(crate) fn rules(&self, change: impl FnOnce(&mut Rules)) {
        self.api.rules(change);
    }

    /// What was asked, and what was recorded.
    pub(crate) fn seen(&self) -> Seen {
        self.api.seen()
    }

    /// An object as it is now; null if it is not there.
    pub(crate) fn object(&self, kind: Kind, namespace: &str, name: &str) -> Value {
        let text = objects::object(&self.api, kind, namespace, name);
        text.map_or(Value::Null, |text| {
            serde_json::from_str(&text).expect("JSON")
        })
    }

    /// Who holds which Lease.
    pub(crate) fn lease_holders(&self) -> Vec<(String, Option<String>)> {
        let leases = self.api.leases();
        let holder = |lease: &Value| lease["spec"]["holderIdentity"].as_str().map(str::to_owned);
        let holders = leases
            .iter()
            .map(|(name, lease)| (name.clone(), holder(lease)));
        holders.collect()
    }

    /// Writes a Lease as it is, whoever holds it.
    pub(crate) fn put_lease(&self, lease: &Value) {
        let name = lease["metadata"]["name"].as_str().expect("a name");
        leases::stored(&self.api, name.to_owned(), lease.clone());
    }

    /// A Lease as it is now; null if it is not there.
    pub(crate) fn lease(&self, name: &str) -> Value {
        self.api.leases().get(name).cloned().unwrap_or_default()
    }

    /// What happens to bytes between server and all clients.
    pub(crate) fn wire(&self, wire: Wire) {
        for number in 0..self.gates.len() {
            self.wire_of(number, wire);
        }
    }

    /// The same for one client.
    pub(crate) fn wire_of(&self, number: usize, wire: Wire) {
        self.runtime.block_on(self.gates[number].set(wire));
    }

    /// Nobody listens any more, and every connection is reset.
    pub(crate) fn stop(&self) {
        self.wire(Wire::Down);
    }

    /// Listens again, on the same port.
    pub(crate) fn start_again(&self) {
        self.wire(Wire::Pass);
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "{what}: not so");
        std::thread::sleep(Duration::from_millis(5));
    }
}
