//! Following a change: what the touched Services held against what they hold, and the steps of one
//! transaction that lead from the one to the other.

use std::collections::{BTreeSet, HashMap};

use super::holding::{Holding, Rendered};
use super::{LiveRules, index, same_in};
use crate::model::{IpFamily, NamespacedName, Snapshot};
use crate::plan::diff::{ChainEdits, ChainName, KnownEdit};
use crate::plan::op::{ChainRef, Op, Place, TableRef};
use crate::plan::xtables::encode::encode;
use crate::plan::xtables::rule::{XtChain, XtRule, XtTable};
use crate::translate::iptables::dispatch::DispatchChain;
use crate::translate::iptables::ruleset::IptablesRuleset;

/// A change of one family's rules.
#[derive(Debug)]
pub struct Update {
    family: IpFamily,
    /// Chains of Services that are new.
    created: Vec<XtChain>,
    /// Chains of Services whose rules differ.
    refilled: Vec<XtChain>,
    /// Shared chains that change.
    shared: Vec<Shared>,
    /// Chains of Services that go, with how many rules they have.
    gone: Vec<(ChainName, usize)>,
    /// Rules in chains that are flushed and stay.
    flushed: usize,
}

/// A change of a chain shared by Services.
#[derive(Debug)]
struct Shared {
    chain: DispatchChain,
    edits: ChainEdits,
    /// The rules that are added, in the order of the edits.
    added: Vec<XtRule>,
}

impl Update {
    fn new(family: IpFamily) -> Self {
        Self {
            family,
            created: Vec::new(),
            refilled: Vec::new(),
            shared: Vec::new(),
            gone: Vec::new(),
            flushed: 0,
        }
    }

