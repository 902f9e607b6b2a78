//! Objects that are defined more than once, in one file or in several.
//!
//! Must not look at files that did not change unless something is wrong.

use std::collections::{HashMap, HashSet};

use super::super::collect::twice;
use super::super::problem::{ManifestError, Origin};
use super::LiveManifests;
use super::file::{Entry, FileKey, Held, ObjectKey, Patch};
use super::stage::{Stage, Staged};

impl LiveManifests {
    /// Finds objects that are now defined more than once.
    pub(super) fn find_twice(&self, stage: &mut Stage) {
        let staged = &stage.staged;
        let going: HashSet<ObjectKey> = staged.removed.iter().map(Held::key).collect();
        let mut coming: HashSet<&ObjectKey> = HashSet::with_capacity(staged.added_keys.len());
        let twice: HashSet<ObjectKey> = staged
            .added_keys
            .iter()
            .filter(|key| {
                !coming.insert(key) || (self.owned.contains(*key) && !going.contains(*key))
            })
            .cloned()
            .collect();
        if !twice.is_empty() {
            let errors = self.twice(&twice, staged);
            stage.errors.extend(errors);
        }
    }

    /// The errors about these objects. Looks at all files, but only where something is wrong.
    fn twice(&self, keys: &HashSet<ObjectKey>, staged: &Staged) -> Vec<(FileKey, ManifestError)> {
        let unchanged = self.files.keys();
        let unchanged = unchanged.filter(|key| !staged.files.contains_key(key));
        let changed = staged.files.iter().filter(|(_, file)| file.is_some());
        let mut files: Vec<&FileKey> = unchanged.chain(changed.map(|(key, _)| key)).collect();
        files.sort();
        let whole = |before: &[Entry]| Patch {
            front: before.len(),
            ..Patch::default()
        };
        let mut first: HashMap<ObjectKey, Origin> = HashMap::new();
        let mut errors = Vec::new();
        for key in files {
            let before = self.files.get(key);
            let before = before.map_or(&[][..], |file| &file.documents);
            let same;
            let patch = match staged.files.get(key) {
                Some(Some(file)) => &file.patch,
                _ => {
                    same = whole(before);
                    &same
                }
            };
            for (at, held) in patch.documents(before) {
                for held in held.iter().filter(|held| keys.contains(&held.key())) {
                    let origin = Origin {
                        file: self.name(key),
                        document: Some(at.number),
                        item: held.item(),
                    };
                    if let Some(first) = first.get(&held.key()) {
                        let error = twice(held.kind, &held.name, origin, first.clone());
                        errors.push((key.clone(), error));
                    } else {
                        first.insert(held.key(), origin);
                    }
                }
            }
        }
        errors
    }
}
