//! What is in the kernel, as `iptables`, `nft` and their relatives tell it.

use std::collections::{HashMap, HashSet};

use portolan::kernel::{Socket, nft};
use portolan::plan::nftables::slots;
use serde_json::Value;

use super::netns::Namespace;
use super::program::Mode;

/// An address family, by the programs that speak it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// `iptables` or `ip6tables`, with a suffix such as `-save`.
    pub(crate) fn program(self, suffix: &str) -> String {
        let stem = if self == Self::V4 {
            "iptables"
        } else {
            "ip6tables"
        };
        format!("{stem}{suffix}")
    }

    /// As nft calls it.
    pub(crate) fn nft(self) -> &'static str {
        if self == Self::V4 { "ip" } else { "ip6" }
    }
}

impl Namespace {
    /// `iptables-save` without its remarks, which carry the date, and without counters.
    pub(crate) fn saved(&self, family: Family) -> String {
        let text = self.run(&family.program("-save"), &[]);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(without_counters)
            .collect()
    }

    /// Both families' [`saved`](Self::saved) texts.
    pub(crate) fn saved_both(&self) -> String {
        Family::BOTH.map(|family| self.saved(family)).concat()
    }

    /// Everything that the mode under test keeps in the kernel, as text that is equal whenever
    /// packets meet the same.
    pub(crate) fn rules(&self) -> String {
        match Mode::tested() {
            Mode::Iptables => self.saved_both(),
            Mode::Nftables => Family::BOTH.map(|f| self.portolan_table(f)).concat(),
        }
    }

    /// Table `portolan` without handles, without what packets filled in or counted, elements and
    /// objects sorted, and who has which slot left open. Nothing if there is no such table.
    fn portolan_table(&self, family: Family) -> String {
        let list = ["-s", "-j", "list", "table", family.nft(), "portolan"];
        let listed = self.output("nft", &list);
        if !listed.status.success() {
            return String::new();
        }
        let json: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        let mut rules: HashMap<String, u32> = HashMap::new();
        let mut lines: Vec<String> = Vec::new();
        for object in json["nftables"].as_array().expect("a list") {
            let (kind, body) = object.as_object().and_then(|o| o.iter().next()).unwrap();
            let mut body = body.clone();
            let members = body.as_object_mut().unwrap();
            members.remove("handle");
            let elements = members.remove("elem").unwrap_or_default();
            let name = body["name"].as_str().unwrap_or_default();
            lines.extend(element_lines(name, &elements));
            // Rules have an order in their chain, everything else has none.
            let place = rules.entry(body["chain"].to_string()).or_default();
            *place += u32::from(kind == "rule");
            lines.push(format!("{kind} {} {place:4} {body}", body["chain"]));
        }
        lines.sort();
        lines.join("\n") + "\n"
    }

    /// The number that the kernel gives to each state of nf_tables: equal before and after means
    /// that nobody wrote anything (`NFT_MSG_GETGEN`).
    pub(crate) fn generation(&self) -> u32 {
        self.enter(|| nft::generation(&mut Socket::open().unwrap()).unwrap())
    }

    /// Loads rules beside those that are there (`--noflush`).
    pub(crate) fn restore(&self, family: Family, rules: &str) {
        self.run_with_input(&family.program("-restore"), &["--noflush"], rules);
    }
}

/// Both are [`Namespace::rules`] of the same node.
#[track_caller]
pub(crate) fn assert_same_rules(found: &str, expected: &str) {
    let lines = |text: &str, other: &str| {
        let other: HashSet<_> = other.lines().map(str::to_owned).collect();
        let lines = text.lines().filter(|line| !other.contains(*line));
        lines.collect::<Vec<_>>().join("\n")
    };
    let (more, less) = (lines(found, expected), lines(expected, found));
    assert!(found == expected, "too much:\n{more}\nmissing:\n{less}");
}

fn without_counters(line: &str) -> String {
    let chain = line.strip_prefix(':').and_then(|_| line.split(" [").next());
    chain.unwrap_or(line).to_owned() + "\n"
}

fn element_lines(set: &str, elements: &Value) -> Vec<String> {
    let elements = elements.as_array().map_or(&[][..], Vec::as_slice);
    match set {
        "affinity" => Vec::new(),
        "endpoints" => elements.iter().flat_map(endpoint_lines).collect(),
        _ => elements.iter().map(|e| format!("{set} {e}")).collect(),
    }
}

/// Which slots a front end has, and which endpoints.
fn endpoint_lines(element: &Value) -> [String; 2] {
    let key = element[0]["concat"].as_array().expect("a key");
    let (slot, front_end) = key.split_last().expect("a slot");
    let first = slots::base_of(u32::try_from(slot.as_u64().expect("a number")).unwrap());
    [
        format!("endpoints {front_end:?} has slot {slot}"),
        format!("endpoints {front_end:?} from {first}: {}", element[1]),
    ]
}