    /// Nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.created.is_empty()
            && self.refilled.is_empty()
            && self.shared.is_empty()
            && self.gone.is_empty()
    }

    /// How many chains and rules come or go: what the kernel would notify listeners of.
    #[must_use]
    pub fn objects(&self) -> usize {
        let written = self.created.iter().chain(&self.refilled);
        let written: usize = written.map(|chain| chain.rules.len()).sum();
        let gone: usize = self.gone.iter().map(|(_, rules)| 1 + rules).sum();
        let shared = self.shared.iter().map(|shared| shared.edits.edits().len());
        self.created.len() + written + self.flushed + gone + shared.sum::<usize>()
    }

    /// How many handles the update has to be settled with.
    #[must_use]
    pub fn handles(&self) -> usize {
        self.shared.iter().map(|shared| shared.added.len()).sum()
    }

    /// Streams the steps of the update, each with whether the handle of what it makes is wanted.
    /// They belong in one transaction.
    ///
    /// First come new chains, which nothing points to yet; then changes of chains that exist; then
    /// all chains that go are emptied before the first is deleted, because they jump to each other.
    ///
    /// # Errors
    /// The first error of `emit`; nothing is emitted after it.
    pub fn ops<E>(&self, emit: &mut dyn FnMut(Op, bool) -> Result<(), E>) -> Result<(), E> {
        for chain in &self.created {
            let place = self.place(chain.table, &chain.name);
            let new = Op::AddChain {
                chain: place.clone(),
                hook: None,
            };
            emit(new, false)?;
            self.fill(&place, &chain.rules, emit)?;
        }
        for chain in &self.refilled {
            let place = self.place(chain.table, &chain.name);
            emit(Op::FlushChain(place.clone()), false)?;
            self.fill(&place, &chain.rules, emit)?;
        }
        for shared in &self.shared {
            self.edit(shared, emit)?;
        }
        let place = |name: &ChainName| self.place(XtTable::Nat, name);
        for (name, _) in self.gone.iter().filter(|(_, rules)| *rules > 0) {
            emit(Op::FlushChain(place(name)), false)?;
        }
        for (name, _) in &self.gone {
            emit(Op::DeleteChain(place(name)), false)?;
        }
        Ok(())
    }

    fn fill<E>(
        &self,
        place: &ChainRef,
        rules: &[XtRule],
        emit: &mut dyn FnMut(Op, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        for rule in rules {
            emit(self.add(place, Place::Append, rule), false)?;
        }
        Ok(())
    }

    fn edit<E>(
        &self,
        shared: &Shared,
        emit: &mut dyn FnMut(Op, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let in_chain = self.place(shared.chain.table(), shared.chain.name());
        if shared.edits.flush() {
            emit(Op::FlushChain(in_chain.clone()), false)?;
        }
        let mut added = shared.added.iter();
        for edit in shared.edits.edits() {
            match edit {
                KnownEdit::Delete(handle) => {
                    let delete = Op::DeleteRule {
                        chain: in_chain.clone(),
                        handle: *handle,
                    };
                    emit(delete, false)?;
                }
                KnownEdit::Add { place, .. } => {
                    if let Some(rule) = added.next() {
                        emit(self.add(&in_chain, *place, rule), true)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&self, chain: &ChainRef, place: Place, rule: &XtRule) -> Op {
        Op::AddRule {
            chain: chain.clone(),
            place,
            rule: encode(rule, self.family),
        }
    }

    fn place(&self, table: XtTable, name: &str) -> ChainRef {
        ChainRef {
            table: TableRef {
                family: self.family,
                name: table.name().into(),
            },
            name: name.into(),
        }
    }

    /// Lays a Service's chains beside those it had.
    fn service(&mut self, old: &Holding, new: &Holding, chains: Vec<XtChain>) {
        let present = old.by_name();
        let wanted = new.by_name();
        for chain in chains {
            match (present.get(&*chain.name), wanted.get(&*chain.name)) {
                (None, _) => self.created.push(chain),
                (old, new) if old == new => {}
                (Some(old), _) => {
                    self.flushed += old.len();
                    self.refilled.push(chain);
                }
            }
        }
        for (name, rules) in old.chains() {
            if !wanted.contains_key(&**name) {
                self.gone.push((name.clone(), rules.len()));
            }
        }
    }
}

impl LiveRules {
    /// Follows a change of the given Services; `snapshot` is the state after it. Costs translation
    /// for those Services; where a shared chain changes, a comparison of digests in its length
    /// besides.
    ///
    /// `None` if all chains change, because the cluster has become large or ceased to be, or if
    /// `snapshot` holds other changes besides: then this is of no use any more.
    pub fn update(
        &mut self,
        snapshot: &Snapshot,
        touched: &BTreeSet<NamespacedName>,
    ) -> Option<Update> {
        let mut update = Update::new(self.family());
        let mut dirty = [false; 6];
        for name in touched {
            let rendered = {
                let ruleset = IptablesRuleset::sized(snapshot, &self.options, self.large_cluster);
                Rendered::of(&ruleset, snapshot, name)
            };
            let new = Holding::of(&rendered);
            let old = self.services.remove(name).unwrap_or_default();
            self.endpoints = (self.endpoints + new.endpoints()).saturating_sub(old.endpoints());
            self.own_rules = (self.own_rules + new.rules()).saturating_sub(old.rules());
            for (chain, dirty) in DispatchChain::ALL.into_iter().zip(&mut dirty) {
                *dirty |= !same_in(chain, old.dispatch(), new.dispatch());
            }
            update.service(&old, &new, rendered.chains);
            if !new.is_empty() {
                self.services.insert(name.clone(), new);
            }
        }
        if self.is_large() != self.large_cluster {
            return None;
        }
        for (chain, dirty) in DispatchChain::ALL.into_iter().zip(dirty) {
            if !dirty {
                continue;
            }
            let desired: Vec<_> = self.shared(chain).collect();
            if let Some(edits) = self.known.get(index(chain))?.edits(&desired) {
                update
                    .shared
                    .push(self.shared_change(snapshot, chain, edits)?);
            }
        }
        Some(update)
    }

    /// Follows an update that the kernel has taken. `handles` are those of the steps that asked for
    /// one, in order. `false` if they do not suffice: then the kernel has to be read again.
    #[must_use]
    pub fn settle(&mut self, update: Update, handles: &mut impl Iterator<Item = u64>) -> bool {
        update.shared.into_iter().all(|shared| {
            let known = self.known.get_mut(index(shared.chain));
            known.is_some_and(|known| known.settle(shared.edits, handles))
        })
    }

    /// Spells out what is added; `None` if memory and snapshot do not agree about it.
    fn shared_change(
        &self,
        snapshot: &Snapshot,
        chain: DispatchChain,
        edits: ChainEdits,
    ) -> Option<Shared> {
        let wanted = edits.edits().iter().filter_map(|edit| match edit {
            KnownEdit::Add { rule, .. } => Some(*rule),
            KnownEdit::Delete(_) => None,
        });
        let wanted: Vec<usize> = wanted.collect();
        let added = self.rules_at(snapshot, chain, &wanted);
        (added.len() == wanted.len()).then_some(Shared {
            chain,
            edits,
            added,
        })
    }

    /// The rules at some places of a shared chain, spelled out.
    fn rules_at(&self, snapshot: &Snapshot, chain: DispatchChain, at: &[usize]) -> Vec<XtRule> {
        let ruleset = IptablesRuleset::sized(snapshot, &self.options, self.large_cluster);
        let mut places: BTreeSet<usize> = at.iter().copied().collect();
        let mut found = HashMap::new();
        let mut start = 0;
        for (name, holding) in &self.services {
            let end = start + holding.in_chain(chain).count();
            if places.first().is_some_and(|place| *place < end) {
                let rendered = Rendered::of(&ruleset, snapshot, name);
                let rules = rendered.dispatch.into_iter().filter(|r| r.chain == chain);
                for (place, rule) in (start..).zip(rules) {
                    if places.remove(&place) {
                        found.insert(place, rule.rule);
                    }
                }
                // Memory and snapshot agree, so there is nothing left of it.
                places.retain(|place| *place >= end);
            }
            start = end;
        }
        for (place, rule) in (start..).zip(self.tail(chain)) {
            found.insert(place, rule.clone());
        }
        at.iter().filter_map(|place| found.remove(place)).collect()
    }
}
