//! What can go wrong while listening.

use std::io;

use nix::errno::Errno;

use crate::kernel::nft::ReadError;

/// Listening to nf_tables failed. Lost notifications are not an error, but
/// [`Heard::Overrun`](super::Heard::Overrun).
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The process may not listen here. Not retryable.
    #[error(
        "listening to changes of nf_tables needs root, or CAP_NET_ADMIN in the network namespace"
    )]
    Permission,
    /// The generation could not be read.
    #[error("cannot tell whether nf_tables were changed in the meantime")]
    Generation(#[source] ReadError),
    /// The socket failed. A new monitor may work.
    #[error("nf_tables notification socket: {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl MonitorError {
    pub(super) fn io(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }

    pub(super) fn joining(source: io::Error) -> Self {
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM | Errno::EACCES) => Self::Permission,
            _ => Self::Io {
                operation: "joining the group of notifications",
                source,
            },
        }
    }
}
