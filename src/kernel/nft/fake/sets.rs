//! Sets of the in-memory nf_tables.
//!
//! Owns what the kernel refuses about sets and elements. Not modelled: intervals that overlap,
//! timeouts, and what packets do to a set.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use nix::errno::Errno;

use super::ruleset::{Effect, Result};
use crate::plan::expr::{Expr, RuleBody};
use crate::plan::op::{Element, SetSpec};

/// `NFT_SET_ANONYMOUS`.
const ANONYMOUS: u32 = 0x1;
/// `NFT_SET_CONSTANT`.
const CONSTANT: u32 = 0x2;
/// `NFT_SET_INTERVAL`.
const INTERVAL: u32 = 0x4;
/// `NFT_SET_MAP`.
const MAP: u32 = 0x8;
/// `NFT_SET_TIMEOUT`.
const TIMEOUT: u32 = 0x10;
/// `NFT_DATA_VALUE_MAXLEN`.
const DATA_MAX: u32 = 64;

/// A key, and whether it ends an interval.
type Key = (Box<[u8]>, bool);

/// A set or map.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// Its handle.
    pub(super) handle: u64,
    /// What it is.
    pub(super) spec: SetSpec,
    /// Shared with the state before a transaction until the first change.
    elements: Arc<BTreeMap<Key, Element>>,
}

impl Set {
    /// An empty set.
    pub(super) fn new(handle: u64, spec: &SetSpec) -> Result<Self> {
        let key_fits = (1..=DATA_MAX).contains(&spec.key_len);
        let data_fits = spec
            .data
            .is_none_or(|(_, len)| (1..=DATA_MAX).contains(&len));
        if !key_fits || !data_fits || spec.data.is_some() != (spec.flags & MAP != 0) {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            handle,
            spec: spec.clone(),
            elements: Arc::default(),
        })
    }

    /// Whether adding a set as `spec` says finds this one fit; size and user data do not matter.
    pub(super) fn fits(&self, spec: &SetSpec) -> bool {
        let of = |spec: &SetSpec| (spec.flags, spec.key_type, spec.key_len, spec.data);
        of(&self.spec) == of(spec)
    }

    /// Its elements.
    pub(super) fn elements(&self) -> impl ExactSizeIterator<Item = &Element> {
        self.elements.values()
    }

    /// The element with a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Element> {
        self.elements.get(&(key.into(), false))
    }

    /// Whether it belongs to the one rule that uses it, and goes with it.
    pub(super) fn is_anonymous(&self) -> bool {
        self.spec.flags & ANONYMOUS != 0
    }

    /// Whether its elements may not change once a rule refers to it.
    pub(super) fn is_constant(&self) -> bool {
        self.spec.flags & CONSTANT != 0
    }

    /// Adds elements.
    pub(super) fn add(&mut self, new: &[Element]) -> Result<Effect> {
        let size = self.spec.size.and_then(|size| usize::try_from(size).ok());
        let mut effect = Effect::Nothing;
        for element in new {
            self.check(element)?;
            let elements = Arc::make_mut(&mut self.elements);
            let full = size.is_some_and(|size| elements.len() >= size);
            match elements.entry(key(element)) {
                Entry::Occupied(old) if old.get().data == element.data => {}
                Entry::Occupied(_) => return Err(Errno::EEXIST),
                Entry::Vacant(_) if full => return Err(Errno::ENFILE),
                Entry::Vacant(place) => {
                    place.insert(element.clone());
                    effect = Effect::Changed;
                }
            }
        }
        Ok(effect)
    }

    /// Deletes elements.
    pub(super) fn delete(&mut self, old: &[Element]) -> Result<Effect> {
        for element in old {
            self.check_key(element)?;
            let elements = Arc::make_mut(&mut self.elements);
            elements.remove(&key(element)).ok_or(Errno::ENOENT)?;
        }
        Ok(if old.is_empty() {
            Effect::Nothing
        } else {
            Effect::Changed
        })
    }

    fn check(&self, element: &Element) -> Result<()> {
        self.check_key(element)?;
        let wanted = self.spec.data.filter(|_| !element.interval_end);
        let wanted = wanted.map(|(_, len)| usize::try_from(len).unwrap_or(usize::MAX));
        if element.data.as_ref().map(|data| data.len()) != wanted {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn check_key(&self, element: &Element) -> Result<()> {
        let len = u32::try_from(element.key.len()).unwrap_or(u32::MAX);
        let misplaced_end = element.interval_end && self.spec.flags & INTERVAL == 0;
        if len != self.spec.key_len || misplaced_end {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Whether an expression may use the set as it does.
    pub(super) fn check_user(&self, expr: &Expr) -> Result<()> {
        let map = self.spec.flags & MAP != 0;
        match expr {
            Expr::Lookup {
                dreg: Some(_), not, ..
            } if *not || !map => Err(Errno::EINVAL),
            Expr::Dynset { data, .. } if data.is_some() && !map => Err(Errno::EINVAL),
            Expr::Dynset { timeout_ms, .. }
                if *timeout_ms != 0 && self.spec.flags & TIMEOUT == 0 =>
            {
                Err(Errno::EOPNOTSUPP)
            }
            _ => Ok(()),
        }
    }
}

fn key(element: &Element) -> Key {
    (element.key.clone(), element.interval_end)
}

/// Expressions of a rule that use a set, with the set's name.
pub(super) fn users(body: &RuleBody) -> impl Iterator<Item = (&str, &Expr)> {
    body.exprs.iter().filter_map(|expr| match expr {
        Expr::Lookup { set, .. } | Expr::Dynset { set, .. } => Some((&**set, expr)),
        _ => None,
    })
}
