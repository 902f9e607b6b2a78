//! A plan in words: what changes for which service, and what `verify` has to say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::plan::TablePlan;
use super::state::TableState;
use super::text;

/// What changes for one service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceChange {
    /// `namespace/name:port` (or `namespace/name`); empty for elements of no known service.
    pub service: Arc<str>,
    /// Elements that come, as `set: element`.
    pub added: Vec<String>,
    /// Elements that go, as `set: element`.
    pub deleted: Vec<String>,
}

/// The element changes of a plan by service port. `present` names those that go.
#[must_use]
pub fn changes(plan: &TablePlan<'_>, present: Option<&TableState>) -> Vec<ServiceChange> {
    let mut owners = HashMap::new();
    for state in present.into_iter().chain([plan.desired()]) {
        name_front_ends(state, &mut owners);
    }
    let address = text::address_len(plan.desired().table.family);
    let mut services: BTreeMap<Arc<str>, ServiceChange> = BTreeMap::new();
    for change in plan.element_changes() {
        let Some(spec) = set_spec(plan, present, &change.set) else {
            continue;
        };
        let sides = [(&change.deleted, false), (&change.added, true)];
        for (element, added) in sides
            .iter()
            .flat_map(|(e, a)| e.iter().map(move |e| (e, *a)))
        {
            let front_end = element.key.get(..address + 8).unwrap_or_default();
            let owner = element.comment.as_ref().or_else(|| owners.get(front_end));
            let owner = owner.cloned().unwrap_or_default();
            let entry = services.entry(Arc::clone(&owner)).or_default();
            entry.service = owner;
            let line = format!("{}: {}", change.set, text::element(spec, element));
            if added {
                entry.added.push(line);
            } else {
                entry.deleted.push(line);
            }
        }
    }
    services.into_values().collect()
}

/// Sets that come and go, and chains that are written anew, as lines of a diff.
#[must_use]
pub fn object_lines(plan: &TablePlan<'_>) -> Vec<String> {
    let objects = plan.delta().into_iter();
    let added = objects.clone().flat_map(|delta| &delta.add_sets);
    let added = added.map(|(set, _)| format!("+set {set}"));
    let deleted = objects.clone().flat_map(|delta| &delta.delete_sets);
    let deleted = deleted.map(|set| format!("-set {set}"));
    let refilled = objects.flat_map(|delta| &delta.refill);
    let refilled = refilled.map(|(chain, _)| format!("~chain {chain}"));
    deleted.chain(added).chain(refilled).collect()
}

/// How the present table deviates, in the order of importance; empty if it is as desired.
#[must_use]
pub fn deviations(plan: &TablePlan<'_>, present: Option<&TableState>) -> Vec<String> {
    let desired = plan.desired();
    let table = format!(
        "table {} {}",
        desired.table.family.nft_name(),
        desired.table.name
    );
    if plan.creates() {
        return vec![format!("{table}: missing")];
    }
    if let (true, Some(present)) = (plan.replaces(), present) {
        return fixed_deviations(desired, present)
            .into_iter()
            .map(|what| format!("{table}: {what}"))
            .collect();
    }
    let objects = plan.delta().into_iter();
    let missing = objects.clone().flat_map(|delta| &delta.add_sets);
    let missing = missing.map(|(set, _)| format!("set {set}: missing"));
    let foreign = objects.clone().flat_map(|delta| &delta.delete_sets);
    let foreign = foreign.map(|set| format!("set {set}: not wanted"));
    let differ = objects.flat_map(|delta| &delta.refill);
    let differ = differ.map(|(chain, _)| format!("chain {chain}: other rules"));
    let mut lines: Vec<_> = missing.chain(foreign).chain(differ).collect();
    for change in changes(plan, present) {
        let service = if change.service.is_empty() {
            String::new()
        } else {
            format!(" ({})", change.service)
        };
        lines.extend(
            change
                .added
                .iter()
                .map(|e| format!("{e}: missing{service}")),
        );
        lines.extend(
            change
                .deleted
                .iter()
                .map(|e| format!("{e}: not wanted{service}")),
        );
    }
    lines
}

/// Objects of the fixed part that are missing, too many or different.
fn fixed_deviations(desired: &TableState, present: &TableState) -> Vec<String> {
    let mut lines = present.flaws.clone();
    for (name, set) in &desired.sets {
        match present.sets.get(name) {
            None => lines.push(format!("set {name}: missing")),
            Some(other) if other.spec != set.spec => lines.push(format!("set {name}: other type")),
            Some(_) => {}
        }
    }
    let foreign = present
        .sets
        .keys()
        .filter(|n| !desired.sets.contains_key(*n));
    lines.extend(foreign.map(|name| format!("set {name}: not wanted")));
    for (name, chain) in &desired.chains {
        match present.chains.get(name) {
            None => lines.push(format!("chain {name}: missing")),
            Some(other) if other.hook != chain.hook => {
                lines.push(format!("chain {name}: other hook"));
            }
            Some(other) if other.rules != chain.rules => {
                lines.push(format!("chain {name}: other rules"));
            }
            Some(_) => {}
        }
    }
    let foreign = present
        .chains
        .keys()
        .filter(|n| !desired.chains.contains_key(*n));
    lines.extend(foreign.map(|name| format!("chain {name}: not wanted")));
    lines
}

fn set_spec<'a>(
    plan: &'a TablePlan<'_>,
    present: Option<&'a TableState>,
    name: &str,
) -> Option<&'a crate::plan::op::SetSpec> {
    let desired = plan.desired().sets.get(name);
    let set = desired.or_else(|| present?.sets.get(name))?;
    Some(&set.spec)
}

/// Front ends, as the beginning of a key, with the service port in their comment.
fn name_front_ends<'a>(state: &'a TableState, owners: &mut HashMap<&'a [u8], Arc<str>>) {
    for set in [
        "no-endpoints",
        "external-services",
        "cluster-services",
        "virtual-servers",
    ] {
        let elements = state.sets.get(set).into_iter().flat_map(|s| &s.elements);
        for (key, value) in elements {
            if let Some(comment) = &value.comment {
                owners.insert(&key.key, Arc::clone(comment));
            }
        }
    }
}
