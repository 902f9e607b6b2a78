//! One machine of the testbed: a namespace with an address in each family.

use super::dial::Dial;
use super::netns::Namespace;

/// A node, a pod or a client.
#[derive(Debug)]
pub(crate) struct Host {
    /// What its server answers with.
    pub(crate) name: String,
    pub(crate) v4: String,
    pub(crate) v6: String,
    /// The node it is on; empty for what is no pod.
    pub(crate) node: String,
    pub(crate) namespace: Namespace,
}

impl Host {
    pub(crate) fn new(name: &str, v4: &str, v6: &str) -> Self {
        Self {
            name: name.to_owned(),
            v4: v4.to_owned(),
            v6: v6.to_owned(),
            node: String::new(),
            namespace: Namespace::new(),
        }
    }

    /// A TCP or UDP target on the host: `192.168.10.100:30080`.
    pub(crate) fn at(&self, port: u16) -> String {
        format!("{}:{port}", self.v4)
    }

    /// The same over IPv6: `[fd00:192:168:10::100]:30080`.
    pub(crate) fn at_v6(&self, port: u16) -> String {
        format!("[{}]:{port}", self.v6)
    }

    /// A connection from here.
    #[track_caller]
    pub(crate) fn dial(&self, target: &str) -> Dial<'_> {
        Dial::new(&self.namespace, target)
    }

    /// What curl, run here, prints for `http://TARGET/`.
    pub(crate) fn curl(&self, target: &str) -> String {
        let url = format!("http://{target}/");
        self.namespace.run(
            "curl",
            &["--silent", "--show-error", "--max-time", "10", &url],
        )
    }
}
