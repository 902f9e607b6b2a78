//! A plan in lines that people read: a unified diff of what `iptables-save` shows before and after.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use super::owned::is_service_chain;
use super::plan::{ChainChange, Plan};
use super::script;
use super::service::service_of;
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::expr::RuleBody;
use crate::plan::expr_text;
use crate::plan::xtables::decode::{Decoded, decode};
use crate::plan::xtables::rule::{XtMatch, XtRule, XtRuleset, XtTable, XtTarget};
use crate::plan::xtables::save;

/// What happens to a chain or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is there and changes.
    Changed,
    /// It goes.
    Deleted,
}

/// One line of a diff: a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whether the rule is new; otherwise it goes.
    pub added: bool,
    /// The rule as `iptables-save` shows it; its expressions if it is not of our vocabulary.
    pub text: String,
    /// The service (`namespace/name:port`) its comment names.
    pub service: Option<Arc<str>>,
    /// The chain it jumps to.
    jump: Option<Arc<str>>,
}

/// The change of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDiff {
    /// Its table.
    pub table: XtTable,
    /// Its name.
    pub chain: Arc<str>,
    /// What happens to it.
    pub kind: ChangeKind,
    /// The service it belongs to, as far as comments and names tell.
    pub service: Option<Arc<str>>,
    /// Its rules that change.
    pub lines: Vec<Line>,
}

/// A service whose rules change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChange {
    /// `namespace/name`, with `:port` if the port has a name.
    pub service: Arc<str>,
    /// Added if it only gains rules, deleted if it only loses some.
    pub kind: ChangeKind,
}

/// All that a plan changes, in order: chains of no service, then service by service.
///
/// Its text form is like a unified diff. Holds every changed rule as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The family.
    pub family: IpFamily,
    /// The services that change.
    pub services: Vec<ServiceChange>,
    /// The chains that change.
    pub chains: Vec<ChainDiff>,
}

/// Reads the present rules of a chain, each with its handle.
pub(super) type Fetch<'a, E> = dyn FnMut(XtTable, &str) -> Result<Vec<(u64, RuleBody)>, E> + 'a;

/// Spells out a plan. `ruleset` is what it was made from, `fetch` reads the present rules of a
/// chain with their handles; it is called for chains that change or go.
///
/// # Errors
/// The first error of `fetch`.
pub fn changes<E>(
    plan: &Plan,
    ruleset: &dyn XtRuleset,
    fetch: &mut Fetch<'_, E>,
) -> Result<Changes, E> {
    let mut chains = builtin_changes(plan, fetch)?;
    let mut outcome = Ok(());
    ruleset.for_each_chain(&mut |chain| {
        if let (Ok(()), Some(change)) = (&outcome, plan.change(chain.table, &chain.name)) {
            let (kind, present) = match change {
                ChainChange::Create => (ChangeKind::Added, Ok(Vec::new())),
                _ => (ChangeKind::Changed, fetch(chain.table, &chain.name)),
            };
            match present {
                Ok(present) => {
                    let lines = merged(&chain.name, &present, &chain.rules, plan.family);
                    chains.push(ChainDiff::new(chain.table, chain.name, kind, lines));
                }
                Err(error) => outcome = Err(error),
            }
        }
    });
    outcome?;
    for stale in &plan.stale_chains {
        let present = if stale.rules > 0 {
            fetch(stale.table, &stale.name)?
        } else {
            Vec::new()
        };
        let lines = merged(&stale.name, &present, &[], plan.family);
        let kind = if stale.delete {
            ChangeKind::Deleted
        } else {
            ChangeKind::Changed
        };
        chains.push(ChainDiff::new(stale.table, stale.name.clone(), kind, lines));
    }
    name_services(&mut chains);
    chains.sort_by(|a, b| (&a.service, a.table, &a.chain).cmp(&(&b.service, b.table, &b.chain)));
    let services = services(&chains);
    Ok(Changes {
        family: plan.family,
        services,
        chains,
    })
}

