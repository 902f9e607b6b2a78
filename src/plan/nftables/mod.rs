//! Table `portolan` of one family: what it should hold, what it holds, and the steps between.
//!
//! [`TableState`] is either side of the comparison; [`TablePlan`] is the difference as steps, and
//! [`TableDelta`] the part of it that leaves the table in place.
//! [`slots`] numbers the endpoints of a front end, [`text`] writes what `nft -f` loads.
//!
//! Knows the names of the layout's two parts that follow values in use, and that the order of
//! slots means nothing. Must not know Services.

mod changes;
mod delta;
pub mod json;
mod order_free;
mod plan;
pub mod slots;
mod state;
pub mod text;
mod whole;

pub use changes::{ServiceChange, changes, deviations, object_lines};
pub use delta::{SetChange, TableDelta};
pub use order_free::deal;
pub use plan::{Counts, TablePlan, plan};
pub use state::{ChainState, ElementKey, ElementValue, SetState, TableState};
pub use whole::whole_table;

use std::sync::Arc;

use super::expr::RuleBody;
use super::op::{Element, Hook, SetSpec, TableRef};

/// The table's comment. A table with another one is of another layout, and is replaced.
pub const COMMENT: &str = "Kubernetes services, layout 1";
/// Name of the table of the IPVS mode.
pub const IPVS_TABLE: &str = "portolan-ipvs";
/// The comment of that one.
pub const IPVS_COMMENT: &str = "Kubernetes services behind IPVS, layout 1";
/// The map of endpoints, whose slots may be dealt out in any order.
pub const ENDPOINTS: &str = "endpoints";
/// The map that packets fill; its elements are never compared.
pub const AFFINITY: &str = "affinity";
/// Sets of source ranges, one per prefix length in use.
pub const SOURCES_PREFIX: &str = "sources-";
/// Sets of endpoints with affinity, one per timeout in use.
pub const AFFINITY_ENDPOINTS_PREFIX: &str = "affinity-endpoints-";
/// Chain with a rule per prefix length in use.
pub const SOURCE_RANGES: &str = "source-ranges";
/// Chain with rules per affinity timeout in use.
pub const REMEMBER_CLIENTS: &str = "remember-clients";

/// A set or map with what `nft` shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDef {
    /// Name.
    pub name: Arc<str>,
    /// What the kernel is told.
    pub spec: SetSpec,
    /// The comment within `spec.userdata`.
    pub comment: Box<str>,
}

/// A rule with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDef {
    /// What the kernel is told.
    pub body: RuleBody,
    /// The rule as `nft` loads it.
    pub text: Box<str>,
}

/// A chain with its rules in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDef {
    /// Name.
    pub name: Arc<str>,
    /// Set for a base chain.
    pub hook: Option<Hook>,
    /// Rules.
    pub rules: Vec<RuleDef>,
}

/// A desired table, from the few objects it always has to the elements of every service.
pub trait NftRuleset {
    /// The table.
    fn table(&self) -> TableRef;
    /// Its comment.
    fn comment(&self) -> &str;
    /// Its sets and maps.
    fn sets(&self) -> Vec<SetDef>;
    /// Its chains, each after those that its rules lead to, base chains last.
    fn chains(&self) -> Vec<ChainDef>;
    /// Visits the elements with the name of their set. Shared elements come once.
    fn for_each_element(&self, visit: &mut dyn FnMut(&str, Element));
}

/// The comment that a table of this name is to have.
#[must_use]
pub fn comment_of(table: &str) -> &'static str {
    if table == IPVS_TABLE {
        IPVS_COMMENT
    } else {
        COMMENT
    }
}

/// The set comes and goes with a value in use.
#[must_use]
pub fn is_variable_set(name: &str) -> bool {
    name.starts_with(SOURCES_PREFIX) || name.starts_with(AFFINITY_ENDPOINTS_PREFIX)
}

/// The rules of the chain follow values in use.
#[must_use]
pub fn is_variable_chain(name: &str) -> bool {
    name == SOURCE_RANGES || name == REMEMBER_CLIENTS
}
