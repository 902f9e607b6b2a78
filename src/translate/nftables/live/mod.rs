//! One family's table kept in memory: what every Service holds in it, so that a change costs time
//! for the Services it touches and for nothing else.
//!
//! [`LiveTable::new`] translates a snapshot, [`LiveTable::update`] follows a change of it,
//! [`LiveTable::adopt`] takes over a table that is in the kernel already. Each tells what to
//! write; nothing here waits for the kernel. If a commit fails, memory and kernel differ: the
//! table is to be read again and a new `LiveTable` made, nothing is rolled back.
//!
//! Must not read or write the kernel.

mod adopt;
mod diff;
mod holding;
mod shared;
mod update;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

pub use adopt::{Adopted, Adoption, Ask};
pub use update::{Replacement, Update};

use self::holding::{Holding, Packer};
use self::shared::Shared;
use self::values::Values;
use super::claims::{Claims, Conflict, claims};
use super::elements::{Held, element, endpoint_len};
use super::key::{FrontEnd, Key, socket};
use super::options::NftablesOptions;
use super::ruleset::{TABLE, held_by, numbered_ports, sets};
use super::{configured, fixed};
use crate::model::{NamespacedName, Snapshot};
use crate::plan::diff::Step;
use crate::plan::nftables::{COMMENT, ChainDef, NftRuleset, SetDef, deal, whole_table};
use crate::plan::op::{Element, TableRef};

/// The table of one family, as memory has it.
#[derive(Clone, Debug)]
pub struct LiveTable {
    options: NftablesOptions,
    /// What Services hold that are proxied in this family.
    services: BTreeMap<NamespacedName, Holding>,
    claims: Claims,
    shared: Shared,
    values: Values,
}

/// Endpoint lists by front end and first slot, data after data.
type Lists<'a> = HashMap<(&'a [u8], u32), &'a [u8]>;

impl LiveTable {
    /// The table of a snapshot.
    #[must_use]
    pub fn new(snapshot: &Snapshot, options: NftablesOptions) -> Self {
        let claims = Claims::of(snapshot.services.values(), options.family);
        let mut table = Self {
            options,
            services: BTreeMap::new(),
            claims,
            shared: Shared::default(),
            values: Values::default(),
        };
        for name in snapshot.services.keys() {
            if let Some(holding) = table.translate(snapshot, name, &Lists::new()) {
                table.note(name, &holding);
                table.services.insert(name.clone(), holding);
            }
        }
        table
    }

    /// What it was made with.
    #[must_use]
    pub fn options(&self) -> &NftablesOptions {
        &self.options
    }

    /// Any service port has session affinity.
    #[must_use]
    pub fn has_affinity(&self) -> bool {
        !self.values.timeouts().is_empty()
    }

    /// Streams the steps that write the whole table, in place of one that is there if it
    /// `replaces` that. Everything after the last [`Step::StagePoint`] belongs in one transaction.
    ///
    /// # Errors
    /// The first error of `emit`; nothing is emitted after it.
    pub fn load<E>(
        &self,
        replaces: bool,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        whole_table(self, replaces, emit)
    }

    /// How many elements the table has, without making them.
    #[must_use]
    pub fn elements(&self) -> usize {
        let mut count = self.shared.elements().count();
        configured::elements(&self.options, &mut |_, _| count += 1);
        let family = self.options.family;
        let holdings = self.services.values();
        let held = holdings.flat_map(|holding| holding.items(family));
        for (_, held) in held {
            count += match held {
                Held::Element { set, .. } => usize::from(!set.is_shared()),
                Held::List { endpoints, .. } => endpoints.len() / self.endpoint_len(),
            };
        }
        count
    }

