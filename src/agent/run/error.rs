//! Why an agent ends otherwise than asked.

use std::io;
use std::path::PathBuf;

use super::programmer::ProgramError;
use crate::agent::announce::AnnounceError;
use crate::agent::cluster::LoadError;
use crate::agent::facts::FactsError;
use crate::agent::health::server::BindError;
use crate::agent::node_dns::NodeDnsError;
use crate::dns::service::DnsError;
use crate::kernel::capabilities::PrivilegeError;
use crate::kernel::netns::NetnsError;
use crate::source::kubernetes::AccessError;

/// Why the loop did not start, or ended otherwise than asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No threads.
    #[error("cannot start the agent's threads")]
    Runtime(#[source] io::Error),
    /// The network namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Signals cannot be followed.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The manifests as they are at the start, or the state directory.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The node's addresses cannot be found out.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The kernel could not be programmed at the start, or not be cleaned up at the end.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A port is taken, and that was to be an error.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Privileges that are not needed could not be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// Two metrics have one name.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The name server.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// kube-proxy's configuration file has another content than at the start: whoever started the
    /// agent is to start it again. kube-proxy ends like this too.
    #[error("{} has changed; ending, to be started again with it", _0.display())]
    Reconfigured(PathBuf),
    /// The API server is not known, or there are no credentials for it.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The name server at its service's address.
    #[error(transparent)]
    NodeDns(#[from] NodeDnsError),
    /// Announcing addresses.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
}
