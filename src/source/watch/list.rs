//! Which directories have to be watched for a set of arguments: those that manifests are found in,
//! and those on the way to them, since any of these can be replaced under our feet.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::source::manifest::ManifestInput;

/// Links that a path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// What to watch. Cheap to copy and to compare with a copy of itself.
#[derive(Clone, Debug, Default)]
pub struct WatchList(Arc<Lists>);

#[derive(Debug, Default)]
struct Lists {
    directories: BTreeSet<PathBuf>,
    ways: BTreeSet<PathBuf>,
}

impl WatchList {
    /// What to watch for an input, also while nothing of it exists yet.
    #[must_use]
    pub fn of_input(input: &ManifestInput) -> Self {
        let mut lists = Lists::default();
        for argument in input.paths.iter().filter(|argument| *argument != "-") {
            lists.argument(argument, input.recursive);
        }
        Self(Arc::new(lists))
    }

    /// Directories in which everything counts, in the spelling of the arguments.
    #[must_use]
    pub fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.0.directories
    }

    /// Single paths that count: arguments, links, and whatever they lead through. If one of them
    /// changes, any manifest may have.
    #[must_use]
    pub fn ways(&self) -> &BTreeSet<PathBuf> {
        &self.0.ways
    }

    /// The same list, or a copy of it.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Lists {
    fn argument(&mut self, argument: &str, recursive: bool) {
        let path = Path::new(argument);
        if path.is_dir() {
            self.way_to(path);
            self.directory(path, recursive);
        } else if path.exists() || !argument.contains(['*', '?', '[']) {
            self.way_to(path);
        } else {
            self.pattern(path, recursive);
        }
    }

    fn directory(&mut self, path: &Path, recursive: bool) {
        self.directories.insert(path.to_owned());
        let Ok(entries) = fs::read_dir(path) else {
            return;
        };
        for entry in entries.flatten() {
            let Ok(file_type) = entry.file_type() else {
                continue;
            };
            if file_type.is_symlink() {
                self.way_to(&entry.path());
            } else if file_type.is_dir() && recursive {
                self.directory(&entry.path(), true);
            }
        }
    }

    /// Every directory in which something could begin to match.
    fn pattern(&mut self, pattern: &Path, recursive: bool) {
        let is_plain = |component: &Component<'_>| {
            let text = component.as_os_str().to_string_lossy();
            !text.contains(['*', '?', '['])
        };
        let base: PathBuf = pattern.components().take_while(is_plain).collect();
        self.way_to(&base);
        self.directories.insert(base.clone());
        let mut prefix = base.clone();
        for component in pattern.strip_prefix(&base).unwrap_or(pattern).components() {
            prefix.push(component);
            let Ok(found) = glob::glob(&prefix.to_string_lossy()) else {
                return;
            };
            for path in found.flatten() {
                if path.is_symlink() {
                    self.way_to(&path);
                }
                if path.is_dir() {
                    self.directory(&path, recursive && prefix == pattern);
                }
            }
        }
    }

    /// Enters every path whose replacement would make this one lead elsewhere.
    fn way_to(&mut self, path: &Path) {
        let mut way = PathBuf::new();
        let mut ahead: Vec<PathBuf> = components(path);
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            way.push(component);
            self.ways.insert(way.clone());
            let Ok(target) = fs::read_link(&way) else {
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return;
            }
            way.pop();
            ahead.extend(components(&target));
        }
    }
}

/// The parts of a path, last one first.
fn components(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().map(|part| part.as_os_str().into());
    let mut parts: Vec<PathBuf> = parts.collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn list(paths: &[PathBuf], recursive: bool) -> WatchList {
        WatchList::of_input(&ManifestInput {
            paths: paths.iter().map(|p| p.to_string_lossy().into()).collect(),
            recursive,
            strict: false,
        })
    }

    #[test]
    fn the_way_to_a_file_leads_through_every_link() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("versions/2")).unwrap();
        symlink("versions/2", at("current")).unwrap();
        symlink("../../real.yaml", at("versions/2/a.yaml")).unwrap();
        let list = list(&[at("current/a.yaml")], false);
        for on_the_way in ["current", "versions", "versions/2", "versions/2/a.yaml"] {
            assert!(list.ways().contains(&at(on_the_way)), "{on_the_way}");
        }
        assert!(list.ways().contains(&at("versions/2/../../real.yaml")));
        assert!(
            list.ways().contains(home.path()),
            "and the directories above"
        );
        assert!(list.directories().is_empty(), "its neighbours do not count");
    }

    #[test]
    fn links_that_lead_in_a_circle_end() {
        let home = tempfile::tempdir().unwrap();
        symlink("b.yaml", home.path().join("a.yaml")).unwrap();
        symlink("a.yaml", home.path().join("b.yaml")).unwrap();
        let list = list(&[home.path().to_owned()], false);
        assert!(list.ways().contains(&home.path().join("b.yaml")));
    }

    #[test]
    fn directories_below_count_if_they_are_read() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("a/b")).unwrap();
        let count = |recursive| {
            list(&[home.path().to_owned()], recursive)
                .directories()
                .len()
        };
        assert_eq!((count(false), count(true)), (1, 3));
    }

    #[test]
    fn a_pattern_is_watched_where_it_could_begin_to_match() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("x/deep")).unwrap();
        let list = list(&[home.path().join("*/deep/*.yaml")], false);
        let names = ["", "x", "x/deep"].map(|name| home.path().join(name));
        assert!(names.iter().all(|name| list.directories().contains(name)));
    }
}