/// New jumps from built-in chains in their final order, and rules that go from them.
fn builtin_changes<E>(plan: &Plan, fetch: &mut Fetch<'_, E>) -> Result<Vec<ChainDiff>, E> {
    let mut builtins: BTreeMap<(XtTable, Arc<str>), Vec<Line>> = BTreeMap::new();
    for (table, chain) in &plan.add_builtins {
        builtins.entry((*table, (*chain).into())).or_default();
    }
    for jump in plan.add_jumps.iter().rev() {
        let line = rule_line(jump.chain, &jump.rule, true, plan.family);
        builtins
            .entry((jump.table, jump.chain.into()))
            .or_default()
            .push(line);
    }
    let mut stale: BTreeMap<(XtTable, &Arc<str>), Vec<u64>> = BTreeMap::new();
    for rule in &plan.stale_rules {
        stale
            .entry((rule.table, &rule.chain))
            .or_default()
            .push(rule.handle);
    }
    for ((table, chain), handles) in stale {
        let lines = builtins.entry((table, chain.clone())).or_default();
        let rules = fetch(table, chain)?.into_iter();
        let gone = rules.filter(|(handle, _)| handles.contains(handle));
        lines.extend(gone.map(|(_, body)| body_line(chain, &body, plan.family)));
    }
    let diffs = builtins.into_iter().map(|((table, chain), lines)| {
        let new = plan
            .add_builtins
            .iter()
            .any(|(t, c)| *t == table && **c == *chain);
        let kind = if new {
            ChangeKind::Added
        } else {
            ChangeKind::Changed
        };
        ChainDiff::new(table, chain, kind, lines)
    });
    Ok(diffs.collect())
}

/// The rules that go and the rules that come, each where it is.
fn merged(
    chain: &str,
    present: &[(u64, RuleBody)],
    desired: &[XtRule],
    family: IpFamily,
) -> Vec<Line> {
    let old: Vec<_> = present
        .iter()
        .map(|(_, b)| RuleDigest::of_body(b, family))
        .collect();
    let new: Vec<_> = desired.iter().map(RuleDigest::of).collect();
    let mut lines = Vec::new();
    let (mut next_old, mut next_new) = (0, 0);
    let ends = [(old.len(), new.len())];
    for (at_old, at_new) in script::kept(&old, &new).into_iter().chain(ends) {
        let gone = present.get(next_old..at_old).unwrap_or_default();
        lines.extend(gone.iter().map(|(_, body)| body_line(chain, body, family)));
        let come = desired.get(next_new..at_new).unwrap_or_default();
        lines.extend(come.iter().map(|rule| rule_line(chain, rule, true, family)));
        (next_old, next_new) = (at_old + 1, at_new + 1);
    }
    lines
}

/// A rule as `iptables-save` has it in its chain.
pub(super) fn text_of(chain: &str, rule: &XtRule, family: IpFamily) -> String {
    let text = save::rule_text(rule, family);
    if text.is_empty() {
        format!("-A {chain}")
    } else {
        format!("-A {chain} {text}")
    }
}

/// A kernel rule in the same form, or in its expressions.
pub(super) fn text_of_body(chain: &str, body: &RuleBody, family: IpFamily) -> String {
    match decode(body, family) {
        Decoded::Rule(rule) => text_of(chain, &rule, family),
        Decoded::Foreign => format!("-A {chain} {}", expr_text::words(body)),
    }
}

fn rule_line(chain: &str, rule: &XtRule, added: bool, family: IpFamily) -> Line {
    let comment = rule.matches.iter().find_map(|m| match m {
        XtMatch::Comment(text) => service_of(text),
        _ => None,
    });
    let jump = match &rule.target {
        Some(XtTarget::Jump(chain)) => Some(Arc::clone(chain)),
        _ => None,
    };
    Line {
        added,
        text: text_of(chain, rule, family),
        service: comment.map(Arc::from),
        jump,
    }
}

