//! The running kernel: a generic netlink socket for virtual servers and an rtnetlink socket for
//! the dummy device.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use nix::errno::Errno;

use super::wire::{
    CTRL, CTRL_FAMILY_ID, CTRL_FAMILY_NAME, CTRL_GETFAMILY, FAMILY, VERSION, cmd, top,
};
use super::{IpvsError, IpvsKernel, Refused, connections, decode, encode};
use crate::kernel::link::LinkSocket;
use crate::kernel::netlink::{Bus, Packet, Socket, flags};
use crate::plan::ipvs::{DEVICE, Present, PresentReal, PresentServer, Retired, ServerKey, Step};

/// Room for answers: a datagram of requests that are all refused, and pieces of dumps.
const REPLIES: usize = 1 << 20;

/// Timeouts of connections, in seconds; 0 leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// An established TCP connection without packets.
    pub tcp: u32,
    /// A TCP connection after a FIN.
    pub tcp_fin: u32,
    /// A UDP flow without packets.
    pub udp: u32,
}

/// IPVS of the network namespace that the socket was opened in.
#[derive(Debug)]
pub struct IpvsSocket {
    generic: Socket,
    family: u16,
    link: LinkSocket,
}

impl IpvsSocket {
    /// Opens the sockets in the network namespace of the calling thread. The kernel loads its
    /// module if it has it and may.
    ///
    /// # Errors
    /// [`IpvsError::Unavailable`] if there is no IPVS; or what the sockets report.
    pub fn open() -> Result<Self, IpvsError> {
        let mut generic = Socket::open_on(Bus::Generic).map_err(IpvsError::io("open"))?;
        let family = resolve(&mut generic)?;
        generic.reserve_receive(REPLIES);
        Ok(Self {
            generic,
            family,
            link: LinkSocket::open()?,
        })
    }

    /// The socket for the dummy device.
    pub fn link(&mut self) -> &mut LinkSocket {
        &mut self.link
    }

    /// Sets timeouts; 0 leaves one as it is. Says whether any was changed.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn set_timeouts(&mut self, wanted: Timeouts) -> Result<bool, IpvsError> {
        if wanted.is_met_by(self.timeouts()?) {
            return Ok(false);
        }
        let mut packet = Packet::default();
        packet.message(self.family, 0, &[cmd::SET_CONFIG, VERSION, 0, 0]);
        for (kind, value) in [
            (top::TIMEOUT_TCP, wanted.tcp),
            (top::TIMEOUT_TCP_FIN, wanted.tcp_fin),
            (top::TIMEOUT_UDP, wanted.udp),
        ] {
            packet.attr(kind, &value.to_ne_bytes());
        }
        let refusals = self.generic.send_packet(packet);
        let refusals = refusals.map_err(IpvsError::io("set timeouts"))?;
        match refusals.into_iter().next() {
            Some(refusal) => Err(IpvsError::of_reply("set IPVS timeouts", refusal.reply)),
            None => Ok(true),
        }
    }

    /// Sends steps about virtual servers.
    fn servers(&mut self, steps: &[Step], refused: &mut Vec<Refused>) -> Result<(), IpvsError> {
        let mut packet = Packet::default();
        for step in steps {
            encode::step(&mut packet, self.family, step);
        }
        let refusals = self.generic.send_packet(packet);
        for refusal in refusals.map_err(IpvsError::io("change virtual servers"))? {
            if Errno::from_raw(refusal.reply.errno) == Errno::EPERM {
                return Err(IpvsError::Permission);
            }
            if let Some(step) = steps.get(refusal.index) {
                refused.push(Refused {
                    step: step.clone(),
                    errno: refusal.reply.errno,
                    kernel_text: refusal.reply.text,
                });
            }
        }
        Ok(())
    }

    /// Whether there is such a virtual server.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn exists(&mut self, key: &ServerKey) -> Result<bool, IpvsError> {
        let asked = self.generic.ask(encode::one(self.family, key), &mut |_| {});
        match asked.map_err(IpvsError::io("look up a virtual server"))? {
            Err(reply) if Errno::from_raw(reply.errno) == Errno::ESRCH => Ok(false),
            Err(reply) => {
                let operation = format!("look up virtual server {key}");
                Err(IpvsError::of_reply(&operation, reply))
            }
            Ok(()) => Ok(true),
        }
    }

    /// All virtual servers of addresses, without their real servers.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn list(&mut self) -> Result<BTreeMap<ServerKey, PresentServer>, IpvsError> {
        let mut servers = BTreeMap::new();
        let packet = encode::all_services(self.family);
        let asked = self.generic.ask(packet, &mut |message| {
            servers.extend(decode::server(message));
        });
        let asked = asked.map_err(IpvsError::io("list virtual servers"))?;
        asked.map_err(|reply| IpvsError::of_reply("list virtual servers", reply))?;
        Ok(servers)
    }
}

