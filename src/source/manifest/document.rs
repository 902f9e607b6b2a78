//! One document into objects: JSON or YAML, a single object or a list of them.
//!
//! Pure: text in, outcomes out, so that documents can be read side by side. Must not compare
//! objects of different documents.

use std::sync::Arc;

use serde_json::Value;

use super::documents::Document;
use super::guard;
use super::items::{Pieces, cut};
use super::kind::{Identity, Kind, describe, identify, value_kind};
use super::object::{Object, ObjectReader, TWICE};
use super::problem::{ManifestError, Note, Origin, Problem};
use super::tree::{Shape, Tree, parse_json, parse_yaml};
use crate::source::api::Reason;
use crate::source::api::convert::Interner;

/// Lists inside of lists: kubectl flattens them, nobody writes more than one.
const MAX_LIST_DEPTH: usize = 4;

/// What one document held.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) objects: Vec<(Origin, Object)>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) errors: Vec<ManifestError>,
    pub(super) notes: Vec<Note>,
}

/// An object of a kind that is not read.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) origin: Origin,
    pub(super) kind: String,
    pub(super) object: String,
}

/// Reads the documents of one file.
pub(super) struct DocumentReader<'a> {
    pub(super) file: Arc<str>,
    pub(super) strict: bool,
    pub(super) names: &'a mut Interner,
}

impl DocumentReader<'_> {
    /// Everything in one document.
    pub(super) fn read(&mut self, document: &Document) -> Contents {
        let origin = Origin {
            file: Arc::clone(&self.file),
            document: Some(document.number),
            item: None,
        };
        if document.text.trim_start().starts_with('{') {
            match self.json(document, &origin) {
                Ok(contents) => return contents,
                // Braces also open YAML's flow mappings.
                Err(problem) if is_json(&document.text) => return failed(origin, problem),
                Err(_) => {}
            }
        }
        if let Some(pieces) = cut(&document.text)
            && let Ok(contents) = self.pieces(document, &pieces, &origin)
        {
            return contents;
        }
        let whole = guard::check(&document.text, document.first_line)
            .map_err(Problem::Text)
            .and_then(|()| self.yaml(document, &origin));
        whole.unwrap_or_else(|problem| failed(origin, problem))
    }

    fn json(&mut self, document: &Document, origin: &Origin) -> Result<Contents, Problem> {
        let mut list = ListReader::new(self, origin);
        let mut sink = |number, tree| list.item(number, tree);
        let frame = parse_json(&document.text, document.first_line, &mut sink)?;
        Ok(list.finish(frame))
    }

    fn yaml(&mut self, document: &Document, origin: &Origin) -> Result<Contents, Problem> {
        let mut list = ListReader::new(self, origin);
        let mut sink = |number, tree| list.item(number, tree);
        let frame = parse_yaml(
            &document.text,
            document.first_line,
            Shape::Document,
            &mut sink,
        )?;
        Ok(list.finish(frame))
    }

    fn pieces(
        &mut self,
        document: &Document,
        pieces: &Pieces<'_>,
        origin: &Origin,
    ) -> Result<Contents, Problem> {
        let mut list = ListReader::new(self, origin);
        guard::check(&pieces.frame, document.first_line).map_err(Problem::Text)?;
        let mut no_items = |_, _| {};
        let frame = parse_yaml(
            &pieces.frame,
            document.first_line,
            Shape::Document,
            &mut no_items,
        )?;
        for (number, (line, text)) in (1..).zip(&pieces.items) {
            let first_line = document.first_line + line;
            guard::check(text, first_line).map_err(Problem::Text)?;
            let tree = parse_yaml(text, first_line, Shape::Item, &mut no_items)?;
            list.item(number, tree);
        }
        Ok(list.finish(frame))
    }
}

fn failed(origin: Origin, problem: Problem) -> Contents {
    Contents {
        errors: vec![ManifestError::new(origin, problem)],
        ..Contents::default()
    }
}

fn is_json(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_none_or(|inside| inside.is_empty() || inside.starts_with(['"', '}']))
}