fn body_line(chain: &str, body: &RuleBody, family: IpFamily) -> Line {
    match decode(body, family) {
        Decoded::Rule(rule) => rule_line(chain, &rule, false, family),
        Decoded::Foreign => {
            let text = text_of_body(chain, body, family);
            Line {
                added: false,
                text,
                service: None,
                jump: None,
            }
        }
    }
}

impl ChainDiff {
    /// The service is the one its comments name, if it is a service's chain.
    fn new(table: XtTable, chain: Arc<str>, kind: ChangeKind, lines: Vec<Line>) -> Self {
        let mut named = lines.iter().filter_map(|l| l.service.clone());
        let service = if is_service_chain(table, &chain) {
            named.next()
        } else {
            None
        };
        Self {
            table,
            chain,
            kind,
            service,
            lines,
        }
    }
}

/// Names the services of chains without comments (kube-proxy leaves them out beyond 1000
/// endpoints): chains of one service share the end of their names, and endpoint chains are jumped
/// to from one of those.
fn name_services(chains: &mut [ChainDiff]) {
    let end = |name: &str| name.rsplit('-').next().unwrap_or_default().to_owned();
    let mut known: HashMap<String, Arc<str>> = HashMap::new();
    for chain in chains.iter() {
        if let Some(service) = &chain.service {
            known
                .entry(end(&chain.chain))
                .or_insert_with(|| Arc::clone(service));
        }
    }
    for chain in chains.iter() {
        for line in &chain.lines {
            let service = line.service.as_ref().or(chain.service.as_ref());
            if let (Some(service), Some(jump)) = (service, &line.jump) {
                known
                    .entry(end(jump))
                    .or_insert_with(|| Arc::clone(service));
            }
        }
    }
    for chain in chains
        .iter_mut()
        .filter(|c| is_service_chain(c.table, &c.chain))
    {
        chain.service = chain
            .service
            .take()
            .or_else(|| known.get(&end(&chain.chain)).cloned());
    }
}

/// A service that only gains rules is new, one that only loses rules goes.
fn services(chains: &[ChainDiff]) -> Vec<ServiceChange> {
    let mut seen: BTreeMap<&Arc<str>, (bool, bool)> = BTreeMap::new();
    for chain in chains {
        if let Some(service) = &chain.service {
            let (gains, loses) = seen.entry(service).or_default();
            *gains |= chain.kind != ChangeKind::Deleted;
            *loses |= chain.kind != ChangeKind::Added;
        }
        for line in &chain.lines {
            if let Some(service) = &line.service {
                let (gains, loses) = seen.entry(service).or_default();
                *gains |= line.added;
                *loses |= !line.added;
            }
        }
    }
    let change = |(service, (gains, loses)): (&Arc<str>, (bool, bool))| {
        let kind = match (gains, loses) {
            (true, false) => ChangeKind::Added,
            (false, true) => ChangeKind::Deleted,
            _ => ChangeKind::Changed,
        };
        ServiceChange {
            service: Arc::clone(service),
            kind,
        }
    };
    seen.into_iter().map(change).collect()
}

/// A unified diff: a hunk a chain, and the chain's own line when it comes or goes.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.chains.is_empty() {
            return Ok(());
        }
        writeln!(f, "--- kernel {}\n+++ desired {}", self.family, self.family)?;
        self.chains
            .iter()
            .try_for_each(|chain| write!(f, "{chain}"))
    }
}

/// One hunk.
impl fmt::Display for ChainDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@@ {} {}", self.table.name(), self.chain)?;
        match &self.service {
            Some(service) => writeln!(f, " @@ {service}")?,
            None => writeln!(f, " @@")?,
        }
        match self.kind {
            ChangeKind::Added => writeln!(f, "+:{} - [0:0]", self.chain)?,
            ChangeKind::Deleted => writeln!(f, "-:{} - [0:0]", self.chain)?,
            ChangeKind::Changed => {}
        }
        let sign = |line: &Line| if line.added { '+' } else { '-' };
        self.lines
            .iter()
            .try_for_each(|line| writeln!(f, "{}{}", sign(line), line.text))
    }
}
