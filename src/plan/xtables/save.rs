//! The text of `iptables-save`, as iptables-nft 1.8.9 prints it.
//!
//! Owns spelling, quoting and order, nothing else. The two comment lines with version and time that
//! the tool puts around each table are left out: the text depends on the rules alone.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use ipnet::IpNet;

use super::rule::{
    CtStates, InterfaceMatch, Maybe, RecentOp, XtJump, XtMatch, XtRule, XtRuleset, XtTable,
    XtTarget,
};
use crate::model::{IpFamily, Protocol};

/// The tables in the order `iptables-save` shows them on a node of kube-proxy.
const TABLES: [XtTable; 3] = [XtTable::Mangle, XtTable::Filter, XtTable::Nat];

/// Built-in chains of a table, in the order packets meet their hooks.
#[must_use]
pub fn built_in_chains(table: XtTable) -> &'static [&'static str] {
    match table {
        XtTable::Filter => &["INPUT", "FORWARD", "OUTPUT"],
        XtTable::Nat => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
        XtTable::Mangle => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    }
}

/// Writes a ruleset as `iptables-save` would show it on a node that has nothing else.
///
/// Only tables with something in them are written. `iptables-restore` takes the text back.
///
/// # Errors
///
/// Only those of `out`.
pub fn save(ruleset: &dyn XtRuleset, out: &mut dyn Write) -> fmt::Result {
    let family = ruleset.family();
    // A chain is kept as its text, which is smaller than its rules, and only until it is sorted.
    let mut chains: BTreeMap<(XtTable, Arc<str>), String> = BTreeMap::new();
    ruleset.for_each_chain(&mut |chain| {
        let mut text = String::new();
        for rule in &chain.rules {
            push_rule(&mut text, &chain.name, rule, family);
        }
        chains.insert((chain.table, chain.name), text);
    });
    let jumps = ruleset.jumps();
    for table in TABLES {
        let own: Vec<(&str, &str)> = chains
            .iter()
            .filter(|((of, _), _)| *of == table)
            .map(|((_, name), text)| (&**name, text.as_str()))
            .collect();
        // Every jump goes to the head of its chain, so the last one given comes first.
        let jumps: Vec<&XtJump> = jumps.iter().rev().filter(|j| j.table == table).collect();
        if !own.is_empty() || !jumps.is_empty() {
            save_table(table, &own, &jumps, family, out)?;
        }
    }
    Ok(())
}

fn save_table(
    table: XtTable,
    own: &[(&str, &str)],
    jumps: &[&XtJump],
    family: IpFamily,
    out: &mut dyn Write,
) -> fmt::Result {
    writeln!(out, "*{}", table.name())?;
    for chain in built_in_chains(table) {
        writeln!(out, ":{chain} ACCEPT [0:0]")?;
    }
    for (name, _) in own {
        writeln!(out, ":{name} - [0:0]")?;
    }
    for chain in built_in_chains(table) {
        let mut text = String::new();
        for jump in jumps.iter().filter(|jump| jump.chain == *chain) {
            push_rule(&mut text, chain, &jump.rule, family);
        }
        out.write_str(&text)?;
    }
    for (_, text) in own {
        out.write_str(text)?;
    }
    writeln!(out, "COMMIT")
}

/// A rule as `iptables-save` prints it after `-A CHAIN `.
#[must_use]
pub fn rule_text(rule: &XtRule, family: IpFamily) -> String {
    let mut text = String::new();
    push_words(&mut text, rule, family);
    // Every word is written with the blank before it.
    text.drain(..text.len().min(1));
    text
}

fn push_rule(text: &mut String, chain: &str, rule: &XtRule, family: IpFamily) {
    text.push_str("-A ");
    text.push_str(chain);
    push_words(text, rule, family);
    text.push('\n');
}

fn push_words(text: &mut String, rule: &XtRule, family: IpFamily) {
    push_network(text, "-s", rule.source.as_ref());
    push_network(text, "-d", rule.destination.as_ref());
    if let Some(Maybe { not, value }) = &rule.in_interface {
        let InterfaceMatch { name, prefix } = value;
        push(text, format_args!("{}-i {name}", bang(*not)));
        if *prefix {
            text.push('+');
        }
    }
    if let Some(protocol) = rule.protocol {
        push(text, format_args!("-p {}", protocol.lower()));
    }
    for condition in &rule.matches {
        push_match(text, condition, rule.protocol, family);
    }
    if let Some(target) = &rule.target {
        push_target(text, target, family);
    }
}

/// A network; one that holds every address is not printed, because the kernel does not compare.
fn push_network(text: &mut String, option: &str, network: Option<&Maybe<IpNet>>) {
    if let Some(Maybe { not, value }) = network
        && (*not || value.prefix_len() > 0)
    {
        push(text, format_args!("{}{option} {value}", bang(*not)));
    }
}

