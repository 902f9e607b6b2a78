//! Which changes the caller wants to hear of: tables by name, or chains of a table by prefix.
//!
//! Everything else is passed over before anything of it is copied.

use std::sync::Arc;

use super::event::{Event, ObjectKind};
use crate::plan::op::TableRef;

/// Names that nft gives sets without a name of their own begin like this, and no others
/// (`__set%d`, `__map%d`). Such a set comes and goes with its rule.
const NAMELESS: &str = "__";

/// What a monitor tells of.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    tables: Vec<Watched>,
    keys: usize,
}

#[derive(Clone, Debug)]
struct Watched {
    table: TableRef,
    /// Only chains whose names begin like this, and rules that lead to them.
    chains: Option<Box<str>>,
}

impl Interest {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything in a table, and the table itself.
    #[must_use]
    pub fn table(mut self, table: TableRef) -> Self {
        self.tables.push(Watched {
            table,
            chains: None,
        });
        self
    }

    /// In a table shared with other programs: the chains whose names begin with `prefix` and their
    /// rules, rules anywhere that jump or go to such a chain, and the table itself.
    #[must_use]
    pub fn chains(mut self, table: TableRef, prefix: &str) -> Self {
        self.tables.push(Watched {
            table,
            chains: Some(prefix.into()),
        });
        self
    }

    /// Keep the keys of changed elements, of at most `most` per transaction, so that a small change
    /// can be repaired without listing the set.
    #[must_use]
    pub fn keep_keys(mut self, most: usize) -> Self {
        self.keys = most;
        self
    }

    /// How many keys to keep in a transaction.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// The table an event is about, if the event is wanted.
    pub(super) fn wanted(&self, event: &Event<'_>) -> Option<Wanted> {
        let (index, watched) = self.tables.iter().enumerate().find(|(_, watched)| {
            watched.table.family == event.family && *watched.table.name == *event.table
        })?;
        let wanted = match (&watched.chains, event.kind) {
            (_, ObjectKind::Table) => true,
            (None, ObjectKind::Set | ObjectKind::Element) => !event.name.starts_with(NAMELESS),
            (None, _) => true,
            (Some(prefix), ObjectKind::Chain | ObjectKind::Rule) => {
                event.name.starts_with(&**prefix)
                    || event.leads_to(|chain| chain.starts_with(&**prefix))
            }
            (Some(_), _) => false,
        };
        wanted.then(|| Wanted {
            index,
            name: Arc::clone(&watched.table.name),
        })
    }
}

/// The table of a wanted event.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Its number among the tables of interest.
    pub(super) index: usize,
    /// Its name.
    pub(super) name: Arc<str>,
}
