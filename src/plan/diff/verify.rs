//! What in the kernel is not as it should be, one by one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::changes::{Fetch, text_of, text_of_body};
use super::plan::{ChainChange, Plan};
use super::script::Alignment;
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::expr::RuleBody;
use crate::plan::xtables::rule::{XtChain, XtRuleset, XtTable};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviationKind {
    /// A chain is not there, with all its rules.
    MissingChain,
    /// A chain of a service that is not there any more.
    LeftoverChain,
    /// A rule is not there.
    MissingRule,
    /// A rule too many, or somebody else's in a chain of ours.
    ExtraRule,
    /// Another rule in a rule's place.
    DifferentRule,
    /// A rule is there, but not in its place among the others.
    WrongOrder,
    /// A built-in chain does not jump to ours.
    MissingJump,
}

/// A difference between what is and what should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The family.
    pub family: IpFamily,
    /// The table.
    pub table: XtTable,
    /// The chain.
    pub chain: Arc<str>,
    /// What is wrong.
    pub kind: DeviationKind,
    /// The rule's number in its chain, from 1: as it should be, or as it is where no rule should.
    pub position: Option<usize>,
    /// What should be there, as `iptables-save` shows it.
    pub expected: Option<String>,
    /// What is there, as `iptables-save` shows it, or in its expressions.
    pub found: Option<String>,
}

/// `IPv4 nat KUBE-SERVICES rule 3: missing: -A KUBE-SERVICES …`.
impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table.name(), self.chain)?;
        if let Some(position) = self.position {
            write!(f, " rule {position}")?;
        }
        let expected = self.expected.as_deref().unwrap_or("nothing");
        let found = self.found.as_deref().unwrap_or("nothing");
        match self.kind {
            DeviationKind::MissingChain => write!(f, ": missing chain"),
            DeviationKind::LeftoverChain => write!(f, ": leftover chain"),
            DeviationKind::MissingRule => write!(f, ": missing: {expected}"),
            DeviationKind::ExtraRule => write!(f, ": should not be there: {found}"),
            DeviationKind::DifferentRule => write!(f, ": expected: {expected}, found: {found}"),
            DeviationKind::WrongOrder => write!(f, ": out of order: {expected}"),
            DeviationKind::MissingJump => write!(f, ": missing jump: {expected}"),
        }
    }
}

/// Lists every deviation that `plan` would repair. `ruleset` is what it was made from, `fetch`
/// reads the present rules of a chain.
///
/// # Errors
/// The first error of `fetch`.
pub fn verify<E>(
    plan: &Plan,
    ruleset: &dyn XtRuleset,
    fetch: &mut Fetch<'_, E>,
) -> Result<Vec<Deviation>, E> {
    let mut found = Vec::new();
    for jump in &plan.add_jumps {
        let chain = jump.chain.into();
        let expected = Some(text_of(jump.chain, &jump.rule, plan.family));
        let kind = DeviationKind::MissingJump;
        found.push(Deviation {
            expected,
            ..Deviation::new(plan, jump.table, chain, kind)
        });
    }
    let mut outcome = Ok(());
    ruleset.for_each_chain(&mut |chain| {
        if let (Ok(()), Some(change)) = (&outcome, plan.change(chain.table, &chain.name)) {
            if *change == ChainChange::Create {
                let kind = DeviationKind::MissingChain;
                found.push(Deviation::new(plan, chain.table, chain.name, kind));
                return;
            }
            match fetch(chain.table, &chain.name) {
                Ok(present) => Comparison::new(plan, &chain, &present).report(&mut found),
                Err(error) => outcome = Err(error),
            }
        }
    });
    outcome?;
    for stale in &plan.stale_chains {
        let kind = DeviationKind::LeftoverChain;
        found.push(Deviation::new(plan, stale.table, stale.name.clone(), kind));
    }
    Ok(found)
}

impl Deviation {
    fn new(plan: &Plan, table: XtTable, chain: Arc<str>, kind: DeviationKind) -> Self {
        Self {
            family: plan.family,
            table,
            chain,
            kind,
            position: None,
            expected: None,
            found: None,
        }
    }
}

