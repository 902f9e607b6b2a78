//! A plan spelled out: every rule that comes or goes, as `iptables-save` shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change_list::{ChainDiff, ChangeKind, Changes, Line, name_services, services};
use super::plan::{ChainChange, Plan};
use super::script::Alignment;
use super::service::service_of;
use crate::model::IpFamily;
use crate::plan::expr::RuleBody;
use crate::plan::expr_text;
use crate::plan::xtables::decode::{Decoded, decode};
use crate::plan::xtables::rule::{XtChain, XtMatch, XtRule, XtRuleset, XtTable, XtTarget};
use crate::plan::xtables::save;

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
                    let lines = merged(&present, &chain, plan.family);
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
        let (table, name) = (stale.table, stale.name.clone());
        let nothing = XtChain {
            table,
            name,
            rules: Vec::new(),
        };
        let lines = merged(&present, &nothing, plan.family);
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
fn merged(present: &[(u64, RuleBody)], desired: &XtChain, family: IpFamily) -> Vec<Line> {
    let chain = &desired.name;
    let mut lines = Vec::new();
    for gap in Alignment::of_chain(present, desired, family).gaps() {
        let gone = present.get(gap.gone).unwrap_or_default();
        lines.extend(gone.iter().map(|(_, body)| body_line(chain, body, family)));
        let new = gap.new.iter().filter_map(|at| desired.rules.get(*at));
        lines.extend(new.map(|rule| rule_line(chain, rule, true, family)));
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
