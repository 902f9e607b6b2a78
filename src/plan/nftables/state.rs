//! One side of the comparison: a table with its sets, elements, chains and rules.
//!
//! Filled by visits, from the ruleset or from a dump of the kernel.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::NftRuleset;
use crate::plan::expr::RuleBody;
use crate::plan::op::{Element, Hook, SetSpec, TableRef};

/// What identifies an element in its set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ElementKey {
    /// The key.
    pub key: Box<[u8]>,
    /// It is the first key after an interval.
    pub interval_end: bool,
}

/// The rest of an element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementValue {
    /// Data, in a map.
    pub data: Option<Box<[u8]>>,
    /// Comment.
    pub comment: Option<Arc<str>>,
}

impl ElementValue {
    /// The element that this is the rest of.
    #[must_use]
    pub fn of(&self, key: &ElementKey) -> Element {
        joined(key, self)
    }
}

/// A set or map with its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetState {
    /// What it is.
    pub spec: SetSpec,
    /// Its elements.
    pub elements: HashMap<ElementKey, ElementValue>,
}

impl SetState {
    /// Its elements in the order of their keys.
    #[must_use]
    pub fn sorted(&self) -> Vec<Element> {
        let elements = self.elements.iter();
        let mut elements: Vec<_> = elements.map(|(key, value)| joined(key, value)).collect();
        elements.sort();
        elements
    }
}

/// A chain with its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainState {
    /// Set for a base chain.
    pub hook: Option<Hook>,
    /// Rules in order.
    pub rules: Vec<RuleBody>,
}

/// A table of one family, desired or present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// Which.
    pub table: TableRef,
    /// Sets and maps by name.
    pub sets: BTreeMap<Arc<str>, SetState>,
    /// Chains by name.
    pub chains: BTreeMap<Arc<str>, ChainState>,
    /// Names of the chains in the order in which they were added: base chains last.
    pub chain_order: Vec<Arc<str>>,
    /// What else is wrong with a present table, in words; no desired one has any of it, and no
    /// change but replacing the table puts it right.
    pub flaws: Vec<String>,
}

impl TableState {
    /// An empty table.
    #[must_use]
    pub fn new(table: TableRef) -> Self {
        Self {
            table,
            sets: BTreeMap::new(),
            chains: BTreeMap::new(),
            chain_order: Vec::new(),
            flaws: Vec::new(),
        }
    }

    /// The table that a ruleset asks for.
    #[must_use]
    pub fn of(ruleset: &dyn NftRuleset) -> Self {
        let mut state = Self::new(ruleset.table());
        for set in ruleset.sets() {
            state.add_set(&set.name, set.spec);
        }
        for chain in ruleset.chains() {
            state.add_chain(&chain.name, chain.hook);
            for rule in chain.rules {
                state.add_rule(&chain.name, rule.body);
            }
        }
        ruleset.for_each_element(&mut |set, element| state.add_element(set, element));
        state
    }

    /// Adds a set without elements.
    pub fn add_set(&mut self, name: &str, spec: SetSpec) {
        let elements = HashMap::new();
        self.sets.insert(name.into(), SetState { spec, elements });
    }

    /// Adds a chain without rules.
    pub fn add_chain(&mut self, name: &str, hook: Option<Hook>) {
        let name: Arc<str> = name.into();
        let rules = Vec::new();
        self.chains
            .insert(Arc::clone(&name), ChainState { hook, rules });
        self.chain_order.push(name);
    }

    /// Adds a rule at the end of its chain; one of an unknown chain makes that chain.
    pub fn add_rule(&mut self, chain: &str, rule: RuleBody) {
        if !self.chains.contains_key(chain) {
            self.add_chain(chain, None);
        }
        if let Some(chain) = self.chains.get_mut(chain) {
            chain.rules.push(rule);
        }
    }

    /// Adds an element; nothing happens if its set is unknown.
    pub fn add_element(&mut self, set: &str, element: Element) {
        if let Some(set) = self.sets.get_mut(set) {
            let (key, value) = split(element);
            set.elements.insert(key, value);
        }
    }

    /// How many elements there are.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.sets.values().map(|set| set.elements.len()).sum()
    }
}

/// An element in two parts.
pub(super) fn split(element: Element) -> (ElementKey, ElementValue) {
    let key = ElementKey {
        key: element.key,
        interval_end: element.interval_end,
    };
    let value = ElementValue {
        data: element.data,
        comment: element.comment,
    };
    (key, value)
}

/// An element from its two parts.
pub(super) fn joined(key: &ElementKey, value: &ElementValue) -> Element {
    Element {
        key: key.key.clone(),
        data: value.data.clone(),
        interval_end: key.interval_end,
        comment: value.comment.clone(),
    }
}
