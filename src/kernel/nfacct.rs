//! Named packet counters (`nfacct`), which the iptables match of the same name refers to.
//!
//! Netfilter subsystem 7 (`NFNL_SUBSYS_ACCT`, `include/uapi/linux/netfilter/nfnetlink_acct.h`).
//! Counters are objects of a network namespace, shared by both IP families.

use std::io;

use nix::errno::Errno;

use super::netlink::{Message, RequestWriter, Socket, exchange, flags};

const MSG_NEW: u16 = 7 << 8;
const MSG_GET: u16 = (7 << 8) | 1;
/// `NFACCT_NAME`.
const ATTR_NAME: u16 = 1;
/// `NFACCT_PKTS`.
const ATTR_PACKETS: u16 = 2;
/// `NFACCT_NAME_MAX` without the closing NUL.
const NAME_MAX: usize = 31;
/// A name nobody gives to a counter.
const PROBE: &str = "portolan-probe";

/// A counter could not be looked up or made.
#[derive(Debug, thiserror::Error)]
pub enum NfacctError {
    /// The process may not use nfacct here.
    #[error("using nfacct needs root, or CAP_NET_ADMIN in the network namespace")]
    Permission,
    /// A counter's name is too long.
    #[error("nfacct name {0:?} is longer than {NAME_MAX} bytes")]
    NameTooLong(String),
    /// The kernel refused.
    #[error("cannot {operation} nfacct object {name}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// Which object.
        name: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

/// Whether the kernel has nfacct.
///
/// # Errors
/// The question could not be answered: no permission, or the socket failed. Only the errno that
/// the kernel gives for an unknown subsystem counts as "no".
pub fn available(socket: &mut Socket) -> Result<bool, NfacctError> {
    match request(socket, MSG_GET, 0, PROBE, "look up") {
        Ok(()) => Ok(true),
        Err(NfacctError::Refused { source, .. }) if is(&source, Errno::ENOENT) => Ok(true),
        // nfnetlink_rcv_msg(): no such subsystem.
        Err(NfacctError::Refused { source, .. })
            if is(&source, Errno::EINVAL) || is(&source, Errno::EOPNOTSUPP) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// How many packets a counter has counted; `None` if there is no such counter.
///
/// # Errors
/// See [`NfacctError`].
pub fn packets(socket: &mut Socket, name: &str) -> Result<Option<u64>, NfacctError> {
    let mut packets = None;
    let outcome = ask(socket, MSG_GET, 0, name, "read", &mut |message| {
        if message.kind == MSG_NEW {
            let attr = message.attrs().find(ATTR_PACKETS);
            packets = attr.and_then(|attr| attr.u64_be());
        }
    });
    match outcome {
        Ok(()) => Ok(packets),
        Err(NfacctError::Refused { source, .. }) if is(&source, Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a counter unless it exists, and says whether it was made.
///
/// # Errors
/// See [`NfacctError`].
pub fn ensure(socket: &mut Socket, name: &str) -> Result<bool, NfacctError> {
    match request(socket, MSG_GET, 0, name, "look up") {
        Ok(()) => return Ok(false),
        Err(NfacctError::Refused { source, .. }) if is(&source, Errno::ENOENT) => {}
        Err(error) => return Err(error),
    }
    match request(socket, MSG_NEW, flags::CREATE, name, "add") {
        Ok(()) => Ok(true),
        // Somebody else was quicker.
        Err(NfacctError::Refused { source, .. }) if is(&source, Errno::EBUSY) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Sends one request about one object and waits for its acknowledgement.
fn request(
    socket: &mut Socket,
    kind: u16,
    flags: u16,
    name: &str,
    operation: &'static str,
) -> Result<(), NfacctError> {
    ask(socket, kind, flags, name, operation, &mut |_| {})
}

/// The same, with what is answered before the acknowledgement.
fn ask(
    socket: &mut Socket,
    kind: u16,
    flags: u16,
    name: &str,
    operation: &'static str,
    each: &mut dyn FnMut(&Message<'_>),
) -> Result<(), NfacctError> {
    if name.len() > NAME_MAX {
        return Err(NfacctError::NameTooLong(name.to_owned()));
    }
    let seq = socket.next_seq();
    let message = RequestWriter::new(kind, flags | flags::ACK, seq, 0, 0)
        .text(ATTR_NAME, name)
        .finish();
    match exchange(socket, &message, seq, each) {
        Ok(()) => Ok(()),
        Err(error) if is(&error, Errno::EPERM) => Err(NfacctError::Permission),
        Err(source) => Err(NfacctError::Refused {
            operation,
            name: name.to_owned(),
            source,
        }),
    }
}
