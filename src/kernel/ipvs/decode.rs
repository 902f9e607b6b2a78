//! Virtual servers and real servers out of the kernel's answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::encode::whole_address;
use super::wire::{FWD_MASK, HASHED, dest, svc, top};
use crate::kernel::netlink::{Attr, Message};
use crate::model::Protocol;
use crate::plan::ipvs::{PresentReal, PresentServer, Scheduler, ServerKey, ServerSpec};

/// `IP_VS_SVC_F_PERSISTENT`, and the flags of schedulers.
const PERSISTENT: u32 = 0x1;
const SCHEDULER: u32 = 0x18;

/// A virtual server of an address, without its real servers. `None` for one of a firewall mark or
/// of a protocol that no Service has.
pub(super) fn server(message: &Message<'_>) -> Option<(ServerKey, PresentServer)> {
    let service = message.attrs().find(top::SERVICE)?.nested();
    let find = |kind| service.clone().find(kind);
    let protocol = number(&find(svc::PROTOCOL)?)?;
    let key = ServerKey {
        address: address(number(&find(svc::AF)?)?, &find(svc::ADDR)?)?,
        protocol: Protocol::from_number(u8::try_from(protocol).ok()?)?,
        port: port(&find(svc::PORT)?)?,
    };
    let flags = find(svc::FLAGS)?.payload;
    let flags = flags.first_chunk::<4>().map(|b| u32::from_ne_bytes(*b))?;
    let flags = flags & !HASHED;
    let scheduler = Scheduler {
        name: find(svc::SCHED_NAME)?.text()?.into(),
        flags: flags & SCHEDULER,
    };
    let timeout = find(svc::TIMEOUT)?.u32_ne()?;
    let unusual = flags & !(PERSISTENT | SCHEDULER) != 0
        || find(svc::NETMASK)?.payload != whole_address(key.family())
        || find(svc::PE_NAME).is_some();
    let spec = ServerSpec {
        scheduler,
        persistence: (flags & PERSISTENT != 0).then_some(timeout),
    };
    let server = PresentServer {
        spec: (!unusual).then_some(spec),
        reals: BTreeMap::new(),
    };
    Some((key, server))
}

/// A real server of a virtual server of this family.
pub(super) fn real(message: &Message<'_>, key: &ServerKey) -> Option<(SocketAddr, PresentReal)> {
    let attrs = message.attrs().find(top::DEST)?.nested();
    let find = |kind| attrs.clone().find(kind);
    let own = if key.address.is_ipv4() { 2 } else { 10 };
    let af = find(dest::ADDR_FAMILY).and_then(|attr| number(&attr));
    let socket = SocketAddr::new(
        address(af.unwrap_or(own), &find(dest::ADDR)?)?,
        port(&find(dest::PORT)?)?,
    );
    let value = |kind| find(kind).and_then(|attr| attr.u32_ne()).unwrap_or(0);
    let connections = value(dest::ACTIVE_CONNS).saturating_add(value(dest::INACT_CONNS));
    let real = PresentReal {
        weight: value(dest::WEIGHT),
        usual: value(dest::FWD_METHOD) & FWD_MASK == 0
            && value(dest::U_THRESH) == 0
            && value(dest::L_THRESH) == 0,
        connections,
    };
    Some((socket, real))
}

fn number(attr: &Attr<'_>) -> Option<u16> {
    attr.payload.try_into().ok().map(u16::from_ne_bytes)
}

fn port(attr: &Attr<'_>) -> Option<u16> {
    attr.payload.try_into().ok().map(u16::from_be_bytes)
}

fn address(af: u16, attr: &Attr<'_>) -> Option<IpAddr> {
    match af {
        2 => attr.payload.first_chunk::<4>().map(|b| IpAddr::from(*b)),
        10 => attr.payload.first_chunk::<16>().map(|b| IpAddr::from(*b)),
        _ => None,
    }
}
