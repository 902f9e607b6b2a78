//! The cluster's zone: what each name of it stands for, kept up with a snapshot.
//!
//! | file | idea |
//! | --- | --- |
//! | `entry` | what DNS knows of one Service |
//! | `question` | which Service, endpoint or pod a name means |
//! | `answer` | what is said about it, and what about names that are not there |
//! | `forward_names`, `srv`, `reverse`, `pod`, `apex` | the answers, by kind of name |
//! | `zonal` | endpoints of a topology zone |
//! | `autopath` | the search of a pod's resolver, done for it |
//! | `origin` | which Service or endpoint a record stands for |
//! | `list` | every record there is |
//!
//! Follows the Kubernetes DNS specification, schema 1.1.0 (kubernetes/dns,
//! `docs/specification.md`), and where that is silent what CoreDNS' `kubernetes` plugin answers.
//! Must not do I/O, and must not look at a clock: times come in as values.

mod answer;
mod apex;
mod autopath;
mod entry;
mod forward_names;
mod list;
mod options;
mod origin;
mod pod;
mod question;
mod reverse;
mod srv;
mod zonal;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;

pub use answer::{Answer, Ask, Code};
pub use autopath::Searched;
pub use list::{listed, listed_addresses};
pub use options::{OptionsError, PodRecords, ReverseZones, ZoneOptions};
pub use origin::Origin;

use crate::model::{NamespacedName, Snapshot, Touched};
use entry::Entry;

/// Key of a Service: `name.namespace`, lower case. Neither part can hold a dot.
type Key = Box<[u8]>;

/// Names and records of a cluster.
#[derive(Debug)]
pub struct Zone {
    options: ZoneOptions,
    /// Labels of the cluster domain, lower case, from the right.
    domain: Vec<Box<[u8]>>,
    entries: HashMap<Key, Entry>,
    /// Which Services have an address, as cluster IP or as that of an endpoint.
    addresses: HashMap<IpAddr, Vec<NamespacedName>>,
    /// How many Services each namespace has.
    namespaces: HashMap<Box<[u8]>, usize>,
    serial: u32,
}

impl Zone {
    /// The zone of a complete snapshot. `now` is the time in seconds since 1970: the zone's serial
    /// number, modulo 2^32.
    #[must_use]
    pub fn new(options: ZoneOptions, snapshot: &Snapshot, now: u64) -> Self {
        let domain = options.domain.iter().rev();
        let mut zone = Self {
            domain: domain
                .map(|label| label.to_ascii_lowercase().into())
                .collect(),
            options,
            entries: HashMap::with_capacity(snapshot.services.len()),
            addresses: HashMap::new(),
            namespaces: HashMap::new(),
            serial: serial(now),
        };
        for name in snapshot.services.keys() {
            zone.update(snapshot, name);
        }
        zone
    }

    /// Follows the snapshot, which changed in these Services. Costs time for them alone. `now` as
    /// in [`new`](Self::new).
    pub fn follow(&mut self, snapshot: &Snapshot, touched: &Touched, now: u64) {
        self.follow_services(snapshot, &touched.services, now);
    }

    fn follow_services(
        &mut self,
        snapshot: &Snapshot,
        services: &BTreeSet<NamespacedName>,
        now: u64,
    ) {
        let mut news = false;
        for name in services {
            news |= self.update(snapshot, name);
        }
        if news {
            self.serial = serial(now).max(self.serial.saturating_add(1));
        }
    }

    /// Makes the entry of a Service anew; whether any answer changed.
    fn update(&mut self, snapshot: &Snapshot, name: &NamespacedName) -> bool {
        let service = snapshot.services.get(name);
        let service = service.filter(|_| self.options.exposes(&name.namespace));
        let slices = snapshot.slices_of(name);
        let entry = service.map(|service| Entry::new(service, slices, &self.options));
        let key = key_of(name);
        if entry.as_ref() == self.entries.get(&key) {
            return false;
        }
        let namespace = name.namespace.as_bytes();
        if let Some(old) = self.entries.remove(&key) {
            self.strike(&old);
            self.leave_namespace(namespace);
        }
        if let Some(entry) = entry {
            for address in entry.all_addresses() {
                let services = self.addresses.entry(address).or_default();
                if let Err(place) = services.binary_search(name) {
                    services.insert(place, name.clone());
                }
            }
            *self.namespaces.entry(namespace.into()).or_default() += 1;
            self.entries.insert(key, entry);
        }
        true
    }

    fn strike(&mut self, entry: &Entry) {
        for address in entry.all_addresses() {
            let Some(services) = self.addresses.get_mut(&address) else {
                continue;
            };
            services.retain(|service| *service != entry.service);
            if services.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }

    fn leave_namespace(&mut self, namespace: &[u8]) {
        if let Some(count) = self.namespaces.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// What the zone was made with.
    #[must_use]
    pub fn options(&self) -> &ZoneOptions {
        &self.options
    }

    /// The serial number of the zone as it is: the time of the last change of any answer.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Services in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// It holds no Service.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a name is the cluster domain or under it.
    #[must_use]
    pub fn holds(&self, name: &Name) -> bool {
        question::rest(name, &self.domain).is_some()
    }

    fn entry_of(&self, service: &NamespacedName) -> Option<&Entry> {
        self.entries.get(&key_of(service))
    }

    fn entry(&self, service: &[u8], namespace: &[u8]) -> Option<&Entry> {
        // Labels of a query may hold any byte, a dot too: that is no Service's name.
        if service.contains(&b'.') || namespace.contains(&b'.') {
            return None;
        }
        let mut key = [0_u8; 2 * 63 + 1];
        let length = service.len() + 1 + namespace.len();
        let key = key.get_mut(..length)?;
        key[..service.len()].copy_from_slice(service);
        key[service.len()] = b'.';
        key[service.len() + 1..].copy_from_slice(namespace);
        key.make_ascii_lowercase();
        self.entries.get(&*key)
    }

    /// A namespace exists if a Service is in it.
    fn has_namespace(&self, namespace: &[u8]) -> bool {
        let mut buffer = [0_u8; 63];
        buffer.get_mut(..namespace.len()).is_some_and(|lower| {
            lower.copy_from_slice(namespace);
            lower.make_ascii_lowercase();
            self.namespaces.contains_key(&*lower)
        })
    }

    /// The Services of the zone, by name.
    fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by(|a, b| a.service.cmp(&b.service));
        entries
    }
}

fn key_of(name: &NamespacedName) -> Key {
    let mut key = Vec::with_capacity(name.name.len() + 1 + name.namespace.len());
    key.extend_from_slice(name.name.as_bytes());
    key.push(b'.');
    key.extend_from_slice(name.namespace.as_bytes());
    key.make_ascii_lowercase();
    key.into()
}

fn serial(now: u64) -> u32 {
    u32::try_from(now & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// A shared text.
type Text = Arc<str>;

#[cfg(test)]
mod tests;
