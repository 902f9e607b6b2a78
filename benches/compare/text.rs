//! Differences of rendered rules, as text for the tools that load text.
//!
//! What somebody who knows both states would hand to `nft -f` or `iptables-restore --noflush`:
//! only what differs. The comparison itself is not charged to the tools.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// Elements that go and come, as commands for `nft -f`.
pub(crate) fn nft_changes(old: &str, new: &str) -> String {
    let (old, new) = (elements(old), elements(new));
    let mut text = String::new();
    let none = HashSet::new();
    for (verb, from, to) in [("delete", &old, &new), ("add", &new, &old)] {
        for (set, elements) in from {
            let others = to.get(set).unwrap_or(&none);
            let mut differ: Vec<&str> = elements.difference(others).copied().collect();
            differ.sort_unstable();
            if !differ.is_empty() {
                let all = differ.join(", ");
                let _ = writeln!(text, "{verb} element ip portolan {set} {{ {all} }}");
            }
        }
    }
    text
}

/// Elements by set, from the form that `nft list` has too: one element a line.
fn elements(table: &str) -> BTreeMap<&str, HashSet<&str>> {
    let mut sets: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    let mut set = "";
    let mut inside = false;
    for line in table.lines().map(str::trim) {
        if let Some(("set" | "map", rest)) = line.split_once(' ') {
            set = rest.trim_end_matches(" {");
        }
        let first = line.strip_prefix("elements = {");
        inside |= first.is_some();
        if inside {
            let element = first.unwrap_or(line).trim();
            inside = !element.ends_with('}');
            let element = element.trim_end_matches([' ', '}', ',']);
            sets.entry(set).or_default().insert(element);
        }
    }
    sets
}

/// Chains that differ, as `iptables-restore --noflush` takes them: each emptied and filled again,
/// those that are gone deleted.
pub(crate) fn iptables_changes(old: &str, new: &str) -> String {
    let (old, new) = (tables(old), tables(new));
    let mut text = String::new();
    let none = BTreeMap::new();
    for (table, chains) in &new {
        let before = old.get(table).unwrap_or(&none);
        let differ: Vec<_> = chains
            .iter()
            .filter(|(chain, rules)| before.get(*chain) != Some(rules))
            .collect();
        let gone: Vec<_> = before
            .keys()
            .filter(|chain| !chains.contains_key(*chain))
            .collect();
        if differ.is_empty() && gone.is_empty() {
            continue;
        }
        let _ = writeln!(text, "*{table}");
        for chain in differ.iter().map(|(chain, _)| chain).chain(&gone) {
            let _ = writeln!(text, ":{chain} - [0:0]");
        }
        for rule in differ.iter().flat_map(|(_, rules)| rules.iter()) {
            let _ = writeln!(text, "{rule}");
        }
        for chain in gone {
            let _ = writeln!(text, "-X {chain}");
        }
        text.push_str("COMMIT\n");
    }
    text
}

type Chains<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn tables(text: &str) -> BTreeMap<&str, Chains<'_>> {
    let mut tables: BTreeMap<&str, Chains<'_>> = BTreeMap::new();
    let mut table = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(declaration) = line.strip_prefix(':') {
            let chain = declaration.split(' ').next().unwrap_or_default();
            tables.entry(table).or_default().entry(chain).or_default();
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split(' ').next().unwrap_or_default();
            let chains = tables.entry(table).or_default();
            chains.entry(chain).or_default().push(line);
        }
    }
    tables
}

/// The first and the last cluster IP in the order in which packets are compared with them.
pub(crate) fn first_and_last(iptables: &str) -> Option<(String, String)> {
    let mut addresses = iptables
        .lines()
        .filter(|line| line.starts_with("-A KUBE-SERVICES -d "))
        .filter_map(|line| line.split(' ').nth(3))
        .filter_map(|cidr| cidr.strip_suffix("/32"))
        .map(str::to_owned);
    let first = addresses.next()?;
    let last = addresses.next_back().unwrap_or_else(|| first.clone());
    Some((first, last))
}