impl Timeouts {
    /// Those that are not 0 are in force.
    #[must_use]
    pub fn is_met_by(&self, present: Self) -> bool {
        [
            (self.tcp, present.tcp),
            (self.tcp_fin, present.tcp_fin),
            (self.udp, present.udp),
        ]
        .into_iter()
        .all(|(wanted, present)| wanted == 0 || wanted == present)
    }
}

/// Asks for the number of family `IPVS`; the kernel loads the module for it.
fn resolve(socket: &mut Socket) -> Result<u16, IpvsError> {
    let mut packet = Packet::default();
    packet.message(CTRL, flags::ACK, &[CTRL_GETFAMILY, 1, 0, 0]);
    packet.text(CTRL_FAMILY_NAME, FAMILY);
    let mut family = None;
    let asked = socket.ask(packet, &mut |message| {
        let id = message.attrs().find(CTRL_FAMILY_ID);
        family = id.and_then(|id| id.payload.try_into().ok().map(u16::from_ne_bytes));
    });
    match asked.map_err(IpvsError::io("find IPVS"))? {
        Err(reply) if Errno::from_raw(reply.errno) == Errno::ENOENT => Err(IpvsError::Unavailable),
        Err(reply) => Err(IpvsError::of_reply("find IPVS", reply)),
        Ok(()) => family.ok_or(IpvsError::Unavailable),
    }
}

impl IpvsKernel for IpvsSocket {
    fn read(
        &mut self,
        wanted: &mut dyn FnMut(&ServerKey, &Present) -> bool,
    ) -> Result<Present, IpvsError> {
        let addresses = self.link.addresses(DEVICE)?;
        let mut present = Present {
            device: addresses.is_some(),
            addresses: addresses.unwrap_or_default(),
            servers: self.list()?,
        };
        let keys: Vec<_> = present.servers.keys().copied().collect();
        for key in keys {
            if !wanted(&key, &present) {
                continue;
            }
            let reals = self.reals(&key)?.unwrap_or_default();
            if let Some(server) = present.servers.get_mut(&key) {
                server.reals = reals.into_iter().collect();
            }
        }
        Ok(present)
    }

    fn reals(
        &mut self,
        key: &ServerKey,
    ) -> Result<Option<Vec<(SocketAddr, PresentReal)>>, IpvsError> {
        let mut reals = Vec::new();
        let packet = encode::reals_of(self.family, key);
        let asked = self.generic.ask(packet, &mut |message| {
            reals.extend(decode::real(message, key));
        });
        match asked.map_err(IpvsError::io("list real servers"))? {
            Err(reply) if Errno::from_raw(reply.errno) == Errno::ESRCH => Ok(None),
            Err(reply) => {
                let operation = format!("list the real servers of {key}");
                Err(IpvsError::of_reply(&operation, reply))
            }
            Ok(()) => Ok(Some(reals)),
        }
    }

    fn timeouts(&mut self) -> Result<Timeouts, IpvsError> {
        let mut packet = Packet::default();
        packet.message(self.family, flags::ACK, &[cmd::GET_CONFIG, VERSION, 0, 0]);
        let mut timeouts = Timeouts::default();
        let asked = self.generic.ask(packet, &mut |message| {
            let value = |kind| message.attrs().find(kind).and_then(|attr| attr.u32_ne());
            timeouts = Timeouts {
                tcp: value(top::TIMEOUT_TCP).unwrap_or(0),
                tcp_fin: value(top::TIMEOUT_TCP_FIN).unwrap_or(0),
                udp: value(top::TIMEOUT_UDP).unwrap_or(0),
            };
        });
        let asked = asked.map_err(IpvsError::io("read timeouts"))?;
        asked.map_err(|reply| IpvsError::of_reply("read IPVS timeouts", reply))?;
        Ok(timeouts)
    }

    fn busy(&mut self, among: &HashSet<Retired>) -> Result<HashSet<Retired>, IpvsError> {
        connections::busy(among)
    }

    fn take(&mut self, steps: &[Step]) -> Result<Vec<Refused>, IpvsError> {
        let mut refused = Vec::new();
        for same in steps.chunk_by(|a, b| a.server().is_some() == b.server().is_some()) {
            if same.first().is_some_and(|step| step.server().is_some()) {
                self.servers(same, &mut refused)?;
            } else {
                self.link.take(DEVICE, same, &mut refused)?;
            }
        }
        Ok(refused)
    }
}
