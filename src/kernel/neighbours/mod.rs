//! Answering for addresses that no link has: ARP (RFC 826) and neighbour discovery (RFC 4861).
//!
//! | file | idea |
//! | --- | --- |
//! | `arp`, `ndp` | the packets |
//! | `links` | the Ethernet links of the namespace |
//! | `socket` | a socket for whole Ethernet frames of one type |
//!
//! Must not know who decides for which addresses.

mod arp;
mod links;
mod ndp;
mod socket;

use std::io;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::os::fd::OwnedFd;

pub use links::{EthernetLink, ethernet_links};

use socket::PacketSocket;

/// Bytes of a frame that are looked at: a question is shorter.
const FRAME: usize = 512;
/// Questions taken at a time.
const BURST: usize = 256;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A question of a neighbour: who has this address?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    /// The address asked for.
    wanted: IpAddr,
    /// Who asks, by Ethernet.
    mac: Mac,
    /// Who asks; unspecified for one that is looking whether an address is free.
    asker: IpAddr,
}

/// Answers on one link. Nothing is answered by itself: see [`answer`](Self::answer).
#[derive(Debug)]
pub struct NeighbourResponder {
    link: EthernetLink,
    arp: PacketSocket,
    ndp: PacketSocket,
    /// Member of the groups that questions about IPv6 addresses are sent to.
    groups: Option<UdpSocket>,
}

impl NeighbourResponder {
    /// Listens on a link of the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel gives no packet socket: `CAP_NET_RAW` is needed.
    pub fn open(link: EthernetLink) -> io::Result<Self> {
        let arp = PacketSocket::open(link.index, arp::ETHERTYPE)?;
        let ndp = PacketSocket::open(link.index, ndp::ETHERTYPE)?;
        ndp.keep_only(&mut ndp::questions_only())?;
        Ok(Self {
            link,
            arp,
            ndp,
            // A machine without IPv6 has no questions about it.
            groups: UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok(),
        })
    }

    /// The link.
    #[must_use]
    pub fn link(&self) -> &EthernetLink {
        &self.link
    }

    /// Duplicates of the descriptors that become readable with a question.
    ///
    /// # Errors
    /// No more files may be open.
    pub fn descriptors(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.arp.duplicate()?, self.ndp.duplicate()?])
    }

    /// Answers the questions that wait, for addresses that `is_ours` holds; gives their number.
    ///
    /// # Errors
    /// The link is gone, or down.
    pub fn answer(&self, is_ours: impl Fn(IpAddr) -> bool) -> io::Result<usize> {
        let mut frame = [0; FRAME];
        let mut answered = 0;
        for socket in [&self.arp, &self.ndp] {
            for _ in 0..BURST {
                let Some(length) = socket.receive(&mut frame)? else {
                    break;
                };
                let frame = frame.get(..length).unwrap_or_default();
                let question = arp::question(frame).or_else(|| ndp::question(frame));
                let Some(question) = question.filter(|question| is_ours(question.wanted)) else {
                    continue;
                };
                let reply = match question.wanted {
                    IpAddr::V4(_) => arp::reply(&question, self.link.mac),
                    IpAddr::V6(_) => ndp::reply(&question, self.link.mac),
                };
                if let Some(reply) = reply {
                    socket.send(&reply)?;
                    answered += 1;
                }
            }
        }
        Ok(answered)
    }

    /// Tells all neighbours that the address is here from now on: a gratuitous ARP, an unsolicited
    /// neighbour advertisement.
    ///
    /// # Errors
    /// The link is gone, or down.
    pub fn announce(&self, address: IpAddr) -> io::Result<()> {
        match address {
            IpAddr::V4(v4) => {
                let frames = arp::gratuitous(v4, self.link.mac);
                frames.iter().try_for_each(|frame| self.arp.send(frame))
            }
            IpAddr::V6(v6) => self.ndp.send(&ndp::unsolicited(v6, self.link.mac)),
        }
    }

    /// Hears questions about an address from now on: those about IPv6 go to a group.
    ///
    /// # Errors
    /// The link is gone.
    pub fn join(&self, address: IpAddr) -> io::Result<()> {
        match (&self.groups, address) {
            (Some(groups), IpAddr::V6(v6)) => {
                groups.join_multicast_v6(&ndp::group(v6), self.link.index)
            }
            _ => Ok(()),
        }
    }

    /// Hears no more questions about an address that was joined.
    pub fn leave(&self, address: IpAddr) {
        if let (Some(groups), IpAddr::V6(v6)) = (&self.groups, address) {
            // The link may be gone, and the membership with it.
            let _ = groups.leave_multicast_v6(&ndp::group(v6), self.link.index);
        }
    }
}
