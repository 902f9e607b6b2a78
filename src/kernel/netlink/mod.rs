//! The netlink framing that every subsystem shares: attributes, messages, errors and the socket.
//!
//! Reading is done on borrowed slices without copies and without `unsafe`. Must not know any
//! subsystem's message types.

mod attr;
mod exchange;
mod message;
mod packet;
mod port_filter;
mod socket;

pub(crate) use attr::{Attr, Attrs};
pub(crate) use exchange::exchange;
pub(crate) use message::{
    ErrorReply, Message, Messages, RequestWriter, flags, kind, put_attr, put_nested,
};
pub(crate) use packet::Packet;
pub use socket::Socket;
pub(crate) use socket::{Bus, Received, Wait};
