//! Noticing what others do to the device and to virtual servers.
//!
//! The kernel tells of links and addresses. Of virtual servers it tells nobody: they are listed at
//! every alarm, and the real servers of some of them in turn.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::agent::hearing::Hearing;
use crate::agent::ipvs::drain::Drains;
use crate::agent::run::programmer::Foreign;
use crate::agent::sync::SyncError;
use crate::kernel::ipvs::{IpvsKernel, IpvsSocket};
use crate::kernel::link::{LinkError, LinkEvent, LinkMonitor};
use crate::kernel::wakes::Wakes;
use crate::plan::ipvs::{DEVICE, Server, ServerKey};
use crate::translate::ipvs::IpvsTable;

/// How often virtual servers are compared; the more there are, the longer.
const PERIOD: Duration = Duration::from_secs(3);
/// As many virtual servers add a second to that.
const SERVERS_A_SECOND: usize = 1000;
/// How often real servers that wait are looked at.
const DRAINING: Duration = Duration::from_secs(1);
/// Virtual servers whose real servers are compared at one alarm.
const IN_TURN: usize = 64;

/// The ears and the alarm.
#[derive(Debug)]
pub(super) struct Watch {
    links: LinkMonitor,
    wakes: Wakes,
    device: Option<u32>,
    /// Where the turn is.
    turn: Option<ServerKey>,
    servers: usize,
}

impl Watch {
    /// Listens from now on, but not to what the socket with this port does.
    pub(super) fn open(own: u32, hearing: Option<&Hearing>) -> Result<Self, LinkError> {
        let failed = |source| LinkError::Io {
            operation: "wait",
            source,
        };
        let links = LinkMonitor::open(own)?;
        let wakes = Wakes::new().map_err(failed)?;
        wakes.watch(&links).map_err(failed)?;
        if let Some(hearing) = hearing {
            let descriptor = hearing.descriptor().map_err(failed)?;
            wakes.watch(&descriptor).map_err(failed)?;
        }
        Ok(Self {
            links,
            wakes,
            device: None,
            turn: None,
            servers: 0,
        })
    }

    /// What to wait for.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.wakes.descriptor()
    }

    /// The kernel now holds these: notes the device and how many there are.
    pub(super) fn settled(
        &mut self,
        ipvs: &mut IpvsSocket,
        tables: &[IpvsTable],
    ) -> Result<(), SyncError> {
        let device = ipvs.link().dummy(DEVICE);
        self.device = device.map_err(crate::kernel::ipvs::IpvsError::from)?;
        self.servers = tables.iter().map(|table| table.servers().count()).sum();
        Ok(())
    }

    /// Sets the alarm.
    pub(super) fn rearm(&self, drains: &Drains, failed: bool) {
        let more = u64::try_from(self.servers / SERVERS_A_SECOND).unwrap_or(0);
        let period = PERIOD + Duration::from_secs(more);
        let soon = !drains.is_empty() || failed;
        let after = if soon { DRAINING } else { period };
        if let Err(error) = self.wakes.alarm(after) {
            tracing::warn!(%error, "virtual servers are not looked at");
        }
    }

    /// The alarm has rung.
    pub(super) fn has_rung(&self) -> bool {
        self.wakes.has_rung()
    }

    /// What others did to the device and its addresses.
    pub(super) fn heard(&mut self, tables: &[IpvsTable]) -> io::Result<Vec<Foreign>> {
        let events = self.links.heard()?;
        let bound =
            |address: &std::net::IpAddr| tables.iter().any(|table| table.is_bound(*address));
        let told = events.into_iter().filter_map(|event| match event {
            LinkEvent::LinkDeleted { name } if name == DEVICE => Some(foreign(
                "device_deleted",
                format!("link {DEVICE} was deleted"),
            )),
            LinkEvent::AddressDeleted { address, link }
                if Some(link) == self.device && bound(&address) =>
            {
                let text = format!("address {address} was deleted from {DEVICE}");
                Some(foreign("address_deleted", text))
            }
            LinkEvent::AddressAdded { address, link }
                if Some(link) == self.device && !bound(&address) && !is_automatic(address) =>
            {
                let text = format!("address {address} was added to {DEVICE}");
                Some(foreign("address_added", text))
            }
            LinkEvent::Overrun => Some(foreign(
                "overrun",
                "more changes of links than could be heard".to_owned(),
            )),
            _ => None,
        });
        Ok(told.collect())
    }

    /// Compares virtual servers with what was written, and the real servers of some. Looks whether
    /// those of others are still where ours should be.
    pub(super) fn compare(
        &mut self,
        ipvs: &mut IpvsSocket,
        tables: &[IpvsTable],
        taken: &[ServerKey],
        drains: &Drains,
    ) -> Result<Vec<Foreign>, SyncError> {
        let desired: BTreeMap<ServerKey, &Server> = super::super::comparison::desired(tables);
        if desired.is_empty() && taken.is_empty() {
            return Ok(Vec::new());
        }
        let present = ipvs.list()?;
        if let Some(key) = taken.iter().find(|key| !present.contains_key(*key)) {
            let text = format!("virtual server {key}, which was somebody else's, is gone");
            return Ok(vec![foreign("front_end_free", text)]);
        }
        let differs = desired.iter().filter(|(key, server)| {
            let there = present.get(*key);
            there.is_none_or(|there| there.spec.as_ref() != Some(&server.spec))
        });
        let count = differs.count();
        if count > 0 {
            let text = format!("{count} virtual servers were deleted or changed");
            return Ok(vec![foreign("virtual_servers_changed", text)]);
        }
        let after = self
            .turn
            .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let rest = desired.range((after, std::ops::Bound::Unbounded));
        let some: Vec<_> = rest
            .take(IN_TURN)
            .map(|(k, server)| (*k, *server))
            .collect();
        self.turn = some.last().map(|(key, _)| *key);
        for (key, server) in some {
            let reals = ipvs.reals(&key)?.unwrap_or_default();
            let waiting = drains.of(&key).count();
            let same = reals.iter().filter(|(socket, real)| {
                real.usual && server.reals.get(socket) == Some(&real.weight)
            });
            let same = same.count();
            if same != server.reals.len() || reals.len() > same + waiting {
                let text = format!("real servers of virtual server {key} were changed");
                return Ok(vec![foreign("real_servers_changed", text)]);
            }
        }
        Ok(Vec::new())
    }
}

fn foreign(damage: &'static str, text: String) -> Foreign {
    Foreign { damage, text }
}

/// The kernel gives links such addresses by itself.
fn is_automatic(address: std::net::IpAddr) -> bool {
    matches!(address, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local())
}
