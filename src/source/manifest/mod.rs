//! Manifests: what `kubectl apply -f` would take, read into the model.
//!
//! | file | idea |
//! | --- | --- |
//! | `paths` | which files an argument names |
//! | `documents`, `lines`, `items` | a stream into documents, a list into its items |
//! | `extent` | which bytes of the stream are whose |
//! | `guard`, `tree` | text into a value tree, within bounds |
//! | `kind`, `typed`, `object` | a tree into an object of the model |
//! | `document`, `collect` | all objects of a document, of all documents |
//! | `side_by_side` | many documents at once |
//! | `problem` | errors and notes with their places |
//! | [`live`] | manifests that change while they are in use |
//! | [`workloads`] | Deployments and their like, for those who run pods; objects as they were written |
//!
//! Must not allocate addresses or ports, and must not change anything: a set with an error in it
//! is refused as a whole.

mod collect;
mod document;
mod documents;
mod extent;
mod guard;
mod items;
mod kind;
mod lines;
pub mod live;
mod object;
mod paths;
mod problem;
mod side_by_side;
mod tree;
mod typed;
pub mod workloads;

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::sync::Arc;

pub use documents::MAX_DOCUMENT_BYTES;
pub use problem::{ManifestError, ManifestErrors, Note, Origin, PathProblem, Problem, TextProblem};

use collect::Collector;
use document::DocumentReader;
use documents::Documents;
use paths::Input;
use side_by_side::Outcome;

use crate::model::{
    EndpointSlice, NamespacedName, Node, Pod, PodIndex, Service, Snapshot, slices_for_service,
};
use crate::source::api::convert::Interner;

/// Documents of a file that are read before it is worth starting threads for the rest.
const FEW_DOCUMENTS: usize = 64;

/// What to read and how.
#[derive(Clone, Debug, Default)]
pub struct ManifestInput {
    /// As `-f` takes them: files, directories, glob patterns, `-` for standard input.
    pub paths: Vec<String>,
    /// Also read directories below the ones given.
    pub recursive: bool,
    /// Refuse unknown fields and addresses in sloppy forms instead of noting them.
    pub strict: bool,
}

/// The objects of all manifests. Services may still lack addresses and node ports.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Services by namespace and name.
    pub services: BTreeMap<NamespacedName, Service>,
    /// EndpointSlices, and slices mirrored from Endpoints objects, by Service and ordered by name.
    pub slices: BTreeMap<NamespacedName, Vec<EndpointSlice>>,
    /// Nodes by name.
    pub nodes: BTreeMap<Arc<str>, Node>,
    /// Pods in the order of the input.
    pub pods: Vec<Pod>,
    /// What the author should know.
    pub notes: Vec<Note>,
    /// Where each Service was defined.
    pub origins: BTreeMap<NamespacedName, Origin>,
}

impl Manifests {
    /// The state that rules are made from. To be called when addresses are allocated: they tell
    /// the families a Service has.
    ///
    /// Services with a selector get the slices that the cluster's controller would make from the
    /// pods, unless the input brings slices (or Endpoints) for them: those win.
    #[must_use]
    pub fn into_snapshot(self) -> Snapshot {
        let mut slices = self.slices;
        // In the order of their names, so that slices do not depend on which file comes first.
        let mut pods = self.pods;
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let pods = PodIndex::new(&pods);
        for (name, service) in &self.services {
            if service.selector.is_empty() || slices.contains_key(name) {
                continue;
            }
            let made = slices_for_service(service, &pods, &self.nodes);
            if !made.is_empty() {
                slices.insert(name.clone(), made);
            }
        }
        // An Endpoints object without an address: nothing, and no pods instead of it.
        slices.retain(|_, slices| !slices.is_empty());
        Snapshot {
            services: self.services,
            slices,
            nodes: self.nodes,
            ..Snapshot::default()
        }
    }
}

/// Reads all manifests.
///
/// # Errors
///
/// Everything that is wrong in any of them, in the order of the input.
pub fn load(input: &ManifestInput) -> Result<Manifests, ManifestErrors> {
    load_with_stdin(input, std::io::stdin())
}

/// [`load`] with something else as standard input.
///
/// # Errors
///
/// As [`load`].
pub fn load_with_stdin(
    input: &ManifestInput,
    stdin: impl Read,
) -> Result<Manifests, ManifestErrors> {
    let mut loader = Loader {
        strict: input.strict,
        collector: Collector::default(),
        names: Interner::default(),
    };
    let mut stdin = Some(stdin);
    let mut files = HashSet::new();
    for argument in &input.paths {
        for found in paths::expand(argument, input.recursive) {
            match found {
                Ok(Input::Stdin) => match stdin.take() {
                    Some(stdin) => loader.stream(Input::Stdin.name(), stdin),
                    None => {
                        let problem = Problem::Path(PathProblem::StdinTwice);
                        loader.fail(argument, problem);
                    }
                },
                Ok(Input::File(path)) => {
                    // A file named by two arguments is still one file.
                    let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
                    if files.insert(canonical) {
                        loader.file(&path);
                    }
                }
                Err(error) => loader.collector.error(error),
            }
        }
    }
    loader.collector.finish()
}

struct Loader {
    strict: bool,
    collector: Collector,
    names: Interner,
}

impl Loader {
    fn fail(&mut self, file: &str, problem: Problem) {
        self.collector
            .error(ManifestError::new(Origin::file(file), problem));
    }

    fn file(&mut self, path: &std::path::Path) {
        let name = Input::File(path.to_owned()).name();
        match paths::open(path) {
            Ok(file) => self.stream(name, file),
            Err(problem) => self.fail(&name, problem),
        }
    }

    fn stream(&mut self, file: Arc<str>, stream: impl Read) {
        let mut documents = Documents::new(stream);
        let mut found = false;
        // Most files end here; threads would only cost them time.
        for document in documents.by_ref().take(FEW_DOCUMENTS) {
            let mut reader = DocumentReader {
                file: Arc::clone(&file),
                strict: self.strict,
                names: &mut self.names,
            };
            let outcome = document.map(|document| reader.read(&document));
            found |= self.outcome(&file, outcome);
        }
        let threads = side_by_side::threads();
        side_by_side::read(documents, &file, self.strict, threads, |outcome| {
            found |= self.outcome(&file, outcome);
        });
        if !found {
            self.collector
                .note(Origin::file(file), "holds no objects".to_owned());
        }
    }

    /// Adds what came out of a document; false if it held nothing.
    fn outcome(&mut self, file: &Arc<str>, outcome: Outcome) -> bool {
        match outcome {
            Ok(contents) => self.collector.add(contents),
            Err(error) => {
                let mut origin = Origin::file(Arc::clone(file));
                origin.document = error.document;
                self.collector
                    .error(ManifestError::new(origin, error.problem));
                true
            }
        }
    }
}
