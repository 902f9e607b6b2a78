//! A table as JSON, for programs that do not speak nft.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ChainDef, NftRuleset, SetDef, text};

/// The whole table: sets with their elements, chains with their rules, all as nft words them.
#[must_use]
pub fn ruleset(ruleset: &dyn NftRuleset) -> Value {
    let table = ruleset.table();
    let sets = ruleset.sets();
    let mut elements: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    ruleset.for_each_element(&mut |name, element| {
        if let Some(set) = sets.iter().find(|set| &*set.name == name) {
            let text = text::element(&set.spec, &element);
            elements.entry(&set.name).or_default().push(text);
        }
    });
    let set = |set: &SetDef| {
        json!({
            "name": &*set.name,
            "comment": &*set.comment,
            "elements": elements.get(&*set.name).cloned().unwrap_or_default(),
        })
    };
    json!({
        "family": table.family.nft_name(),
        "table": &*table.name,
        "sets": sets.iter().map(set).collect::<Vec<_>>(),
        "chains": ruleset.chains().iter().map(chain).collect::<Vec<_>>(),
    })
}

fn chain(chain: &ChainDef) -> Value {
    let hook = chain.hook.as_ref().map(|hook| {
        json!({
            "type": hook.chain_type,
            "hook": text::hook_name(hook),
            "priority": hook.priority,
        })
    });
    json!({
        "name": &*chain.name,
        "base": hook,
        "rules": chain.rules.iter().map(|rule| &*rule.text).collect::<Vec<_>>(),
    })
}
