//! The table of a family as it is before, between and after the steps of IPVS: what is written
//! there of virtual servers and addresses stays until these are gone.
//!
//! Must not know how virtual servers are compared.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::kernel::ipvs::Refused;
use crate::plan::ipvs::{ServerKey, Step};
use crate::plan::nftables::{ElementKey, TablePlan, TableState, plan as plan_table};
use crate::translate::ipvs::{IpvsSet, IpvsTable};
use crate::translate::nftables::{address_of, front_end};

/// Sets whose elements stay until what they are for is gone.
const STRUCK_OUT_LAST: [IpvsSet; 2] = [IpvsSet::VirtualServers, IpvsSet::Addresses];

/// One family's table: as it should be in the end, as it should be before virtual servers go, and
/// as it is.
#[derive(Debug)]
pub struct Compared {
    /// What it should hold.
    pub desired: TableState,
    /// The same, with what is still written of virtual servers that go.
    first: TableState,
    /// What it holds; `None` if there is none.
    pub present: Option<TableState>,
}

impl Compared {
    /// The steps that come before those of IPVS.
    pub(super) fn before(&self) -> TablePlan<'_> {
        plan_table(&self.first, self.present.as_ref())
    }

    /// What it should hold after the steps of IPVS, of which some were refused.
    pub(super) fn last(&self, stay: &Stay) -> Cow<'_, TableState> {
        if stay.is_empty() {
            return Cow::Borrowed(&self.desired);
        }
        let mut last = self.desired.clone();
        for set in STRUCK_OUT_LAST {
            add(&mut last, &self.first, set, |key| stay.contains(set, key));
        }
        Cow::Owned(last)
    }

    /// The steps that come after those of IPVS, to [`last`](Self::last).
    pub(super) fn after<'a>(&'a self, last: &'a TableState) -> TablePlan<'a> {
        plan_table(last, Some(&self.first))
    }

    /// All of them.
    pub(super) fn all(&self) -> TablePlan<'_> {
        plan_table(&self.desired, self.present.as_ref())
    }
}

/// What the kernel refused to delete: it is still there, and so is what is written of it.
#[derive(Debug, Default)]
pub(super) struct Stay {
    servers: BTreeSet<ServerKey>,
    addresses: BTreeSet<IpAddr>,
}

impl Stay {
    /// Out of the steps that were refused.
    pub(super) fn of(refused: &[Refused]) -> Self {
        let mut stay = Self::default();
        for refused in refused {
            match &refused.step {
                Step::DeleteServer(key) => {
                    stay.servers.insert(*key);
                }
                Step::DeleteAddress(ip) => {
                    stay.addresses.insert(*ip);
                }
                _ => {}
            }
        }
        stay
    }

    fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.addresses.is_empty()
    }

    fn contains(&self, set: IpvsSet, element: &ElementKey) -> bool {
        match set {
            IpvsSet::VirtualServers => {
                server(&element.key).is_some_and(|key| self.servers.contains(&key))
            }
            _ => address_of(&element.key).is_some_and(|ip| self.addresses.contains(&ip)),
        }
    }
}

/// Adds to a set what another state of the table has in it, as far as it is wanted.
fn add(to: &mut TableState, from: &TableState, set: IpvsSet, wanted: impl Fn(&ElementKey) -> bool) {
    let name = set.name();
    if let (Some(from), Some(to)) = (from.sets.get(&*name), to.sets.get_mut(&*name)) {
        for (key, value) in from.elements.iter().filter(|(key, _)| wanted(key)) {
            let entry = to.elements.entry(key.clone());
            entry.or_insert_with(|| value.clone());
        }
    }
}

/// The tables beside what the kernel holds. `record` is what is written down of settings.
pub(super) fn compare(
    tables: &mut [IpvsTable],
    states: Vec<Option<TableState>>,
    record: Vec<String>,
) -> Vec<Compared> {
    if let Some(first) = tables.first_mut() {
        first.remember(record);
    }
    let pairs = tables.iter().zip(states);
    let compared = pairs.map(|(table, present)| {
        let desired = TableState::of(table);
        let mut first = desired.clone();
        for set in STRUCK_OUT_LAST {
            if let Some(present) = &present {
                add(&mut first, present, set, |_| true);
            }
        }
        Compared {
            desired,
            first,
            present,
        }
    });
    compared.collect()
}

/// The virtual servers that a present table says are ours.
pub(super) fn written_down(states: &[Option<TableState>]) -> BTreeSet<ServerKey> {
    let name = IpvsSet::VirtualServers.name();
    let states = states.iter().flatten();
    let sets = states.filter_map(|state| state.sets.get(&*name));
    let keys = sets.flat_map(|set| set.elements.keys());
    keys.filter_map(|element| server(&element.key)).collect()
}

/// The virtual server that an element is about.
fn server(key: &[u8]) -> Option<ServerKey> {
    let front = front_end(key)?;
    Some(ServerKey {
        address: front.address,
        protocol: front.protocol,
        port: front.port,
    })
}
