//! Differences as JSON: what `diff -o json` and `verify -o json` print.

use serde::Serialize;

use crate::plan::diff::{ChangeKind, Changes, Deviation, DeviationKind};

/// All changes of one family.
#[derive(Debug, Serialize)]
pub struct ChangesJson<'a> {
    family: &'static str,
    services: Vec<ServiceJson<'a>>,
    chains: Vec<ChainJson<'a>>,
}

#[derive(Debug, Serialize)]
struct ServiceJson<'a> {
    name: &'a str,
    change: &'static str,
}

#[derive(Debug, Serialize)]
struct ChainJson<'a> {
    table: &'static str,
    name: &'a str,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    rules: Vec<RuleJson<'a>>,
}

#[derive(Debug, Serialize)]
struct RuleJson<'a> {
    change: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
}

/// One deviation.
#[derive(Debug, Serialize)]
pub struct DeviationJson<'a> {
    family: &'static str,
    table: &'static str,
    chain: &'a str,
    deviation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
}

/// The changes of one family as a value to serialize.
#[must_use]
pub fn changes(changes: &Changes) -> ChangesJson<'_> {
    let services = changes.services.iter();
    let chains = changes.chains.iter();
    ChangesJson {
        family: changes.family.nft_name(),
        services: services
            .map(|s| ServiceJson {
                name: &s.service,
                change: change_name(s.kind),
            })
            .collect(),
        chains: chains
            .map(|c| ChainJson {
                table: c.table.name(),
                name: &c.chain,
                change: change_name(c.kind),
                service: c.service.as_deref(),
                rules: c
                    .lines
                    .iter()
                    .map(|line| RuleJson {
                        change: if line.added { "added" } else { "deleted" },
                        text: &line.text,
                        service: line.service.as_deref(),
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// A deviation as a value to serialize.
#[must_use]
pub fn deviation(deviation: &Deviation) -> DeviationJson<'_> {
    DeviationJson {
        family: deviation.family.nft_name(),
        table: deviation.table.name(),
        chain: &deviation.chain,
        deviation: match deviation.kind {
            DeviationKind::MissingChain => "missing-chain",
            DeviationKind::LeftoverChain => "leftover-chain",
            DeviationKind::MissingRule => "missing-rule",
            DeviationKind::ExtraRule => "extra-rule",
            DeviationKind::DifferentRule => "different-rule",
            DeviationKind::WrongOrder => "wrong-order",
            DeviationKind::MissingJump => "missing-jump",
        },
        position: deviation.position,
        expected: deviation.expected.as_deref(),
        found: deviation.found.as_deref(),
    }
}

fn change_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Deleted => "deleted",
    }
}