fn push_match(
    text: &mut String,
    condition: &XtMatch,
    protocol: Option<Protocol>,
    family: IpFamily,
) {
    match condition {
        XtMatch::Comment(comment) => {
            text.push_str(" -m comment --comment ");
            push_quoted(text, comment);
        }
        XtMatch::Ports { dport } => {
            let protocol = protocol.map_or("all", Protocol::lower);
            push(text, format_args!("-m {protocol}"));
            if let Some(port) = dport {
                push(text, format_args!("--dport {port}"));
            }
        }
        XtMatch::Mark { value, mask, not } => {
            push(
                text,
                format_args!("-m mark {}--mark {value:#x}", bang(*not)),
            );
            if *mask != u32::MAX {
                text_of(text, format_args!("/{mask:#x}"));
            }
        }
        XtMatch::Conntrack(Maybe { not, value }) => {
            let states = state_names(*value);
            push(
                text,
                format_args!("-m conntrack {}--ctstate {states}", bang(*not)),
            );
        }
        XtMatch::SourceIsLocal => text.push_str(" -m addrtype --src-type LOCAL"),
        XtMatch::DestinationIsLocal => text.push_str(" -m addrtype --dst-type LOCAL"),
        XtMatch::Random { threshold } => {
            let probability = f64::from(*threshold) / 2_147_483_648.0;
            push(
                text,
                format_args!("-m statistic --mode random --probability {probability:.11}"),
            );
        }
        XtMatch::Recent { op, list } => push_recent(text, *op, list, family),
        XtMatch::Nfacct(name) => {
            // The tool prints the option with a blank of its own.
            text.push_str(" -m nfacct --nfacct-name  ");
            push_quoted(text, name);
        }
    }
}

fn push_recent(text: &mut String, op: RecentOp, list: &str, family: IpFamily) {
    text.push_str(" -m recent ");
    match op {
        RecentOp::Set => text.push_str("--set"),
        RecentOp::CheckAndReap { seconds } => {
            text_of(text, format_args!("--rcheck --seconds {seconds} --reap"));
        }
    }
    let mask = match family {
        IpFamily::V4 => "255.255.255.255",
        IpFamily::V6 => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    push(text, format_args!("--name {list} --mask {mask} --rsource"));
}

fn push_target(text: &mut String, target: &XtTarget, family: IpFamily) {
    text.push_str(" -j ");
    match target {
        XtTarget::Jump(chain) => text.push_str(chain),
        XtTarget::Return => text.push_str("RETURN"),
        XtTarget::Accept => text.push_str("ACCEPT"),
        XtTarget::Drop => text.push_str("DROP"),
        XtTarget::Reject => text.push_str(match family {
            IpFamily::V4 => "REJECT --reject-with icmp-port-unreachable",
            IpFamily::V6 => "REJECT --reject-with icmp6-port-unreachable",
        }),
        XtTarget::Mark { value, mask } => {
            text_of(text, format_args!("MARK --set-xmark {value:#x}/{mask:#x}"));
        }
        XtTarget::Masquerade { random_fully } => {
            text.push_str("MASQUERADE");
            if *random_fully {
                text.push_str(" --random-fully");
            }
        }
        XtTarget::Dnat(to) => text_of(text, format_args!("DNAT --to-destination {to}")),
    }
}

/// State names in the order of `libxt_conntrack`.
fn state_names(states: CtStates) -> String {
    const NAMES: [(CtStates, &str); 6] = [
        (CtStates::INVALID, "INVALID"),
        (CtStates::NEW, "NEW"),
        (CtStates::RELATED, "RELATED"),
        (CtStates::ESTABLISHED, "ESTABLISHED"),
        (CtStates::SNAT, "SNAT"),
        (CtStates::DNAT, "DNAT"),
    ];
    let names: Vec<&str> = NAMES
        .into_iter()
        .filter(|(bit, _)| states.0 & bit.0 != 0)
        .map(|(_, name)| name)
        .collect();
    names.join(",")
}

/// A string as `xtables_save_string` writes it: quoted unless it is letters, digits, `_` and `-`.
fn push_quoted(text: &mut String, value: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !value.is_empty() && value.chars().all(plain) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

fn bang(not: bool) -> &'static str {
    if not { "! " } else { "" }
}

fn push(text: &mut String, words: fmt::Arguments<'_>) {
    text.push(' ');
    text_of(text, words);
}

/// Appends to a string, which cannot fail.
fn text_of(text: &mut String, words: fmt::Arguments<'_>) {
    let _ = text.write_fmt(words);
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
