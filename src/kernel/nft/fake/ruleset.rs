//! The objects of the in-memory nf_tables and what each step does to them.
//!
//! Errnos are those `nf_tables_api.c` returns for the same step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nix::errno::Errno;

use super::sets::{Set, users};
use crate::plan::expr::{Expr, RuleBody, Verdict};
use crate::plan::op::{ChainRef, Hook, Op, Place, SetSpec, TableRef};

/// `NFT_JUMP_STACK_SIZE`: a packet may be in the middle of so many chains at once.
const JUMP_DEPTH: usize = 16;

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
    chains: BTreeMap<Arc<str>, Chain>,
    sets: BTreeMap<Arc<str>, Set>,
    last_handle: u64,
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
            Op::AddTable(table) => Ok(self.add_table(table)),
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
                let rules = &mut self.chain(chain)?.rules;
                let had_rules = !rules.is_empty();
                rules.clear();
                Ok(if had_rules {
                    Effect::Changed
                } else {
                    Effect::Nothing
                })
            }
            Op::DeleteRule { chain, handle } => {
                let chain = self.chain(chain)?;
                let index = chain.index_of(*handle)?;
                chain.rules.remove(index);
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
                let used = table.set_in_use(&set.name);
                table.set_mut(&set.name)?.add(elements, used)
            }
            Op::DeleteElements { set, elements } => {
                let table = self.table_with(&set.table)?;
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

    fn add_table(&mut self, table: &TableRef) -> Effect {
        if self.tables.contains_key(table) {
            return Effect::Nothing;
        }
        self.last_handle += 1;
        let handle = self.last_handle;
        self.tables.insert(
            table.clone(),
            Table {
                handle,
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

impl Table {
    /// Its chains, oldest first, as the kernel lists them.
    pub(super) fn chains(&self) -> Vec<&Chain> {
        let mut chains: Vec<_> = self.chains.values().collect();
        chains.sort_by_key(|chain| chain.handle);
        chains
    }

    /// Rules in a chain plus rules that point to it.
    pub(super) fn uses(&self, name: &str) -> u32 {
        let own = self.chains.get(name).map_or(0, |chain| chain.rules.len());
        let pointing = self.targets().filter(|target| *target == name).count();
        u32::try_from(own + pointing).unwrap_or(u32::MAX)
    }

    /// Its sets, oldest first, as the kernel lists them.
    pub(super) fn sets(&self) -> Vec<(&Arc<str>, &Set)> {
        let mut sets: Vec<_> = self.sets.iter().collect();
        sets.sort_by_key(|(_, set)| set.handle);
        sets
    }

    /// One set.
    pub(super) fn set(&self, name: &str) -> Option<&Set> {
        self.sets.get(name)
    }

    fn set_mut(&mut self, name: &str) -> Result<&mut Set> {
        self.sets.get_mut(name).ok_or(Errno::ENOENT)
    }

    fn set_in_use(&self, name: &str) -> bool {
        let rules = self.chains.values().flat_map(|chain| &chain.rules);
        let mut users = rules.flat_map(|rule| users(&rule.body));
        users.any(|(set, _)| set == name)
    }

    fn add_set(&mut self, name: &Arc<str>, spec: &SetSpec) -> Result<Effect> {
        if let Some(set) = self.sets.get(name) {
            return if set.fits(spec) {
                Ok(Effect::Made(set.handle))
            } else {
                Err(Errno::EEXIST)
            };
        }
        let handle = self.last_handle + 1;
        let set = Set::new(handle, spec)?;
        self.last_handle = handle;
        self.sets.insert(Arc::clone(name), set);
        Ok(Effect::Made(handle))
    }

    fn delete_set(&mut self, name: &str) -> Result<Effect> {
        self.set_mut(name)?;
        if self.set_in_use(name) {
            return Err(Errno::EBUSY);
        }
        self.sets.remove(name);
        Ok(Effect::Changed)
    }

    fn targets(&self) -> impl Iterator<Item = &str> {
        let rules = self.chains.values().flat_map(|chain| &chain.rules);
        rules.flat_map(|rule| targets(&rule.body))
    }

    fn new_handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }

    fn add_chain(&mut self, name: &Arc<str>, hook: Option<&Hook>) -> Result<Effect> {
        if let Some(chain) = self.chains.get(name) {
            return match (hook, &chain.hook) {
                (None, _) => Ok(Effect::Made(chain.handle)),
                (Some(new), Some(old)) if new == old => Ok(Effect::Made(chain.handle)),
                // EEXIST before Linux 6.4.
                (Some(new), Some(old)) if (new.hook, new.priority) != (old.hook, old.priority) => {
                    Err(Errno::EOPNOTSUPP)
                }
                (Some(_), _) => Err(Errno::EEXIST),
            };
        }
        let handle = self.new_handle();
        let chain = Chain {
            name: Arc::clone(name),
            handle,
            hook: hook.cloned(),
            rules: Vec::new(),
        };
        self.chains.insert(Arc::clone(name), chain);
        Ok(Effect::Made(handle))
    }

    fn delete_chain(&mut self, name: &str) -> Result<()> {
        if !self.chains.contains_key(name) {
            return Err(Errno::ENOENT);
        }
        if self.uses(name) > 0 {
            return Err(Errno::EBUSY);
        }
        self.chains.remove(name);
        Ok(())
    }

    fn add_rule(&mut self, chain: &str, place: Place, body: &RuleBody) -> Result<u64> {
        if !self.chains.contains_key(chain) {
            return Err(Errno::ENOENT);
        }
        // As in the kernel, a rule that is refused further on has used up a handle.
        let handle = self.new_handle();
        let home = self.chains.get(chain).ok_or(Errno::ENOENT)?;
        let index = match place {
            Place::Append => home.rules.len(),
            Place::Prepend => 0,
            Place::Before(handle) => home.index_of(handle)?,
            Place::After(handle) => home.index_of(handle)? + 1,
        };
        for target in targets(body) {
            let target = self.chains.get(target).ok_or(Errno::ENOENT)?;
            if target.hook.is_some() {
                return Err(Errno::EOPNOTSUPP);
            }
        }
        for (set, expr) in users(body) {
            self.set(set).ok_or(Errno::ENOENT)?.check_user(expr)?;
        }
        let home = self.chains.get_mut(chain).ok_or(Errno::ENOENT)?;
        let body = body.clone();
        home.rules.insert(index, Rule { handle, body });
        Ok(handle)
    }

    fn validate(&self) -> Result<()> {
        let bases = self.chains.values().filter(|chain| chain.hook.is_some());
        let mut passed = BTreeSet::new();
        for base in bases {
            self.walk(base, 0, &mut passed)?;
        }
        Ok(())
    }

    /// Walks what packets can reach from a chain at a depth of jumps; `passed` are pairs already
    /// known to be fine.
    fn walk<'a>(
        &'a self,
        chain: &'a Chain,
        depth: usize,
        passed: &mut BTreeSet<(&'a str, usize)>,
    ) -> Result<()> {
        if depth == JUMP_DEPTH {
            return Err(Errno::EMLINK);
        }
        if !passed.insert((&chain.name, depth)) {
            return Ok(());
        }
        for target in chain.rules.iter().flat_map(|rule| targets(&rule.body)) {
            if let Some(next) = self.chains.get(target) {
                self.walk(next, depth + 1, passed)?;
            }
        }
        Ok(())
    }
}

impl Chain {
    fn index_of(&self, handle: u64) -> Result<usize> {
        let found = self.rules.iter().position(|rule| rule.handle == handle);
        found.ok_or(Errno::ENOENT)
    }
}

/// Chains that a rule jumps or goes to.
fn targets(body: &RuleBody) -> impl Iterator<Item = &str> {
    body.exprs.iter().filter_map(|expr| match expr {
        Expr::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(&**chain),
        _ => None,
    })
}
