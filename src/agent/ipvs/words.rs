//! Differences in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::comparison::IpvsComparison;
use super::records::Compared;
use crate::agent::backend::FamilyChanges;
use crate::model::IpFamily;
use crate::plan::diff::{ChangeKind, ServiceChange};
use crate::plan::ipvs::Step;
use crate::plan::nftables::{self, TableState, text};
use crate::translate::ipvs::{IpvsSet, IpvsTable};

/// `virtual servers +3 ~0 -1, real servers +9 ~0 -2, addresses +3 -1`.
pub(super) fn summary(steps: &[Step]) -> String {
    let count = |matches: fn(&Step) -> bool| steps.iter().filter(|step| matches(step)).count();
    format!(
        "IPVS: virtual servers +{} ~{} -{}, real servers +{} ~{} -{}, addresses +{} -{}",
        count(|step| matches!(step, Step::AddServer(..))),
        count(|step| matches!(step, Step::SetServer(..))),
        count(|step| matches!(step, Step::DeleteServer(..))),
        count(|step| matches!(step, Step::AddReal(..))),
        count(|step| matches!(step, Step::SetReal(..))),
        count(|step| matches!(step, Step::DeleteReal(..))),
        count(|step| matches!(step, Step::AddAddress(..))),
        count(|step| matches!(step, Step::DeleteAddress(..))),
    )
}

/// The family that a step is about; the device is the first's.
fn family_of(step: &Step) -> IpFamily {
    match step {
        Step::AddAddress(ip) | Step::DeleteAddress(ip) => IpFamily::of(*ip),
        _ => step.server().map_or(IpFamily::V4, |key| key.family()),
    }
}

/// The changes of each family.
pub(super) fn changes(comparison: &IpvsComparison) -> Vec<FamilyChanges> {
    let pairs = comparison.tables.iter().zip(&comparison.compared);
    let changes = pairs.map(|(table, compared)| {
        let family = compared.desired.table.family;
        let steps = comparison.plan.steps.iter();
        let steps: Vec<&Step> = steps.filter(|step| family_of(step) == family).collect();
        let services = services(table, compared, &steps);
        let lines: Vec<_> = steps.iter().map(ToString::to_string).collect();
        FamilyChanges {
            family,
            json: json!({
                "family": family.nft_name(),
                "table": &*compared.desired.table.name,
                "services": services.iter().map(service_json).collect::<Vec<_>>(),
                "ipvs": lines,
            }),
            diff: diff(table, compared, &lines),
            services,
        }
    });
    changes.collect()
}

fn service_json(change: &ServiceChange) -> Value {
    let word = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Deleted => "deleted",
    };
    json!({ "name": &*change.service, "change": word })
}

/// Services that change: by their elements, and by the virtual servers that steps are about.
fn services(table: &IpvsTable, compared: &Compared, steps: &[&Step]) -> Vec<ServiceChange> {
    let after = names(&compared.desired);
    let before = compared.present.as_ref().map(names).unwrap_or_default();
    let mut kinds: BTreeMap<Arc<str>, ChangeKind> = BTreeMap::new();
    let of_steps = steps.iter().filter_map(|step| step.server());
    for name in of_steps.filter_map(|key| table.name_of(&key)) {
        kinds.insert(Arc::clone(name), ChangeKind::Changed);
    }
    for name in after.iter().filter(|name| !before.contains(*name)) {
        kinds.insert(Arc::clone(name), ChangeKind::Added);
    }
    for name in before.iter().filter(|name| !after.contains(*name)) {
        kinds.insert(Arc::clone(name), ChangeKind::Deleted);
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(service, kind)| ServiceChange { service, kind })
        .collect()
}

fn names(state: &TableState) -> std::collections::BTreeSet<Arc<str>> {
    let set = state.sets.get(&*IpvsSet::VirtualServers.name());
    let values = set.into_iter().flat_map(|set| set.elements.values());
    values.filter_map(|value| value.comment.clone()).collect()
}

fn diff(table: &IpvsTable, compared: &Compared, steps: &[String]) -> String {
    let name = &compared.desired.table;
    let name = format!("table {} {}", name.family.nft_name(), name.name);
    let plan = compared.all();
    let mut out = String::new();
    // Writing to a String cannot fail.
    if plan.creates() || plan.replaces() {
        let _ = writeln!(
            out,
            "--- {}",
            if plan.creates() { "/dev/null" } else { &name }
        );
        let _ = writeln!(out, "+++ {name}");
        for line in text::ruleset(table).lines() {
            let _ = writeln!(out, "+{line}");
        }
    } else if !plan.is_empty() {
        let _ = writeln!(out, "--- {name}\n+++ {name}");
        for line in nftables::object_lines(&plan) {
            let _ = writeln!(out, "{line}");
        }
        for change in nftables::changes(&plan, compared.present.as_ref()) {
            let _ = writeln!(out, "@@ {} @@", change.service);
            for line in &change.deleted {
                let _ = writeln!(out, "-{line}");
            }
            for line in &change.added {
                let _ = writeln!(out, "+{line}");
            }
        }
    }
    if !steps.is_empty() {
        let _ = writeln!(out, "--- ipvs\n+++ ipvs");
        for line in steps {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

/// Every deviation, a line each.
pub(super) fn deviations(comparison: &IpvsComparison) -> Vec<String> {
    let tables = comparison.compared.iter();
    let mut lines: Vec<_> = tables
        .flat_map(|table| nftables::deviations(&table.all(), table.present.as_ref()))
        .collect();
    for step in &comparison.plan.steps {
        let object = step.object();
        lines.push(match step.operation() {
            "add" => format!("{object}: missing"),
            "delete" => format!("{object}: not wanted"),
            _ => format!("{object}: differs"),
        });
    }
    lines
}
