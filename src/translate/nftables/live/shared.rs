//! Elements that several Services may hold (cluster IPs, hairpin): there as long as anybody holds
//! them.

use std::collections::{BTreeSet, HashMap};

use super::super::sets::SetId;
use crate::model::NamespacedName;

/// Who holds an element. Nearly always it is one.
#[derive(Clone, Debug)]
enum Holders {
    One(NamespacedName),
    Several(BTreeSet<NamespacedName>),
}

impl Holders {
    fn first(&self) -> Option<&NamespacedName> {
        match self {
            Self::One(holder) => Some(holder),
            Self::Several(holders) => holders.first(),
        }
    }
}

/// Who holds the elements of the sets that are shared.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    cluster_ips: HashMap<Box<[u8]>, Holders>,
    hairpin: HashMap<Box<[u8]>, Holders>,
}

impl Shared {
    fn of(&self, set: SetId) -> &HashMap<Box<[u8]>, Holders> {
        match set {
            SetId::ClusterIps => &self.cluster_ips,
            _ => &self.hairpin,
        }
    }

    fn of_mut(&mut self, set: SetId) -> &mut HashMap<Box<[u8]>, Holders> {
        match set {
            SetId::ClusterIps => &mut self.cluster_ips,
            _ => &mut self.hairpin,
        }
    }

    /// A Service holds an element; saying so again changes nothing.
    pub(super) fn add(&mut self, set: SetId, key: &[u8], service: &NamespacedName) {
        let elements = self.of_mut(set);
        match elements.get_mut(key) {
            None => {
                elements.insert(key.into(), Holders::One(service.clone()));
            }
            Some(Holders::One(one)) if one == service => {}
            Some(holders @ Holders::One(_)) => {
                let both = holders.first().into_iter().chain([service]);
                *holders = Holders::Several(both.cloned().collect());
            }
            Some(Holders::Several(several)) => {
                several.insert(service.clone());
            }
        }
    }

    /// A Service holds an element no longer; saying so again changes nothing.
    pub(super) fn remove(&mut self, set: SetId, key: &[u8], service: &NamespacedName) {
        let elements = self.of_mut(set);
        let is_last = match elements.get_mut(key) {
            None => false,
            Some(Holders::One(one)) => one == service,
            Some(Holders::Several(several)) => {
                several.remove(service);
                several.is_empty()
            }
        };
        if is_last {
            elements.remove(key);
        }
    }

    /// The first in name order of those who hold an element: comments name it.
    pub(super) fn holder(&self, set: SetId, key: &[u8]) -> Option<&NamespacedName> {
        self.of(set).get(key)?.first()
    }

    /// All elements, in no order, with the first in name order of those who hold each.
    pub(super) fn elements(&self) -> impl Iterator<Item = (SetId, &[u8], &NamespacedName)> {
        let sets = [SetId::ClusterIps, SetId::Hairpin].into_iter();
        sets.flat_map(|set| {
            let elements = self.of(set).iter();
            elements.filter_map(move |(key, holders)| Some((set, &**key, holders.first()?)))
        })
    }
}
