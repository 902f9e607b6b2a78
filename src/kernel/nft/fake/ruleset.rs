//! The objects of the in-memory nf_tables and what each step does to them.
//!
//! Errnos are those `nf_tables_api.c` returns for the same step.

use std::collections::BTreeMap;
use std::sync::Arc;

use nix::errno::Errno;

use super::sets::Set;
use crate::plan::expr::RuleBody;
use crate::plan::op::{ChainRef, Hook, Op, TableRef};

pub(super) type Result<T> = std::result::Result<T, Errno>;

/// All tables of a namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Ruleset {
    tables: BTreeMap<TableRef, Table>,
    /// Deleted tables, by handle, with the last handle they gave.
    deleted: BTreeMap<u64, u64>,
    last_handle: u64,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Its handle.
    pub(super) handle: u64,
    /// Its comment.
    pub(super) comment: Option<Arc<str>>,
    /// Its chains by name.
    pub(super) chains: BTreeMap<Arc<str>, Chain>,
    /// Its sets by name.
    pub(super) sets: BTreeMap<Arc<str>, Set>,
    /// The last handle it gave.
    pub(super) last_handle: u64,
}

/// A chain.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its handle.
    pub(super) handle: u64,
    /// Set for a base chain.
    pub(super) hook: Option<Hook>,
    /// Its rules in order.
    pub(super) rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its handle.
    pub(super) handle: u64,
    /// Its content.
    pub(super) body: RuleBody,
}

/// When circles of chains are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// After all steps.
    AtTheEnd,
    /// After each new rule.
    EachRule,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: the generation stays as it is if all steps do.
    Nothing,
    /// It changed something that has no handle to tell.
    Changed,
    /// It made (or named again) an object with this handle.
    Made(u64),
}

impl Ruleset {
    /// All tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = (&TableRef, &Table)> {
        self.tables.iter()
    }

    /// One table.
    pub(super) fn table(&self, table: &TableRef) -> Option<&Table> {
        self.tables.get(table)
    }

    /// Does one step.
    pub(super) fn apply(&mut self, op: &Op, check: Check) -> Result<Effect> {
        match op {
            Op::AddTable(table) => Ok(self.add_table(table, None)),
            Op::AddCommentedTable { table, comment } | Op::AddOwnedTable { table, comment } => {
                Ok(self.add_table(table, Some(comment)))
            }
            Op::DeleteTable(table) => {
                let table = self.tables.remove(table).ok_or(Errno::ENOENT)?;
                self.deleted.insert(table.handle, table.last_handle);
                Ok(Effect::Changed)
            }
            Op::AddChain { chain, hook } => {
                let name = &chain.name;
                self.table_of(chain)?.add_chain(name, hook.as_ref())
            }
            Op::DeleteChain(chain) => {
                self.table_of(chain)?.delete_chain(&chain.name)?;
                Ok(Effect::Changed)
            }
            Op::FlushChain(chain) => {
                let rules = std::mem::take(&mut self.chain(chain)?.rules);
                let table = self.table_of(chain)?;
                for rule in &rules {
                    table.release_sets(&rule.body);
                }
                Ok(if rules.is_empty() {
                    Effect::Nothing
                } else {
                    Effect::Changed
                })
            }
            Op::DeleteRule { chain, handle } => {
                let home = self.chain(chain)?;
                let index = home.index_of(*handle)?;
                let rule = home.rules.remove(index);
                self.table_of(chain)?.release_sets(&rule.body);
                Ok(Effect::Changed)
            }
            Op::AddSet { set, spec } => self.table_with(&set.table)?.add_set(&set.name, spec),
            Op::DeleteSet(set) => self.table_with(&set.table)?.delete_set(&set.name),
            // They are no message to the kernel.
            Op::AddElements { elements, .. } | Op::DeleteElements { elements, .. }
                if elements.is_empty() =>
            {
                Ok(Effect::Nothing)
            }
            Op::AddElements { set, elements } => {
                let table = self.table_with(&set.table)?;
                let constant = table.set_mut(&set.name)?.is_constant();
                if constant && table.set_in_use(&set.name) {
                    return Err(Errno::EBUSY);
                }
                table.set_mut(&set.name)?.add(elements)
            }
            Op::DeleteElements { set, elements } => {
                let table = self.table_with(&set.table)?;
                let found = table.set_mut(&set.name)?;
                if found.is_anonymous() {
                    return Err(Errno::EOPNOTSUPP);
                }
                let constant = found.is_constant();
                if constant && table.set_in_use(&set.name) {
                    return Err(Errno::EBUSY);
                }
                table.set_mut(&set.name)?.delete(elements)
            }
            Op::AddRule { chain, place, rule } => {
                let table = self.table_of(chain)?;
                let handle = table.add_rule(&chain.name, *place, rule)?;
                if check == Check::EachRule
                    && let Err(errno) = table.validate()
                {
                    let chain = self.chain(chain)?;
                    chain.rules.retain(|rule| rule.handle != handle);
                    return Err(errno);
                }
                Ok(Effect::Made(handle))
            }
        }
    }

    /// What the kernel checks before a transaction takes effect: no chain that packets can reach
    /// is entered from within itself or too deep.
    pub(super) fn validate(&self) -> Result<()> {
        self.tables.values().try_for_each(Table::validate)
    }

    /// Handles that a refused transaction used up are not given again.
    pub(super) fn keep_handles_of(&mut self, refused: &Self) {
        self.last_handle = refused.last_handle;
        for (name, table) in &mut self.tables {
            let same = |other: &&Table| other.handle == table.handle;
            let kept = refused.tables.get(name).filter(same);
            let kept = kept.map(|other| other.last_handle);
            let deleted = || refused.deleted.get(&table.handle).copied();
            table.last_handle = kept.or_else(deleted).unwrap_or(table.last_handle);
        }
    }

    fn add_table(&mut self, table: &TableRef, comment: Option<&Arc<str>>) -> Effect {
        if self.tables.contains_key(table) {
            return Effect::Nothing;
        }
        self.last_handle += 1;
        let handle = self.last_handle;
        self.tables.insert(
            table.clone(),
            Table {
                handle,
                comment: comment.cloned(),
                ..Table::default()
            },
        );
        Effect::Made(handle)
    }

    fn table_of(&mut self, chain: &ChainRef) -> Result<&mut Table> {
        self.table_with(&chain.table)
    }

    fn table_with(&mut self, table: &TableRef) -> Result<&mut Table> {
        self.tables.get_mut(table).ok_or(Errno::ENOENT)
    }

    fn chain(&mut self, chain: &ChainRef) -> Result<&mut Chain> {
        let chains = &mut self.table_of(chain)?.chains;
        chains.get_mut(&chain.name).ok_or(Errno::ENOENT)
    }
}

impl Chain {
    pub(super) fn index_of(&self, handle: u64) -> Result<usize> {
        let found = self.rules.iter().position(|rule| rule.handle == handle);
        found.ok_or(Errno::ENOENT)
    }
}
