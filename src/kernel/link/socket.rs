//! Changing a dummy device and its addresses over rtnetlink.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::errno::Errno;

use super::LinkError;
use super::wire::{
    self, DELADDR, DELLINK, GETADDR, GETLINK, IFA_ADDRESS, IFA_LOCAL, IFLA_IFNAME, IFLA_INFO_KIND,
    IFLA_LINKINFO, NEW_ONLY, NEWADDR, NEWLINK,
};
use crate::kernel::ipvs::Refused;
use crate::kernel::netlink::{Bus, Packet, Socket, flags};
use crate::plan::ipvs::Step;

/// Room for pieces of dumps and the answers to a datagram of refused requests.
const REPLIES: usize = 1 << 20;

/// rtnetlink of the network namespace that the socket was opened in.
#[derive(Debug)]
pub struct LinkSocket {
    socket: Socket,
}

impl LinkSocket {
    /// Opens the socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// What `socket(2)` reports.
    pub fn open() -> Result<Self, LinkError> {
        let socket = Socket::open_on(Bus::Route).map_err(LinkError::io("open"))?;
        socket.reserve_receive(REPLIES);
        Ok(Self { socket })
    }

    /// The port that the kernel names as the author of this socket's changes.
    #[must_use]
    pub fn portid(&self) -> u32 {
        self.socket.portid()
    }

    /// The index of a dummy device; `None` if there is no link of this name.
    ///
    /// # Errors
    /// The link is something else, or the question failed.
    pub fn dummy(&mut self, name: &str) -> Result<Option<u32>, LinkError> {
        let mut packet = Packet::default();
        packet.message(GETLINK, flags::ACK, &wire::ifinfo(0));
        packet.text(IFLA_IFNAME, name);
        let mut found = None;
        let asked = self.socket.ask(packet, &mut |message| {
            if let Some(link) = wire::link(message) {
                found = Some((link.index, link.kind == Some("dummy")));
            }
        });
        match asked.map_err(LinkError::io("find a link"))? {
            Err(reply) if Errno::from_raw(reply.errno) == Errno::ENODEV => return Ok(None),
            Err(reply) => return Err(LinkError::of_reply(format!("look up link {name}"), reply)),
            Ok(()) => {}
        }
        match found {
            Some((index, true)) => Ok(Some(index)),
            Some((_, false)) => Err(LinkError::NotADummy(name.to_owned())),
            None => Ok(None),
        }
    }

    /// The addresses of a dummy device, without those that the kernel gives it by itself; `None`
    /// if there is no such device.
    ///
    /// # Errors
    /// As [`dummy`](Self::dummy).
    pub fn addresses(&mut self, name: &str) -> Result<Option<BTreeSet<IpAddr>>, LinkError> {
        let Some(device) = self.dummy(name)? else {
            return Ok(None);
        };
        let mut packet = Packet::default();
        packet.message(GETADDR, flags::DUMP, &[0; 8]);
        let mut addresses = BTreeSet::new();
        let asked = self.socket.ask(packet, &mut |message| {
            if let Some((address, index)) = wire::address(message)
                && index == device
                && !is_automatic(address)
            {
                addresses.insert(address);
            }
        });
        let asked = asked.map_err(LinkError::io("list addresses"))?;
        asked.map_err(|reply| LinkError::of_reply(format!("list addresses of {name}"), reply))?;
        Ok(Some(addresses))
    }

    /// Takes the steps about the device and its addresses; others are not its business. Adds those
    /// that are refused to `refused`.
    pub(crate) fn take(
        &mut self,
        device: &str,
        steps: &[Step],
        refused: &mut Vec<Refused>,
    ) -> Result<(), LinkError> {
        let of_device = |step: &Step| matches!(step, Step::AddDevice | Step::DeleteDevice);
        for same in steps.chunk_by(|a, b| of_device(a) == of_device(b)) {
            let index = self.dummy(device)?;
            let mut packet = Packet::default();
            for step in same {
                encode(&mut packet, device, index.unwrap_or(0), step);
            }
            let refusals = self.socket.send_packet(packet);
            for refusal in refusals.map_err(LinkError::io("change links"))? {
                if Errno::from_raw(refusal.reply.errno) == Errno::EPERM {
                    return Err(LinkError::Permission);
                }
                if let Some(step) = same.get(refusal.index) {
                    refused.push(Refused {
                        step: step.clone(),
                        errno: refusal.reply.errno,
                        kernel_text: refusal.reply.text,
                    });
                }
            }
        }
        Ok(())
    }
}

/// IPv6 gives every link an address of its own.
fn is_automatic(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn encode(packet: &mut Packet, device: &str, index: u32, step: &Step) {
    let host = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    match step {
        Step::AddDevice => {
            packet.message(NEWLINK, NEW_ONLY, &wire::ifinfo(0));
            packet.text(IFLA_IFNAME, device);
            packet.nest(IFLA_LINKINFO, |packet| packet.text(IFLA_INFO_KIND, "dummy"));
        }
        Step::DeleteDevice => packet.message(DELLINK, 0, &wire::ifinfo(index)),
        Step::AddAddress(address) => {
            packet.message(NEWADDR, NEW_ONLY, &wire::ifaddr(*address, index));
            packet.attr(IFA_LOCAL, &host(address));
            packet.attr(IFA_ADDRESS, &host(address));
        }
        Step::DeleteAddress(address) => {
            packet.message(DELADDR, 0, &wire::ifaddr(*address, index));
            packet.attr(IFA_LOCAL, &host(address));
        }
        _ => {}
    }
}
