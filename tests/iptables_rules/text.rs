//! Rules as text.

use std::collections::BTreeMap;

use portolan::model::Snapshot;
use portolan::plan::xtables::save::save;
use portolan::translate::iptables::{IptablesOptions, IptablesRuleset};

pub(crate) fn text(snapshot: &Snapshot, options: &IptablesOptions) -> String {
    let mut text = String::new();
    save(&IptablesRuleset::new(snapshot, options), &mut text).unwrap();
    text
}

/// Rules by `table chain`, without `-A CHAIN`.
pub(crate) fn rules(
    snapshot: &Snapshot,
    options: &IptablesOptions,
) -> BTreeMap<String, Vec<String>> {
    let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in text(snapshot, options).lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(declaration) = line.strip_prefix(':') {
            let chain = declaration.split(' ').next().unwrap();
            chains.entry(format!("{table} {chain}")).or_default();
        } else if let Some((chain, rule)) = line
            .strip_prefix("-A ")
            .and_then(|rule| rule.split_once(' '))
        {
            let rules = chains.entry(format!("{table} {chain}")).or_default();
            rules.push(rule.to_owned());
        }
    }
    chains
}
