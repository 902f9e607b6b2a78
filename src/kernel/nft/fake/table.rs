//! One table of the in-memory nf_tables: what adding and deleting in it does, and what is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use nix::errno::Errno;

use super::ruleset::{Chain, Effect, Result, Rule, Table};
use super::sets::{Set, users};
use crate::plan::expr::{Expr, RuleBody, Verdict};
use crate::plan::op::{Hook, Place, SetSpec};

/// `NFT_JUMP_STACK_SIZE`: a packet may be in the middle of so many chains at once.
const JUMP_DEPTH: usize = 16;

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

    pub(super) fn set_mut(&mut self, name: &str) -> Result<&mut Set> {
        self.sets.get_mut(name).ok_or(Errno::ENOENT)
    }

    pub(super) fn set_in_use(&self, name: &str) -> bool {
        let rules = self.chains.values().flat_map(|chain| &chain.rules);
        let mut users = rules.flat_map(|rule| users(&rule.body));
        users.any(|(set, _)| set == name)
    }

    /// Nameless sets go with the rule they belong to, whose body this was.
    pub(super) fn release_sets(&mut self, body: &RuleBody) {
        for (set, _) in users(body) {
            if self.set(set).is_some_and(Set::is_anonymous) {
                self.sets.remove(set);
            }
        }
    }

    pub(super) fn add_set(&mut self, name: &Arc<str>, spec: &SetSpec) -> Result<Effect> {
        if let Some(set) = self.sets.get(name) {
            return if set.is_anonymous() {
                Err(Errno::EOPNOTSUPP)
            } else if set.fits(spec) {
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

    pub(super) fn delete_set(&mut self, name: &str) -> Result<Effect> {
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

    pub(super) fn add_chain(&mut self, name: &Arc<str>, hook: Option<&Hook>) -> Result<Effect> {
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

    pub(super) fn delete_chain(&mut self, name: &str) -> Result<()> {
        if !self.chains.contains_key(name) {
            return Err(Errno::ENOENT);
        }
        if self.uses(name) > 0 {
            return Err(Errno::EBUSY);
        }
        self.chains.remove(name);
        Ok(())
    }

    pub(super) fn add_rule(&mut self, chain: &str, place: Place, body: &RuleBody) -> Result<u64> {
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
            let found = self.set(set).ok_or(Errno::ENOENT)?;
            found.check_user(expr)?;
            if found.is_anonymous() && self.set_in_use(set) {
                return Err(Errno::EBUSY);
            }
        }
        let home = self.chains.get_mut(chain).ok_or(Errno::ENOENT)?;
        let body = body.clone();
        home.rules.insert(index, Rule { handle, body });
        Ok(handle)
    }

    pub(super) fn validate(&self) -> Result<()> {
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

/// Chains that a rule jumps or goes to.
fn targets(body: &RuleBody) -> impl Iterator<Item = &str> {
    body.exprs.iter().filter_map(|expr| match expr {
        Expr::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(&**chain),
        _ => None,
    })
}
