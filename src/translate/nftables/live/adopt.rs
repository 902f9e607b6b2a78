//! Taking over a table that is in the kernel: only what differs is written, and endpoints keep the
//! slots they have.
//!
//! Asks for elements by key, some thousand at a time, because reading whole sets is quadratic in
//! the kernel and would need room for all of them. So it does not see elements that nobody wants:
//! those show in the number of elements of a set, and are found by [`LiveTable::strangers`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::super::elements::{Held, element, endpoint_len, slot_element};
use super::super::sets::SetId;
use super::diff::{Changes, change};
use super::holding::Packer;
use super::update::{compare, configured_elements};
use super::{LiveTable, shared_comment};
use crate::model::NamespacedName;
use crate::plan::nftables::{NftRuleset, SetChange, SetState, TableDelta, TableState, deal};
use crate::plan::op::Element;

/// Elements that are asked for at a time.
const ASKED: usize = 16_384;

/// Asks the kernel for elements of a set by key, and visits each key's index with the element, or
/// with `None` if there is none. Indices that are not visited count as missing.
pub type Ask<'a, E> =
    dyn FnMut(&str, &[&[u8]], &mut dyn FnMut(usize, Option<Element>)) -> Result<(), E> + 'a;

/// What was found of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Its fixed part is another one: the whole table is to be written in place of the present
    /// one ([`LiveTable::load`]).
    Replace,
    /// It stays.
    Keep(Adopted),
}

/// A table that stays, with what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// What to write.
    pub delta: TableDelta,
    /// How many of the wanted elements there are, whatever they say, in each set that is wanted
    /// and there. A set that has more has strangers. Sets of configured elements and the affinity
    /// memory, which packets fill, are not among them.
    pub found: BTreeMap<Arc<str>, usize>,
}

impl Adopted {
    /// Adds strangers of a set to what is to be deleted.
    pub fn delete(&mut self, set: &str, strangers: Vec<Element>) {
        let known = self.delta.elements.iter_mut().find(|c| *c.set == *set);
        match known {
            Some(change) => change.deleted.extend(strangers),
            None => self.delta.elements.push(SetChange {
                set: set.into(),
                deleted: strangers,
                added: Vec::new(),
            }),
        }
    }
}

/// What the kernel said for the keys of one set, in the order in which they were asked.
#[derive(Debug, Default)]
struct Answers {
    keys: Vec<u8>,
    elements: std::vec::IntoIter<Option<Element>>,
}

impl LiveTable {
    /// Takes over a table. `present` holds its sets, chains and rules, and the elements of
    /// `service-cidrs` and `node-port-addresses`, which are few; all others are asked for.
    ///
    /// If asking fails this is still a table to start with.
    ///
    /// # Errors
    /// What `ask` reports.
    pub fn adopt<E>(&mut self, present: &TableState, ask: &mut Ask<'_, E>) -> Result<Adoption, E> {
        let wanted = self.without_elements();
        if !wanted.same_fixed_part(present) {
            return Ok(Adoption::Replace);
        }
        let mut delta = TableDelta::new(self.table());
        delta.objects(&wanted, present);
        let asked = SetId::FIXED.into_iter().chain(self.values.sets());
        let asked = asked.filter(|set| set.follows_services());
        let asked = asked.filter(|set| present.sets.contains_key(&*set.name()));
        let mut adopting = Adopting {
            changes: Changes::new(),
            found: asked.map(|set| (set, 0)).collect(),
            present,
            ask,
        };
        adopting.configured(self);
        adopting.shared(self)?;
        adopting.services(self)?;
        let changes = adopting.changes.into_values();
        delta.elements = changes.filter(|change| !change.is_empty()).collect();
        let found = adopting.found.into_iter();
        let found = found
            .map(|(set, count)| (set.name().into(), count))
            .collect();
        Ok(Adoption::Keep(Adopted { delta, found }))
    }

    /// The elements of a set that nobody wants, of those that `visit_present` visits.
    ///
    /// # Errors
    /// What `visit_present` reports.
    pub fn strangers<E>(
        &self,
        set: &str,
        visit_present: impl FnOnce(&mut dyn FnMut(Element)) -> Result<(), E>,
    ) -> Result<Vec<Element>, E> {
        let mut wanted: HashSet<Box<[u8]>> = HashSet::new();
        self.for_each_element(&mut |name, element| {
            if name == set {
                wanted.insert(element.key);
            }
        });
        let mut strangers = Vec::new();
        visit_present(&mut |element| {
            if !wanted.contains(&element.key) {
                strangers.push(element);
            }
        })?;
        Ok(strangers)
    }

    /// Sets, chains and rules.
    fn without_elements(&self) -> TableState {
        let mut state = TableState::new(self.table());
        for set in self.sets() {
            state.add_set(&set.name, set.spec);
        }
        for chain in self.chains() {
            state.add_chain(&chain.name, chain.hook);
            for rule in chain.rules {
                state.add_rule(&chain.name, rule.body);
            }
        }
        state
    }
}

struct Adopting<'a, 'k, E> {
    changes: Changes,
    found: BTreeMap<SetId, usize>,
    present: &'a TableState,
    ask: &'a mut Ask<'k, E>,
}

impl<E> Adopting<'_, '_, E> {
    fn configured(&mut self, table: &LiveTable) {
        let sets = [SetId::NodePortAddresses, SetId::ServiceCidrs].into_iter();
        let present = sets.flat_map(|set| {
            let state = self.present.sets.get(&*set.name());
            let mut elements = state.map(SetState::sorted).unwrap_or_default();
            elements
                .drain(..)
                .map(|element| (set, element))
                .collect::<Vec<_>>()
        });
        let present: Vec<_> = present.collect();
        compare(
            &mut self.changes,
            &present,
            &configured_elements(&table.options),
        );
    }

