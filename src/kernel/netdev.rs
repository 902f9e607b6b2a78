//! Links, addresses and routes of the network namespace of the calling thread, made over rtnetlink.
//!
//! Owns the words of errors: which object, and what the kernel said. Must not know what a link is
//! for.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use ipnet::IpNet;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkMessage};
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use tokio::runtime::{Builder, Runtime};

/// A link, an address or a route could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {reason}")]
pub struct NetdevError {
    action: String,
    /// The kernel's words.
    reason: String,
}

impl NetdevError {
    fn new(action: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self {
            action: action.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop<'a> {
    /// To the router with this address, which is on the link.
    Via(IpAddr, &'a str),
    /// To a neighbour on the link.
    Link(&'a str),
}

impl fmt::Display for NextHop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Via(router, link) => write!(f, "via {router} dev {link}"),
            Self::Link(link) => write!(f, "dev {link}"),
        }
    }
}

/// An rtnetlink socket, and what it takes to wait for its answers.
pub struct Netdev {
    runtime: Runtime,
    handle: Handle,
}

impl fmt::Debug for Netdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netdev").finish_non_exhaustive()
    }
}

impl Netdev {
    /// A socket of the namespace that the calling thread is in. To be used on that thread: names of
    /// links are looked up where the caller is.
    ///
    /// # Errors
    /// The system has no room for a socket.
    pub fn open() -> Result<Self, NetdevError> {
        let error = |error: io::Error| NetdevError::new("open an rtnetlink socket", error);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(error)?;
        let connected = runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            Ok(handle)
        });
        Ok(Self {
            handle: connected.map_err(error)?,
            runtime,
        })
    }

    fn wait(
        &self,
        action: impl fmt::Display,
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> Result<(), NetdevError> {
        self.runtime.block_on(request).map_err(|error| {
            let reason = match error {
                rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
                other => other.to_string(),
            };
            NetdevError::new(action, reason)
        })
    }

    /// Makes a bridge, up.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_bridge(&self, name: &str) -> Result<(), NetdevError> {
        let request = self.handle.link().add(LinkBridge::new(name).build());
        self.wait(format_args!("make bridge {name}"), request.execute())
    }

    /// Makes a pair of links, this end here and up, the other in another namespace and down: the
    /// kernel takes a link up only when it has its peer.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_veth(&self, name: &str, peer: &str, netns: &File) -> Result<(), NetdevError> {
        let far = LinkMessageBuilder::<LinkUnspec>::new()
            .name(peer)
            .setns_by_fd(netns.as_raw_fd())
            .build();
        let near = LinkMessageBuilder::<LinkVeth>::new(name, peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
            .up()
            .build();
        let request = self.handle.link().add(near);
        self.wait(format_args!("make link {name}"), request.execute())
    }

    /// Plugs a link into a bridge.
    ///
    /// # Errors
    /// There is no such link or bridge, or the kernel refuses.
    pub fn plug(&self, name: &str, bridge: &str) -> Result<(), NetdevError> {
        let action = format!("plug {name} into {bridge}");
        let bridge = index(bridge, &action)?;
        let message = LinkMessageBuilder::<LinkUnspec>::new()
            .index(index(name, &action)?)
            .controller(bridge)
            .build();
        self.set(&action, message)
    }

    /// Takes a link up or down.
    ///
    /// # Errors
    /// There is no such link, or the kernel refuses.
    pub fn set_up(&self, name: &str, up: bool) -> Result<(), NetdevError> {
        let action = format!("take {name} {}", if up { "up" } else { "down" });
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(index(name, &action)?);
        let message = if up { message.up() } else { message.down() };
        self.set(&action, message.build())
    }

    fn set(&self, action: &str, message: LinkMessage) -> Result<(), NetdevError> {
        self.wait(action, self.handle.link().set(message).execute())
    }

    /// Gives a link an address.
    ///
    /// # Errors
    /// There is no such link, or the kernel refuses.
    pub fn add_address(&self, name: &str, address: IpNet) -> Result<(), NetdevError> {
        let action = format!("give {name} the address {address}");
        let request =
            self.handle
                .address()
                .add(index(name, &action)?, address.addr(), address.prefix_len());
        self.wait(&action, request.execute())
    }

    /// Adds a route. A router need not be within a network of the link: it is taken to be there.
    ///
    /// # Errors
    /// There is no such link, the families differ, or the kernel refuses.
    pub fn add_route(&self, to: IpNet, hop: NextHop<'_>) -> Result<(), NetdevError> {
        let action = format!("add the route {to} {hop}");
        let (NextHop::Via(_, link) | NextHop::Link(link)) = hop;
        let wrong = |error| NetdevError::new(&action, error);
        let mut route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(to.addr(), to.prefix_len())
            .map_err(wrong)?
            .output_interface(index(link, &action)?);
        if let NextHop::Via(router, _) = hop {
            route = route.gateway(router).map_err(wrong)?.onlink();
        } else {
            route = route.scope(netlink_packet_route::route::RouteScope::Link);
        }
        let request = self.handle.route().add(route.build());
        self.wait(&action, request.execute())
    }
}

fn index(name: &str, action: &str) -> Result<u32, NetdevError> {
    if_nametoindex(name)
        .map_err(|errno| NetdevError::new(format_args!("{action}: find {name}"), errno.desc()))
}
