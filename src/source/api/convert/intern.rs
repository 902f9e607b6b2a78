//! Strings that occur over and over (namespaces, node names, zones, port names), kept once.

use std::collections::HashSet;
use std::sync::Arc;

/// A set of shared strings.
#[derive(Debug, Default)]
pub struct Interner {
    strings: HashSet<Arc<str>>,
}

impl Interner {
    /// The shared form of a string.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.strings.get(text) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = text.into();
        self.strings.insert(Arc::clone(&shared));
        shared
    }

    /// The shared form of a string that is there and not empty.
    pub fn intern_some(&mut self, text: Option<&str>) -> Option<Arc<str>> {
        text.filter(|text| !text.is_empty())
            .map(|text| self.intern(text))
    }

    /// How many strings are shared.
    #[must_use]
    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// No string is shared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }

    /// Drops the strings that nobody else holds.
    pub fn forget_unused(&mut self) {
        self.strings.retain(|text| Arc::strong_count(text) > 1);
        self.strings.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_one() {
        let mut interner = Interner::default();
        let (a, b) = (interner.intern("node-1"), interner.intern("node-1"));
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(interner.intern_some(Some("")), None);
    }
}
