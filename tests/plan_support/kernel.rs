//! Tables as the kernel keeps them: refuses what it refuses.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code, outside of #[test] functions"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use portolan::model::IpFamily;
use portolan::plan::diff::{DesiredState, Plan, PresentState, Step, plan};
use portolan::plan::expr::{Expr, RuleBody, Verdict};
use portolan::plan::op::{ChainRef, Hook, Op, Place};
use portolan::plan::xtables::rule::{XtRuleset, XtTable};

type Key = (String, String);

/// A chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chain {
    /// Set for a base chain.
    pub(crate) hook: Option<Hook>,
    /// Rules with their handles.
    pub(crate) rules: Vec<(u64, RuleBody)>,
}

/// The tables of one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    tables: BTreeSet<String>,
    /// Chains by table and name.
    pub(crate) chains: BTreeMap<Key, Chain>,
    next_handle: u64,
    base: BTreeSet<Key>,
    /// References from map elements, by chain.
    pub(crate) elements: BTreeMap<Key, u32>,
}

impl Kernel {
    /// Takes one step, or says why the kernel does not.
    pub(crate) fn step(&mut self, op: &Op) -> Result<(), String> {
        let refused = |why: &str| Err(format!("{}: {why}", op.object()));
        match op {
            Op::AddTable(table)
            | Op::AddCommentedTable { table, .. }
            | Op::AddOwnedTable { table, .. } => {
                self.tables.insert(table.name.to_string());
            }
            Op::DeleteTable(_)
            | Op::AddSet { .. }
            | Op::DeleteSet(_)
            | Op::AddElements { .. }
            | Op::DeleteElements { .. } => return refused("not needed here"),
            Op::AddChain { chain, hook } => {
                if !self.tables.contains(&*chain.table.name) {
                    return refused("no such table");
                }
                if hook.is_some() {
                    self.base.insert(key(chain));
                }
                let new = Chain {
                    hook: hook.clone(),
                    rules: Vec::new(),
                };
                self.chains.entry(key(chain)).or_insert(new);
            }
            Op::FlushChain(chain) => match self.chains.get_mut(&key(chain)) {
                Some(chain) => chain.rules.clear(),
                None => return refused("no such chain"),
            },
            Op::DeleteChain(chain) => {
                let Some(there) = self.chains.get(&key(chain)) else {
                    return refused("no such chain");
                };
                if !there.rules.is_empty() || self.references(&key(chain)) > 0 {
                    return refused("busy");
                }
                self.chains.remove(&key(chain));
            }
            Op::AddRule { chain, place, rule } => {
                for target in targets(rule) {
                    if !self
                        .chains
                        .contains_key(&(chain.table.name.to_string(), target))
                    {
                        return refused("jumps to a chain that is not there");
                    }
                }
                self.next_handle += 1;
                let entry = (self.next_handle, rule.clone());
                let Some(chain) = self.chains.get_mut(&key(chain)) else {
                    return refused("no such chain");
                };
                let at = match place {
                    Place::Append => Some(chain.rules.len()),
                    Place::Prepend => Some(0),
                    Place::Before(h) => position(chain, *h),
                    Place::After(h) => position(chain, *h).map(|at| at + 1),
                };
                let Some(at) = at else {
                    return refused("no such place");
                };
                chain.rules.insert(at, entry);
            }
            Op::DeleteRule { chain, handle } => {
                let chain = self.chains.get_mut(&key(chain));
                let Some((chain, at)) = chain.and_then(|c| position(c, *handle).map(|at| (c, at)))
                else {
                    return refused("no such rule");
                };
                chain.rules.remove(at);
            }
        }
        Ok(())
    }

    /// How many rules and map elements point to a chain.
    fn references(&self, to: &Key) -> u32 {
        let in_table = self.chains.iter().filter(|(key, _)| key.0 == to.0);
        let rules = in_table
            .flat_map(|(_, c)| &c.rules)
            .flat_map(|(_, r)| targets(r));
        let jumps = rules.filter(|target| *target == to.1).count();
        u32::try_from(jumps).unwrap() + self.elements.get(to).copied().unwrap_or_default()
    }

