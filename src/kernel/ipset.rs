//! Named sets of the ipset kind: their names, and destroying them.
//!
//! Netfilter subsystem 6 (`NFNL_SUBSYS_IPSET`, `include/uapi/linux/netfilter/ipset/ip_set.h`). Sets
//! are objects of a network namespace, shared by both IP families.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::netlink::{RequestWriter, Socket, exchange, flags};

/// `IPSET_CMD_DESTROY`.
const MSG_DESTROY: u16 = (6 << 8) | 3;
/// `IPSET_CMD_LIST`.
const MSG_LIST: u16 = (6 << 8) | 7;
/// `IPSET_ATTR_PROTOCOL`.
const ATTR_PROTOCOL: u16 = 1;
/// `IPSET_ATTR_SETNAME`.
const ATTR_NAME: u16 = 2;
/// `IPSET_ATTR_FLAGS`.
const ATTR_FLAGS: u16 = 6;
/// `IPSET_PROTOCOL_MIN`, which every kernel speaks.
const PROTOCOL: u8 = 6;
/// `IPSET_FLAG_LIST_SETNAME`: names only.
const NAMES_ONLY: u32 = 1 << 1;
/// `IPSET_ERR_BUSY`: something refers to the set.
const ERR_BUSY: i32 = 4100;
/// There once the module is loaded, or where it is built in. Asking a kernel without it for sets
/// would load it.
const MODULE: &str = "/sys/module/ip_set";

/// Sets could not be listed, or one not be destroyed.
#[derive(Debug, thiserror::Error)]
pub enum IpsetError {
    /// The names could not be read.
    #[error("cannot list ipsets")]
    List(#[source] io::Error),
    /// The kernel refused.
    #[error("cannot destroy ipset {name}")]
    Destroy {
        /// Which.
        name: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
}

/// The names of all sets. A kernel without sets has none, and is not made to have any.
///
/// # Errors
/// See [`IpsetError`].
pub fn names(socket: &mut Socket) -> Result<Vec<String>, IpsetError> {
    if !Path::new(MODULE).exists() {
        return Ok(Vec::new());
    }
    let seq = socket.next_seq();
    let message = RequestWriter::new(MSG_LIST, flags::DUMP, seq, 0, 0)
        .attr(ATTR_PROTOCOL, &[PROTOCOL])
        .u32_be(ATTR_FLAGS, NAMES_ONLY)
        .finish();
    let mut names = Vec::new();
    exchange(socket, &message, seq, &mut |message| {
        let name = message.attrs().find(ATTR_NAME);
        names.extend(name.and_then(|name| name.text().map(str::to_owned)));
    })
    .map_err(IpsetError::List)?;
    Ok(names)
}

/// Destroys a set, and says whether it is gone: it is not while a rule refers to it.
///
/// # Errors
/// See [`IpsetError`].
pub fn destroy(socket: &mut Socket, name: &str) -> Result<bool, IpsetError> {
    let seq = socket.next_seq();
    // Without a name, the kernel would destroy all of them.
    let message = RequestWriter::new(MSG_DESTROY, flags::ACK, seq, 0, 0)
        .attr(ATTR_PROTOCOL, &[PROTOCOL])
        .text(ATTR_NAME, name)
        .finish();
    match exchange(socket, &message, seq, &mut |_| {}) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(true),
        Err(error) if error.raw_os_error() == Some(ERR_BUSY) => Ok(false),
        Err(source) => Err(IpsetError::Destroy {
            name: name.to_owned(),
            source,
        }),
    }
}