    fn shared(&mut self, table: &LiveTable) -> Result<(), E> {
        let all: Vec<_> = table.shared.elements().collect();
        for some in all.chunks(ASKED) {
            let mut asked = BTreeMap::<SetId, Answers>::new();
            for (set, key, _) in some {
                asked.entry(*set).or_default().keys.extend(*key);
            }
            self.answer(table, &mut asked)?;
            for (set, key, holder) in some {
                let present = asked.get_mut(set).and_then(|a| a.elements.next().flatten());
                let wanted = element((*key).into(), None, shared_comment(*set, holder));
                self.compare(*set, present, wanted);
            }
        }
        Ok(())
    }

    fn services(&mut self, table: &mut LiveTable) -> Result<(), E> {
        let mut after: Option<NamespacedName> = None;
        loop {
            let (names, mut asked) = questions(table, after.as_ref());
            if names.is_empty() {
                return Ok(());
            }
            self.answer(table, &mut asked)?;
            for name in &names {
                self.service(table, name, &mut asked);
            }
            after = names.last().cloned();
        }
    }

    /// Compares one Service with the answers, and takes over the slots its endpoints have.
    fn service(
        &mut self,
        table: &mut LiveTable,
        name: &NamespacedName,
        asked: &mut BTreeMap<SetId, Answers>,
    ) {
        let Some(holding) = table.services.get(name) else {
            return;
        };
        let family = table.options.family;
        let mut packer = Packer::new();
        let mut moved = false;
        for (port, held) in holding.items(family) {
            match held {
                Held::Element { set, key } => {
                    packer.push(port, held);
                    if set.is_shared() {
                        continue;
                    }
                    let present = asked
                        .get_mut(&set)
                        .and_then(|a| a.elements.next().flatten());
                    let comment = holding.element_names(name, port).comment(set);
                    self.compare(set, present, element(key.into(), None, comment));
                }
                Held::List {
                    front_end,
                    base,
                    endpoints,
                } => {
                    let wanted: Vec<_> = endpoints.chunks_exact(endpoint_len(family)).collect();
                    let answers = asked.get_mut(&SetId::Endpoints).map(|a| &mut a.elements);
                    let present: Vec<_> =
                        answers.into_iter().flatten().take(wanted.len()).collect();
                    let data = present.iter().map(|slot| slot.as_ref()?.data.as_deref());
                    let dealt = deal(&data.collect::<Vec<_>>(), &wanted);
                    moved |= dealt != wanted;
                    for ((slot, present), endpoint) in (base..).zip(present).zip(&dealt) {
                        let wanted = slot_element(front_end, slot, endpoint);
                        self.compare(SetId::Endpoints, present, wanted);
                    }
                    let list = Held::List {
                        front_end,
                        base,
                        endpoints: &dealt.concat(),
                    };
                    packer.push(port, list);
                }
            }
        }
        if moved {
            let holding = holding.repacked(packer);
            table.services.insert(name.clone(), holding);
        }
    }

    fn compare(&mut self, set: SetId, present: Option<Element>, wanted: Element) {
        if let Some(found) = self.found.get_mut(&set) {
            *found += usize::from(present.is_some());
        }
        if present.as_ref() != Some(&wanted) {
            let change = change(&mut self.changes, set);
            change.deleted.extend(present);
            change.added.push(wanted);
        }
    }

    /// Asks, set by set. What is not there has no elements.
    fn answer(&mut self, table: &LiveTable, asked: &mut BTreeMap<SetId, Answers>) -> Result<(), E> {
        for (set, answers) in asked {
            let len = set.key_len(table.options.family);
            let keys: Vec<&[u8]> = answers.keys.chunks_exact(len).collect();
            let mut elements: Vec<Option<Element>> = Vec::new();
            elements.resize_with(keys.len(), || None);
            let name = set.name();
            if self.present.sets.contains_key(&*name) {
                (self.ask)(&name, &keys, &mut |index, element| {
                    if let Some(slot) = elements.get_mut(index) {
                        *slot = element;
                    }
                })?;
            }
            answers.elements = elements.into_iter();
        }
        Ok(())
    }
}

/// The next Services in name order, and the keys of what they ought to hold.
fn questions(
    table: &LiveTable,
    after: Option<&NamespacedName>,
) -> (Vec<NamespacedName>, BTreeMap<SetId, Answers>) {
    use std::ops::Bound::{Excluded, Unbounded};
    let family = table.options.family;
    let mut names = Vec::new();
    let mut asked = BTreeMap::<SetId, Answers>::new();
    let mut count = 0;
    let start = after.map_or(Unbounded, Excluded);
    for (name, holding) in table.services.range((start, Unbounded)) {
        for (_, held) in holding.items(family) {
            match held {
                Held::Element { set, .. } if set.is_shared() => {}
                Held::Element { set, key } => {
                    asked.entry(set).or_default().keys.extend(key);
                    count += 1;
                }
                Held::List {
                    front_end,
                    base,
                    endpoints,
                } => {
                    let keys = &mut asked.entry(SetId::Endpoints).or_default().keys;
                    let slots = endpoints.len() / endpoint_len(family);
                    for slot in (base..).take(slots) {
                        keys.extend(front_end);
                        keys.extend(slot.to_ne_bytes());
                    }
                    count += slots;
                }
            }
        }
        names.push(name.clone());
        if count >= ASKED {
            break;
        }
    }
    (names, asked)
}
