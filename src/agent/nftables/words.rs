//! The difference of a table in words: a unified diff by service, and the same as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::comparison::TableComparison;
use crate::agent::backend::FamilyChanges;
use crate::plan::diff::{ChangeKind, ServiceChange};
use crate::plan::nftables::{self, NftRuleset, TableState, text};
use crate::translate::nftables::NftablesRuleset;

/// Puts a comparison into words.
pub(super) fn changes(ruleset: &NftablesRuleset<'_>, table: &TableComparison) -> FamilyChanges {
    let family = table.desired.table.family;
    let plan = table.plan();
    let present = table.present.as_ref();
    let before = present.map(services_of).unwrap_or_default();
    let after = services_of(&table.desired);
    if plan.creates() || plan.replaces() {
        let services: Vec<_> = before
            .union(&after)
            .map(|name| service_change(name, &before, &after))
            .collect();
        return FamilyChanges {
            family,
            json: whole_json(ruleset, &services, plan.replaces()),
            diff: whole_diff(ruleset, plan.replaces()),
            services,
        };
    }
    let changes = nftables::changes(&plan, present);
    let named = changes.iter().filter(|change| !change.service.is_empty());
    let services = named
        .map(|change| service_change(&change.service, &before, &after))
        .collect::<Vec<_>>();
    FamilyChanges {
        family,
        json: json!({
            "family": family.nft_name(),
            "table": &*table.desired.table.name,
            "services": services_json(&services),
            "elements": changes.iter().map(|change| json!({
                "service": &*change.service,
                "added": change.added,
                "deleted": change.deleted,
            })).collect::<Vec<_>>(),
        }),
        diff: diff(table, &changes),
        services,
    }
}

/// The service ports and Services that comments of front ends name.
fn services_of(state: &TableState) -> BTreeSet<Arc<str>> {
    let sets = [
        "cluster-services",
        "external-services",
        "no-endpoints",
        "no-local-endpoints",
    ];
    let sets = sets.iter().filter_map(|name| state.sets.get(*name));
    let values = sets.flat_map(|set| set.elements.values());
    values.filter_map(|value| value.comment.clone()).collect()
}

fn service_change(
    name: &Arc<str>,
    before: &BTreeSet<Arc<str>>,
    after: &BTreeSet<Arc<str>>,
) -> ServiceChange {
    let kind = match (before.contains(name), after.contains(name)) {
        (false, true) => ChangeKind::Added,
        (true, false) => ChangeKind::Deleted,
        _ => ChangeKind::Changed,
    };
    ServiceChange {
        service: Arc::clone(name),
        kind,
    }
}

fn diff(table: &TableComparison, changes: &[nftables::ServiceChange]) -> String {
    let name = format!(
        "{} {}",
        table.desired.table.family.nft_name(),
        table.desired.table.name
    );
    let mut out = String::new();
    let lines = nftables::object_lines(&table.plan());
    if changes.is_empty() && lines.is_empty() {
        return out;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "--- table {name}\n+++ table {name}");
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    for change in changes {
        let _ = writeln!(out, "@@ {} @@", change.service);
        for line in &change.deleted {
            let _ = writeln!(out, "-{line}");
        }
        for line in &change.added {
            let _ = writeln!(out, "+{line}");
        }
    }
    out
}

fn whole_diff(ruleset: &NftablesRuleset<'_>, replaces: bool) -> String {
    let table = ruleset.table();
    let name = format!("table {} {}", table.family.nft_name(), table.name);
    let mut out = String::new();
    if replaces {
        let _ = writeln!(out, "--- {name} (another layout or configuration)");
    } else {
        let _ = writeln!(out, "--- /dev/null");
    }
    let _ = writeln!(out, "+++ {name}");
    for line in text::ruleset(ruleset).lines() {
        let _ = writeln!(out, "+{line}");
    }
    out
}

fn whole_json(ruleset: &NftablesRuleset<'_>, services: &[ServiceChange], replaces: bool) -> Value {
    let table = ruleset.table();
    json!({
        "family": table.family.nft_name(),
        "table": &*table.name,
        "change": if replaces { "replaced" } else { "added" },
        "services": services_json(services),
    })
}

fn services_json(services: &[ServiceChange]) -> Vec<Value> {
    let word = |kind| match kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Deleted => "deleted",
    };
    services
        .iter()
        .map(|change| json!({ "name": &*change.service, "change": word(change.kind) }))
        .collect()
}