    /// What a listing gives.
    pub(crate) fn present(&self, family: IpFamily) -> PresentState {
        let mut present = PresentState::new(family);
        for table in &self.tables {
            present.add_table(table_of(table));
        }
        let mut uses: BTreeMap<Key, u32> = self.elements.clone();
        for (key, chain) in &self.chains {
            *uses.entry(key.clone()).or_default() += u32::try_from(chain.rules.len()).unwrap();
            for target in chain.rules.iter().flat_map(|(_, r)| targets(r)) {
                *uses.entry((key.0.clone(), target)).or_default() += 1;
            }
        }
        for (key, chain) in &self.chains {
            let uses = uses[key];
            present.add_chain(table_of(&key.0), &key.1, chain.hook.is_some(), uses);
        }
        for (key, chain) in &self.chains {
            for (handle, body) in &chain.rules {
                present.add_rule(table_of(&key.0), &key.1, *handle, body);
            }
        }
        present
    }

    /// Plans and takes all steps; whatever comes before the last stage point must not be seen by
    /// any packet. Gives the plan and the steps of the last transaction.
    pub(crate) fn apply(&mut self, ruleset: &dyn XtRuleset) -> (Plan, Vec<Op>) {
        let plan = plan(&DesiredState::of(ruleset), &self.present(ruleset.family()));
        let last = self.run(&plan, ruleset);
        (plan, last)
    }

    /// Takes the steps of a plan.
    pub(crate) fn run(&mut self, plan: &Plan, ruleset: &dyn XtRuleset) -> Vec<Op> {
        let seen = self.reachable();
        let mut steps = 0;
        let mut last = Vec::new();
        let done = plan.ops::<Infallible>(ruleset, &mut |step| {
            match step {
                Step::Op(op) => {
                    steps += 1;
                    self.step(&op).unwrap_or_else(|why| panic!("{why}"));
                    last.push(op);
                }
                Step::StagePoint => {
                    assert_eq!(self.reachable(), seen, "a stage is seen by packets");
                    last.clear();
                }
            }
            Ok(())
        });
        done.unwrap();
        assert_eq!(steps, plan.counts().steps, "steps as counted");
        last
    }

    /// The chains packets can come through, with their rules.
    fn reachable(&self) -> BTreeMap<Key, Vec<RuleBody>> {
        let mut todo: Vec<Key> = self.base.iter().cloned().collect();
        let mut seen = BTreeMap::new();
        while let Some(key) = todo.pop() {
            let Some(chain) = self.chains.get(&key) else {
                continue;
            };
            let rules: Vec<_> = chain.rules.iter().map(|(_, r)| r.clone()).collect();
            let next = rules.iter().flat_map(targets).map(|to| (key.0.clone(), to));
            let next: Vec<Key> = next.collect();
            if !rules.is_empty() && seen.insert(key, rules).is_none() {
                todo.extend(next);
            }
        }
        seen
    }

    /// All rules by chain, without handles.
    pub(crate) fn contents(&self) -> BTreeMap<Key, Vec<RuleBody>> {
        let rules = |c: &Chain| c.rules.iter().map(|(_, r)| r.clone()).collect();
        self.chains
            .iter()
            .map(|(key, chain)| (key.clone(), rules(chain)))
            .collect()
    }

    /// The rules of a chain with their handles.
    pub(crate) fn fetch(&self, table: XtTable, chain: &str) -> Vec<(u64, RuleBody)> {
        let key = (table.name().to_owned(), chain.to_owned());
        self.chains
            .get(&key)
            .map(|c| c.rules.clone())
            .unwrap_or_default()
    }

    /// Somebody else's change: a rule at a place of a chain, both made if needed.
    pub(crate) fn meddle(&mut self, table: &str, chain: &str, at: usize, body: RuleBody) {
        self.tables.insert(table.to_owned());
        let chain = self
            .chains
            .entry((table.to_owned(), chain.to_owned()))
            .or_default();
        self.next_handle += 1;
        chain
            .rules
            .insert(at.min(chain.rules.len()), (self.next_handle, body));
    }
}

fn key(chain: &ChainRef) -> Key {
    (chain.table.name.to_string(), chain.name.to_string())
}

fn table_of(name: &str) -> XtTable {
    match name {
        "nat" => XtTable::Nat,
        "filter" => XtTable::Filter,
        "mangle" => XtTable::Mangle,
        other => panic!("table {other}"),
    }
}

fn position(chain: &Chain, handle: u64) -> Option<usize> {
    chain.rules.iter().position(|(h, _)| *h == handle)
}

fn targets(rule: &RuleBody) -> Vec<String> {
    let target = |expr: &Expr| match expr {
        Expr::Verdict(Verdict::Jump(to) | Verdict::Goto(to)) => Some(to.to_string()),
        _ => None,
    };
    rule.exprs.iter().filter_map(target).collect()
}
