//! The notifications of one transaction, summed up per object.
//!
//! Memory depends on the number of distinct objects that are told by name, which is bounded, and
//! not on the size of the transaction.

use std::collections::HashMap;
use std::sync::Arc;

use super::event::{Change, End, Event, ObjectKind};
use super::interest::{Interest, Wanted};
use crate::model::IpFamily;
use crate::plan::nftables::ElementKey;

/// How many objects of a transaction are told by name; the rest is only counted.
const NAMED: usize = 256;

/// A transaction of another program that changed something of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The generation it made (`NFTA_GEN_ID`).
    pub generation: u32,
    /// Who made it.
    pub process: Process,
    /// What it changed, in the order in which the kernel told of the objects first. Never empty.
    pub damage: Vec<Damage>,
}

/// The process behind a transaction, as far as the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `NFTA_GEN_PROC_PID`: its thread's number in the initial PID namespace; a container sees
    /// other numbers.
    pub pid: Option<u32>,
    /// `NFTA_GEN_PROC_NAME`: the thread's name, at most 15 bytes.
    pub name: Option<Box<str>>,
}

/// All changes of one kind of object under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Family of the table.
    pub family: IpFamily,
    /// Name of the table.
    pub table: Arc<str>,
    /// What was changed.
    pub kind: ObjectKind,
    /// Name of the object; of rules their chain's, of elements their set's. `None` sums up many
    /// objects of this kind in this table that are not told by name.
    pub name: Option<Box<str>>,
    /// The set is a map, as far as the notifications showed it.
    pub map: bool,
    /// How many objects were added, or changed.
    pub added: usize,
    /// How many objects were deleted.
    pub deleted: usize,
    keys: Vec<ElementKey>,
    /// Some keys were not kept.
    cut: bool,
}

impl Damage {
    /// Damage to an object with a name.
    #[must_use]
    pub fn new(
        family: IpFamily,
        table: Arc<str>,
        kind: ObjectKind,
        name: Option<Box<str>>,
    ) -> Self {
        Self {
            family,
            table,
            kind,
            name,
            map: false,
            added: 0,
            deleted: 0,
            keys: Vec::new(),
            cut: false,
        }
    }

    /// The keys of all elements that were added or deleted, in order and with repetitions; `None`
    /// if they were too many, or nobody asked for them
    /// ([`Interest::keep_keys`](super::Interest::keep_keys)).
    #[must_use]
    pub fn keys(&self) -> Option<&[ElementKey]> {
        (self.kind == ObjectKind::Element && !self.cut).then_some(&*self.keys)
    }

    fn count(&mut self, change: Change, objects: usize) {
        match change {
            Change::Added => self.added += objects,
            Change::Deleted => self.deleted += objects,
        }
    }
}

/// Number of a table of interest, and kind of object in it.
type Group = (usize, ObjectKind);

/// The transaction whose notifications are coming in.
#[derive(Debug, Default)]
pub(super) struct Collector {
    damage: Vec<Damage>,
    /// Where in `damage` an object is.
    named: HashMap<Group, HashMap<Box<str>, usize>>,
    /// Where in `damage` the rest of a group is.
    rest: HashMap<Group, usize>,
    keys: usize,
}

impl Collector {
    /// Forgets what was collected.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a notification, if it is of interest.
    pub(super) fn add(&mut self, event: &Event<'_>, interest: &Interest) {
        let Some(wanted) = interest.wanted(event) else {
            return;
        };
        let index = self.entry(event, &wanted);
        let Some(damage) = self.damage.get_mut(index) else {
            return;
        };
        damage.count(event.change, event.count());
        damage.map |= event.is_about_map();
        if event.kind != ObjectKind::Element || damage.cut {
            return;
        }
        if interest.keys() < self.keys + event.key_count() {
            damage.cut = true;
            self.keys -= damage.keys.len();
            damage.keys = Vec::new();
            return;
        }
        let before = damage.keys.len();
        damage.keys.extend(event.keys());
        self.keys += damage.keys.len() - before;
    }

    /// The transaction, complete; `None` if nothing of interest was in it.
    pub(super) fn finish(&mut self, end: &End<'_>) -> Option<Transaction> {
        let damage = std::mem::take(self).damage;
        (!damage.is_empty()).then(|| Transaction {
            generation: end.generation,
            process: Process {
                pid: end.pid,
                name: end.process.map(Into::into),
            },
            damage,
        })
    }

    /// Where the changes of an object are summed up.
    fn entry(&mut self, event: &Event<'_>, wanted: &Wanted) -> usize {
        let group = (wanted.index, event.kind);
        let present = self.named.get(&group).and_then(|of| of.get(event.name));
        if let Some(index) = present {
            return *index;
        }
        let next = self.damage.len();
        let name = (next < NAMED || event.kind == ObjectKind::Table).then(|| event.name.into());
        match &name {
            Some(name) => {
                let of = self.named.entry(group).or_default();
                of.insert(Box::clone(name), next);
            }
            None => {
                let index = *self.rest.entry(group).or_insert(next);
                if index != next {
                    return index;
                }
            }
        }
        let table = Arc::clone(&wanted.name);
        self.damage
            .push(Damage::new(event.family, table, event.kind, name));
        next
    }
}