/// Reads items as they come; what they are items of is known only at the end, since kubectl
/// prints `kind: List` after the items.
struct ListReader<'r, 'a> {
    reader: &'r mut DocumentReader<'a>,
    origin: &'r Origin,
    contents: Contents,
    /// Items that leave their kind to the list.
    waiting: Vec<(u32, Tree)>,
    items: u32,
}

impl<'r, 'a> ListReader<'r, 'a> {
    fn new(reader: &'r mut DocumentReader<'a>, origin: &'r Origin) -> Self {
        Self {
            reader,
            origin,
            contents: Contents::default(),
            waiting: Vec::new(),
            items: 0,
        }
    }

    fn item(&mut self, number: u32, tree: Tree) {
        self.items = number;
        if tree.value.is_object() && tree.value.get("kind").is_none() {
            self.waiting.push((number, tree));
            return;
        }
        self.object(number, tree, None);
    }

    fn object(&mut self, number: u32, tree: Tree, of_list: Option<Kind>) {
        let origin = Origin {
            item: Some(number),
            ..self.origin.clone()
        };
        read_object(self.reader, &origin, tree, of_list, 1, &mut self.contents);
    }

    /// All that the document held, now that its frame is known.
    fn finish(mut self, frame: Tree) -> Contents {
        if frame.value.is_null() && self.items == 0 {
            return self.contents;
        }
        match identify(&frame.value, None) {
            Ok(Identity::List(of_list)) => {
                for (number, tree) in std::mem::take(&mut self.waiting) {
                    self.object(number, tree, of_list);
                }
                for field in &frame.duplicates {
                    let reason = Reason::Other(TWICE.to_owned());
                    let error = ManifestError::field(self.origin.clone(), None, field, reason);
                    self.contents.errors.push(error);
                }
                // Items that had to wait are behind those that had not.
                self.contents.errors.sort_by_key(|error| error.origin.item);
                self.contents
            }
            // `items` is just a field of some other kind.
            _ => {
                let mut contents = Contents::default();
                read_object(self.reader, self.origin, frame, None, 0, &mut contents);
                contents
            }
        }
    }
}

/// Reads one object into the contents, or the objects of a list within a list.
fn read_object(
    reader: &mut DocumentReader<'_>,
    origin: &Origin,
    mut tree: Tree,
    of_list: Option<Kind>,
    depth: usize,
    contents: &mut Contents,
) {
    if !tree.value.is_object() {
        let problem = Problem::NotAnObject(value_kind(&tree.value));
        contents
            .errors
            .push(ManifestError::new(origin.clone(), problem));
        return;
    }
    match identify(&tree.value, of_list) {
        Ok(Identity::Known(kind)) => {
            let mut objects = ObjectReader {
                strict: reader.strict,
                names: reader.names,
            };
            let outcome = objects.read(kind, tree, origin);
            contents.errors.extend(outcome.errors);
            contents.notes.extend(outcome.notes);
            contents
                .objects
                .extend(outcome.object.map(|object| (origin.clone(), object)));
        }
        Ok(Identity::List(of_list)) if depth < MAX_LIST_DEPTH => {
            let items = tree.value.get_mut("items").map(Value::take);
            let Some(Value::Array(items)) = items else {
                return;
            };
            for value in items {
                let tree = Tree {
                    value,
                    duplicates: Vec::new(),
                };
                read_object(reader, origin, tree, of_list, depth + 1, contents);
            }
        }
        Ok(Identity::List(_)) => {
            let reason = Reason::Other(format!("lists nested deeper than {MAX_LIST_DEPTH}"));
            let error = ManifestError::field(origin.clone(), None, "items", reason);
            contents.errors.push(error);
        }
        Ok(Identity::Other(kind)) => contents.skipped.push(Skipped {
            origin: origin.clone(),
            object: describe(&tree.value, &kind),
            kind,
        }),
        Err(errors) => {
            let kind = tree.value.get("kind").and_then(Value::as_str);
            let object = kind.map(|kind| describe(&tree.value, kind));
            contents
                .errors
                .extend(errors.into_iter().map(|(field, reason)| {
                    ManifestError::field(origin.clone(), object.clone(), field, reason)
                }));
        }
    }
}
