//! The objects of a ruleset as JSON has them.

use serde::Serialize;

/// An object of a ruleset.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Object<'a> {
    Table(Table<'a>),
    Chain(Chain<'a>),
    Rule(Rule<'a>),
}

#[derive(Serialize)]
pub(super) struct Table<'a> {
    pub(super) family: &'a str,
    pub(super) name: &'a str,
}

#[derive(Serialize)]
pub(super) struct Chain<'a> {
    pub(super) family: &'a str,
    pub(super) table: &'a str,
    pub(super) name: &'a str,
    #[serde(flatten)]
    pub(super) base: Option<Base<'a>>,
}

#[derive(Serialize)]
pub(super) struct Base<'a> {
    pub(super) r#type: &'a str,
    pub(super) hook: &'a str,
    pub(super) prio: i32,
    pub(super) policy: &'a str,
}

#[derive(Serialize)]
pub(super) struct Rule<'a> {
    pub(super) family: &'a str,
    pub(super) table: &'a str,
    pub(super) chain: &'a str,
    pub(super) iptables: String,
    pub(super) matches: Vec<Match>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<Target>,
}

/// A condition.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Match {
    Source {
        prefix: String,
        not: bool,
    },
    Destination {
        prefix: String,
        not: bool,
    },
    InInterface {
        name: String,
        not: bool,
    },
    Protocol(String),
    Comment(String),
    Dport(u16),
    Mark {
        value: u32,
        mask: u32,
        not: bool,
    },
    Ctstate {
        states: Vec<&'static str>,
        not: bool,
    },
    SrcType(&'static str),
    DstType(&'static str),
    Probability(f64),
    Recent {
        op: &'static str,
        seconds: Option<u32>,
        name: String,
    },
    Nfacct(String),
}

/// What a rule does.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    Jump(String),
    Return,
    Accept,
    Drop,
    Reject,
    Mark { value: u32, mask: u32 },
    Masquerade { random_fully: bool },
    Dnat(String),
}