/// A chain as it should be beside what it is.
struct Comparison<'a> {
    plan: &'a Plan,
    chain: &'a XtChain,
    present: &'a [(u64, RuleBody)],
    old: Vec<RuleDigest>,
    new: Vec<RuleDigest>,
}

/// How often each rule is found and missed, among those that do not stay but are both: a count for
/// the finding and one for the missing, to be used up.
type Moved = HashMap<RuleDigest, (usize, usize)>;

impl<'a> Comparison<'a> {
    fn new(plan: &'a Plan, chain: &'a XtChain, present: &'a [(u64, RuleBody)]) -> Self {
        let digest = |(_, body): &(u64, RuleBody)| RuleDigest::of_body(body, plan.family);
        let old = present.iter().map(digest).collect();
        let new = chain.rules.iter().map(RuleDigest::of).collect();
        Self {
            plan,
            chain,
            present,
            old,
            new,
        }
    }

    /// Rules that are missed in one place and found in another are out of order; of the others,
    /// the first that is found where the first is missed is taken for its replacement.
    fn report(&self, found: &mut Vec<Deviation>) {
        let alignment = Alignment::of_chain(self.present, self.chain, self.plan.family);
        let mut moved = self.moved(&alignment);
        for gap in alignment.gaps() {
            let extra: Vec<usize> = gap
                .gone
                .filter(|at| !self.found_elsewhere(*at, &mut moved))
                .collect();
            let mut extra = extra.into_iter();
            for at in gap.new.iter().copied() {
                let (kind, old) = if self.is_moved_here(at, &mut moved) {
                    (DeviationKind::WrongOrder, None)
                } else {
                    match extra.next() {
                        Some(old) => (DeviationKind::DifferentRule, Some(old)),
                        None => (DeviationKind::MissingRule, None),
                    }
                };
                found.push(self.deviation(kind, Some(at), old));
            }
            found
                .extend(extra.map(|old| self.deviation(DeviationKind::ExtraRule, None, Some(old))));
        }
    }

    fn found_elsewhere(&self, at: usize, moved: &mut Moved) -> bool {
        let left = self.old.get(at).and_then(|digest| moved.get_mut(digest));
        left.is_some_and(|(old, _)| take_one(old))
    }

    fn is_moved_here(&self, at: usize, moved: &mut Moved) -> bool {
        let left = self.new.get(at).and_then(|digest| moved.get_mut(digest));
        left.is_some_and(|(_, new)| take_one(new))
    }

    fn moved(&self, alignment: &Alignment) -> Moved {
        let mut counts = Moved::new();
        for digest in self.old.iter().filter(|d| **d != RuleDigest::FOREIGN) {
            counts.entry(*digest).or_default().0 += 1;
        }
        for digest in &self.new {
            counts.entry(*digest).or_default().1 += 1;
        }
        for digest in alignment.kept_rules().filter_map(|at| self.new.get(at)) {
            let (old, new) = counts.entry(*digest).or_default();
            *old = old.saturating_sub(1);
            *new = new.saturating_sub(1);
        }
        for (old, new) in counts.values_mut() {
            *old = (*old).min(*new);
            *new = *old;
        }
        counts
    }

    fn deviation(
        &self,
        kind: DeviationKind,
        expected: Option<usize>,
        found: Option<usize>,
    ) -> Deviation {
        let (name, family) = (&self.chain.name, self.plan.family);
        let wanted = expected.and_then(|at| self.chain.rules.get(at));
        let there = found.and_then(|at| self.present.get(at));
        Deviation {
            position: expected.or(found).map(|at| at + 1),
            expected: wanted.map(|rule| text_of(name, rule, family)),
            found: there.map(|(_, body)| text_of_body(name, body, family)),
            ..Deviation::new(self.plan, self.chain.table, name.clone(), kind)
        }
    }
}

fn take_one(count: &mut usize) -> bool {
    let some = *count > 0;
    *count -= usize::from(some);
    some
}
