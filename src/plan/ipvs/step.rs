//! One step of a change: one message to the kernel.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::server::{ServerKey, ServerSpec};
use super::{DEVICE, text};

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the dummy device; it stays down, as kube-proxy's does.
    AddDevice,
    /// Delete it, with all its addresses.
    DeleteDevice,
    /// Put an address on it.
    AddAddress(IpAddr),
    /// Take an address off it.
    DeleteAddress(IpAddr),
    /// Make a virtual server.
    AddServer(ServerKey, ServerSpec),
    /// Change a virtual server; its real servers and their connections stay.
    SetServer(ServerKey, ServerSpec),
    /// Delete a virtual server with its real servers.
    DeleteServer(ServerKey),
    /// Add a real server with a weight.
    AddReal(ServerKey, SocketAddr, u32),
    /// Give a real server a weight.
    SetReal(ServerKey, SocketAddr, u32),
    /// Delete a real server.
    DeleteReal(ServerKey, SocketAddr),
}

impl Step {
    /// The virtual server it is about.
    #[must_use]
    pub fn server(&self) -> Option<ServerKey> {
        match self {
            Self::AddServer(key, _)
            | Self::SetServer(key, _)
            | Self::DeleteServer(key)
            | Self::AddReal(key, ..)
            | Self::SetReal(key, ..)
            | Self::DeleteReal(key, _) => Some(*key),
            _ => None,
        }
    }

    /// What is tried, in a verb.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::AddDevice | Self::AddAddress(_) | Self::AddServer(..) | Self::AddReal(..) => {
                "add"
            }
            Self::SetServer(..) | Self::SetReal(..) => "change",
            Self::DeleteDevice
            | Self::DeleteAddress(_)
            | Self::DeleteServer(_)
            | Self::DeleteReal(..) => "delete",
        }
    }

    /// The object it is about, for error messages.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::AddDevice | Self::DeleteDevice => format!("device {DEVICE}"),
            Self::AddAddress(ip) | Self::DeleteAddress(ip) => {
                format!("address {ip} on {DEVICE}")
            }
            Self::AddServer(key, spec) => {
                format!("virtual server {key} with scheduler {}", spec.scheduler)
            }
            Self::SetServer(key, _) | Self::DeleteServer(key) => format!("virtual server {key}"),
            Self::AddReal(key, real, _)
            | Self::SetReal(key, real, _)
            | Self::DeleteReal(key, real) => {
                format!("real server {real} of virtual server {key}")
            }
        }
    }
}

/// As the line of a diff: what comes in the form of `ipvsadm-save -n` and of `ip`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddDevice => write!(f, "+link {DEVICE} type dummy"),
            Self::DeleteDevice => write!(f, "-link {DEVICE} type dummy"),
            Self::AddAddress(ip) => write!(f, "+{}", text::address(*ip)),
            Self::DeleteAddress(ip) => write!(f, "-{}", text::address(*ip)),
            Self::AddServer(key, spec) => write!(f, "+{}", text::server(key, spec)),
            Self::SetServer(key, spec) => write!(f, "~{}", text::server(key, spec)),
            Self::DeleteServer(key) => write!(f, "--D {}", text::front(key)),
            Self::AddReal(key, real, weight) => write!(f, "+{}", text::real(key, *real, *weight)),
            Self::SetReal(key, real, weight) => write!(f, "~{}", text::real(key, *real, *weight)),
            Self::DeleteReal(key, real) => write!(f, "--d {} -r {real}", text::front(key)),
        }
    }
}
