//! A ruleset as JSON.
//!
//! A ruleset is a list of objects under `nftables`, named and keyed as in nft's own JSON
//! (`libnftables-json(5)`): `table`, `chain`, `rule` with `family`, `table`, `chain`, `name`, `hook`,
//! `prio`, `policy`. What is in a rule is said in iptables' words, as nft's JSON has none for
//! xtables extensions: `iptables` is the rule's text, `matches` and `target` its parts. nft does not
//! load it.

use std::fmt::{self, Write};

use super::object::{Base, Chain, Match, Object, Rule, Table, Target};
use crate::model::IpFamily;
use crate::plan::diff::owned::{TABLES, builtin_hook};
use crate::plan::xtables::rule::{
    CtStates, Maybe, RecentOp, XtMatch, XtRule, XtRuleset, XtTable, XtTarget,
};
use crate::plan::xtables::save;

/// Writes rulesets as one document, an object a line, however large they are.
///
/// # Errors
/// Only those of `out`.
pub fn write(rulesets: &[&dyn XtRuleset], out: &mut dyn Write) -> fmt::Result {
    let mut first = true;
    write!(out, "{{\"nftables\":[")?;
    let mut put = |object: &Object<'_>| {
        let text = serde_json::to_string(object).map_err(|_| fmt::Error)?;
        let comma = if std::mem::take(&mut first) {
            "\n"
        } else {
            ",\n"
        };
        write!(out, "{comma}{text}")
    };
    for ruleset in rulesets {
        for table in TABLES {
            table_objects(*ruleset, table, &mut put)?;
        }
    }
    writeln!(out, "\n]}}")
}

fn table_objects(
    ruleset: &dyn XtRuleset,
    table: XtTable,
    put: &mut dyn FnMut(&Object<'_>) -> fmt::Result,
) -> fmt::Result {
    let jumps = ruleset.jumps();
    let (family, name) = (ruleset.family(), table.name());
    let mut outcome = Ok(());
    let mut begun = false;
    let mut begin = |put: &mut dyn FnMut(&Object<'_>) -> fmt::Result| {
        if std::mem::replace(&mut begun, true) {
            return Ok(());
        }
        put(&Object::Table(Table {
            family: family.nft_name(),
            name,
        }))
    };
    let of_table = || jumps.iter().filter(|j| j.table == table);
    let mut builtins: Vec<&str> = Vec::new();
    for jump in of_table() {
        if !builtins.contains(&jump.chain) {
            builtins.push(jump.chain);
        }
    }
    for builtin in builtins {
        begin(put)?;
        put(&Object::Chain(chain_object(family, table, builtin, true)))?;
        for jump in of_table().rev().filter(|j| j.chain == builtin) {
            put(&Object::Rule(rule_object(
                family, table, builtin, &jump.rule,
            )))?;
        }
    }
    ruleset.for_each_chain(&mut |chain| {
        if outcome.is_ok() && chain.table == table {
            outcome = begin(put)
                .and_then(|()| {
                    put(&Object::Chain(chain_object(
                        family,
                        table,
                        &chain.name,
                        false,
                    )))
                })
                .and_then(|()| {
                    let mut rules = chain.rules.iter();
                    rules.try_for_each(|rule| {
                        put(&Object::Rule(rule_object(family, table, &chain.name, rule)))
                    })
                });
        }
    });
    outcome
}

fn chain_object(family: IpFamily, table: XtTable, name: &str, builtin: bool) -> Chain<'_> {
    let hook = if builtin {
        builtin_hook(table, name)
    } else {
        None
    };
    let base = hook.map(|hook| Base {
        r#type: hook.chain_type,
        hook: match name {
            "PREROUTING" => "prerouting",
            "INPUT" => "input",
            "FORWARD" => "forward",
            "OUTPUT" => "output",
            _ => "postrouting",
        },
        prio: hook.priority,
        policy: "accept",
    });
    Chain {
        family: family.nft_name(),
        table: table.name(),
        name,
        base,
    }
}

fn rule_object<'a>(family: IpFamily, table: XtTable, chain: &'a str, rule: &XtRule) -> Rule<'a> {
    let net = |n: &Maybe<ipnet::IpNet>| (n.value.trunc().to_string(), n.not);
    let mut matches = Vec::new();
    matches.extend(
        rule.source
            .as_ref()
            .map(net)
            .map(|(prefix, not)| Match::Source { prefix, not }),
    );
    matches.extend(
        rule.destination
            .as_ref()
            .map(net)
            .map(|(prefix, not)| Match::Destination { prefix, not }),
    );
    matches.extend(rule.in_interface.as_ref().map(|i| Match::InInterface {
        name: format!("{}{}", i.value.name, if i.value.prefix { "+" } else { "" }),
        not: i.not,
    }));
    matches.extend(rule.protocol.map(|p| Match::Protocol(p.lower().to_owned())));
    matches.extend(rule.matches.iter().filter_map(match_object));
    Rule {
        family: family.nft_name(),
        table: table.name(),
        chain,
        iptables: save::rule_text(rule, family),
        matches,
        target: rule.target.as_ref().map(target_object),
    }
}

fn match_object(m: &XtMatch) -> Option<Match> {
    Some(match m {
        XtMatch::Comment(text) => Match::Comment(text.to_string()),
        XtMatch::Ports { dport } => return dport.map(Match::Dport),
        XtMatch::Mark { value, mask, not } => Match::Mark {
            value: *value,
            mask: *mask,
            not: *not,
        },
        XtMatch::Conntrack(states) => Match::Ctstate {
            states: state_names(states.value),
            not: states.not,
        },
        XtMatch::SourceIsLocal => Match::SrcType("LOCAL"),
        XtMatch::DestinationIsLocal => Match::DstType("LOCAL"),
        XtMatch::Random { threshold } => {
            Match::Probability(f64::from(*threshold) / f64::from(1u32 << 31))
        }
        XtMatch::Recent { op, list } => {
            let (op, seconds) = match op {
                RecentOp::Set => ("set", None),
                RecentOp::CheckAndReap { seconds } => ("rcheck", Some(*seconds)),
            };
            Match::Recent {
                op,
                seconds,
                name: list.to_string(),
            }
        }
        XtMatch::Nfacct(name) => Match::Nfacct(name.to_string()),
    })
}

fn state_names(states: CtStates) -> Vec<&'static str> {
    [
        (CtStates::INVALID, "INVALID"),
        (CtStates::NEW, "NEW"),
        (CtStates::RELATED, "RELATED"),
        (CtStates::ESTABLISHED, "ESTABLISHED"),
        (CtStates::SNAT, "SNAT"),
        (CtStates::DNAT, "DNAT"),
    ]
    .into_iter()
    .filter(|(bit, _)| states.0 & bit.0 != 0)
    .map(|(_, name)| name)
    .collect()
}

fn target_object(target: &XtTarget) -> Target {
    match target {
        XtTarget::Jump(chain) => Target::Jump(chain.to_string()),
        XtTarget::Return => Target::Return,
        XtTarget::Accept => Target::Accept,
        XtTarget::Drop => Target::Drop,
        XtTarget::Reject => Target::Reject,
        XtTarget::Mark { value, mask } => Target::Mark {
            value: *value,
            mask: *mask,
        },
        XtTarget::Masquerade { random_fully } => Target::Masquerade {
            random_fully: *random_fully,
        },
        XtTarget::Dnat(to) => Target::Dnat(to.to_string()),
    }
}
