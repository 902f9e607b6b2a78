//! Steps as messages.

use std::net::{IpAddr, SocketAddr};

use super::wire::{VERSION, cmd, dest, svc, top};
use crate::kernel::netlink::{Packet, flags};
use crate::model::IpFamily;
use crate::plan::ipvs::{ServerKey, ServerSpec, Step};

/// `IP_VS_SVC_F_PERSISTENT`.
const PERSISTENT: u32 = 0x1;

/// Adds the message of a step about a virtual server; gives back whether it is one.
pub(super) fn step(packet: &mut Packet, family: u16, step: &Step) -> bool {
    let mut begin = |command| packet.message(family, flags::NONE, &[command, VERSION, 0, 0]);
    match step {
        Step::AddServer(key, spec) => {
            begin(cmd::NEW_SERVICE);
            service(packet, key, Some(spec));
        }
        Step::SetServer(key, spec) => {
            begin(cmd::SET_SERVICE);
            service(packet, key, Some(spec));
        }
        Step::DeleteServer(key) => {
            begin(cmd::DEL_SERVICE);
            service(packet, key, None);
        }
        Step::AddReal(key, socket, weight) => {
            begin(cmd::NEW_DEST);
            real(packet, key, *socket, Some(*weight));
        }
        Step::SetReal(key, socket, weight) => {
            begin(cmd::SET_DEST);
            real(packet, key, *socket, Some(*weight));
        }
        Step::DeleteReal(key, socket) => {
            begin(cmd::DEL_DEST);
            real(packet, key, *socket, None);
        }
        _ => return false,
    }
    true
}

/// Asks for all virtual servers.
pub(super) fn all_services(family: u16) -> Packet {
    let mut packet = Packet::default();
    packet.message(family, flags::DUMP, &[cmd::GET_SERVICE, VERSION, 0, 0]);
    packet
}

/// Asks for one virtual server.
pub(super) fn one(family: u16, key: &ServerKey) -> Packet {
    let mut packet = Packet::default();
    packet.message(family, flags::ACK, &[cmd::GET_SERVICE, VERSION, 0, 0]);
    service(&mut packet, key, None);
    packet
}

/// Asks for the real servers of a virtual server.
pub(super) fn reals_of(family: u16, key: &ServerKey) -> Packet {
    let mut packet = Packet::default();
    packet.message(family, flags::DUMP, &[cmd::GET_DEST, VERSION, 0, 0]);
    service(&mut packet, key, None);
    packet
}

/// `IPVS_CMD_ATTR_SERVICE`: the key, and all of the rest or nothing.
fn service(packet: &mut Packet, key: &ServerKey, spec: Option<&ServerSpec>) {
    packet.nest(top::SERVICE, |packet| {
        packet.attr(svc::AF, &af(key.address).to_ne_bytes());
        packet.attr(
            svc::PROTOCOL,
            &u16::from(key.protocol.number()).to_ne_bytes(),
        );
        packet.attr(svc::ADDR, &address(key.address));
        packet.attr(svc::PORT, &key.port.to_be_bytes());
        let Some(spec) = spec else {
            return;
        };
        let persistent = if spec.persistence.is_some() {
            PERSISTENT
        } else {
            0
        };
        let flags = spec.scheduler.flags | persistent;
        // `struct ip_vs_flags`: the flags, and which of them are meant.
        let flags = [flags.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
        packet.text(svc::SCHED_NAME, &spec.scheduler.name);
        packet.attr(svc::FLAGS, &flags);
        packet.attr(svc::TIMEOUT, &spec.persistence.unwrap_or(0).to_ne_bytes());
        packet.attr(svc::NETMASK, &whole_address(key.family()));
    });
}

/// `IPVS_CMD_ATTR_DEST`, after the virtual server it belongs to.
fn real(packet: &mut Packet, key: &ServerKey, socket: SocketAddr, weight: Option<u32>) {
    service(packet, key, None);
    packet.nest(top::DEST, |packet| {
        packet.attr(dest::ADDR, &address(socket.ip()));
        packet.attr(dest::PORT, &socket.port().to_be_bytes());
        packet.attr(dest::ADDR_FAMILY, &af(socket.ip()).to_ne_bytes());
        if let Some(weight) = weight {
            let number = |packet: &mut Packet, kind, value: u32| {
                packet.attr(kind, &value.to_ne_bytes());
            };
            number(packet, dest::FWD_METHOD, 0);
            number(packet, dest::WEIGHT, weight);
            number(packet, dest::U_THRESH, 0);
            number(packet, dest::L_THRESH, 0);
        }
    });
}

/// `AF_INET` or `AF_INET6`.
fn af(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

/// `union nf_inet_addr`.
fn address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Persistence goes by whole client addresses: a mask for IPv4, a length for IPv6.
pub(super) fn whole_address(family: IpFamily) -> [u8; 4] {
    match family {
        IpFamily::V4 => [255; 4],
        IpFamily::V6 => 128_u32.to_ne_bytes(),
    }
}
