//! What a watcher saw and a live source is to look at again.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// Files and directories that may hold something else than they did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Look at everything again: events were lost, or somebody asked for it.
    pub everything: bool,
    /// Paths as they were spelled to the watcher; whether they still exist is not known.
    pub paths: BTreeSet<PathBuf>,
}

impl Changes {
    /// Everything is to be read again.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            paths: BTreeSet::new(),
        }
    }

    /// Nothing is to be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.paths.is_empty()
    }

    /// Adds what others saw.
    pub fn extend(&mut self, other: Self) {
        self.everything |= other.everything;
        self.paths.extend(other.paths);
    }
}

impl<P: Into<PathBuf>> FromIterator<P> for Changes {
    fn from_iter<T: IntoIterator<Item = P>>(paths: T) -> Self {
        Self {
            everything: false,
            paths: paths.into_iter().map(Into::into).collect(),
        }
    }
}