    /// Front ends that several service ports claim, with the one that has it.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let name = |service: &NamespacedName, port| {
            let holding = self.services.get(service)?;
            Some(holding.port_name(service, port))
        };
        let contested = self.claims.contested();
        let conflicts = contested.filter_map(|(front_end, owner, loser)| {
            Some(Conflict {
                front_end,
                owner: name(&owner.service, owner.port)?,
                loser: name(&loser.service, loser.port)?,
            })
        });
        conflicts.collect()
    }

    /// The endpoints that a front end may send to, of both policies, sorted; `None` if no service
    /// port has it. Costs time for one Service.
    #[must_use]
    pub fn endpoints(&self, front_end: &FrontEnd) -> Option<Vec<SocketAddr>> {
        let owner = self.claims.owner(front_end)?;
        let holding = self.services.get(&owner.service)?;
        let key = Key::new().front_end(*front_end).bytes();
        let lists = holding
            .items(self.options.family)
            .filter_map(|(_, held)| match held {
                Held::List {
                    front_end,
                    endpoints,
                    ..
                } if *front_end == *key => Some(endpoints),
                _ => None,
            });
        let endpoints = lists.flat_map(|list| list.chunks_exact(self.endpoint_len()));
        let mut sockets: Vec<SocketAddr> = endpoints.filter_map(socket).collect();
        sockets.sort_unstable();
        sockets.dedup();
        Some(sockets)
    }

    fn endpoint_len(&self) -> usize {
        endpoint_len(self.options.family)
    }

    /// What a Service ought to hold, its endpoints where `present` lists have them if they can
    /// stay. Claims must be settled.
    fn translate(
        &self,
        snapshot: &Snapshot,
        service: &NamespacedName,
        present: &Lists<'_>,
    ) -> Option<Holding> {
        let ports = numbered_ports(snapshot, service, self.options.family);
        if ports.is_empty() {
            return None;
        }
        let mut packer = Packer::new();
        for (index, port) in &ports {
            let mut pack = |held: Held<'_>| {
                let dealt;
                let held = match held {
                    Held::List {
                        front_end,
                        base,
                        endpoints: wanted,
                    } => {
                        let old = present.get(&(front_end, base));
                        dealt = old.map(|old| self.dealt(old, wanted));
                        let endpoints = dealt.as_deref().unwrap_or(wanted);
                        Held::List {
                            front_end,
                            base,
                            endpoints,
                        }
                    }
                    element @ Held::Element { .. } => element,
                };
                packer.push(*index, held);
            };
            held_by(
                snapshot,
                &self.options,
                &self.claims,
                *index,
                port,
                &mut pack,
            );
        }
        let claims = claims(ports.iter().map(|(_, port)| port));
        Some(Holding::new(&ports, claims, packer))
    }

    fn dealt(&self, present: &[u8], wanted: &[u8]) -> Vec<u8> {
        let len = self.endpoint_len();
        let present: Vec<_> = present.chunks_exact(len).map(Some).collect();
        let wanted: Vec<_> = wanted.chunks_exact(len).collect();
        deal(&present, &wanted).concat()
    }

    /// Counts what a Service holds.
    fn note(&mut self, service: &NamespacedName, holding: &Holding) {
        for (set, key) in holding.elements(self.options.family) {
            self.values.add(set);
            if set.is_shared() {
                self.shared.add(set, key, service);
            }
        }
    }

    /// Takes back what was counted of a Service.
    fn forget(&mut self, service: &NamespacedName, holding: &Holding) {
        for (set, key) in holding.elements(self.options.family) {
            self.values.remove(set);
            if set.is_shared() {
                self.shared.remove(set, key, service);
            }
        }
    }
}

impl NftRuleset for LiveTable {
    fn table(&self) -> TableRef {
        TableRef {
            family: self.options.family,
            name: TABLE.into(),
        }
    }

    fn comment(&self) -> &str {
        COMMENT
    }

    fn sets(&self) -> Vec<SetDef> {
        let (lengths, timeouts) = (self.values.lengths(), self.values.timeouts());
        sets(self.options.family, &lengths, &timeouts)
    }

    fn chains(&self) -> Vec<ChainDef> {
        fixed::chains(
            &self.options,
            &self.values.lengths(),
            &self.values.timeouts(),
        )
    }

    fn for_each_element(&self, visit: &mut dyn FnMut(&str, Element)) {
        let mut visit = |set: super::sets::SetId, element| visit(&set.name(), element);
        configured::elements(&self.options, &mut visit);
        for (set, key, holder) in self.shared.elements() {
            visit(set, element(key.into(), None, shared_comment(set, holder)));
        }
        for (service, holding) in &self.services {
            let mut names = None;
            for (port, held) in holding.items(self.options.family) {
                if matches!(held, Held::Element { set, .. } if set.is_shared()) {
                    continue;
                }
                if names.as_ref().is_none_or(|(known, _)| *known != port) {
                    names = Some((port, holding.element_names(service, port)));
                }
                if let Some((_, names)) = &names {
                    held.elements(self.options.family, names, &mut visit);
                }
            }
        }
    }
}

/// The comment of a shared element.
fn shared_comment(set: super::sets::SetId, holder: &NamespacedName) -> Option<Arc<str>> {
    use super::sets::Comment;
    match set.comment_of_element() {
        Comment::Service => Some(holder.to_string().into()),
        Comment::Port | Comment::Nothing => None,
    }
}
