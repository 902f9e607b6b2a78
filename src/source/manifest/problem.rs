//! What can be wrong with manifests, and where.
//!
//! Owns the one-line form of errors and notes: file, document, list item, object, field, reason.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::source::api::{FieldError, Reason};

/// Where in the input something is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file as it was named or found, `stdin` for `-`.
    pub file: Arc<str>,
    /// Document in the file, counted from 1; `None` for the file as a whole.
    pub document: Option<u32>,
    /// Item of a `List`, counted from 1.
    pub item: Option<u32>,
}

impl Origin {
    /// A whole file.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            document: None,
            item: None,
        }
    }
}

/// `services.yaml: document 2`, `dump.json: document 1: item 7`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
        if let Some(item) = self.item {
            write!(f, ": item {item}")?;
        }
        Ok(())
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A path of the input leads nowhere.
    #[error("{0}")]
    Path(PathProblem),
    /// Opening or reading failed.
    #[error("cannot {action}: {error}")]
    Io {
        /// What was tried: `open`, `read`.
        action: &'static str,
        /// The kernel's words. Part of the line, hence not the `source()`.
        error: io::Error,
    },
    /// The text of a document cannot be read as text.
    #[error("{0}")]
    Text(TextProblem),
    /// The parser gave up; the message holds line and column in the file.
    #[error("not valid {format}: {message}")]
    Syntax {
        /// `YAML` or `JSON`.
        format: &'static str,
        /// The parser's words.
        message: String,
    },
    /// The document is not an API object at all.
    #[error("not a Kubernetes object: expected a mapping with apiVersion and kind, found {0}")]
    NotAnObject(&'static str),
    /// A field is wrong.
    #[error(transparent)]
    Field(FieldError),
    /// An object of the same kind, namespace and name came earlier.
    #[error("defined twice: first in {0}")]
    Twice(Origin),
}

/// Why a path of the input cannot be read from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// No such file.
    #[error("no such file or directory")]
    Missing,
    /// A glob pattern that is malformed.
    #[error("not a valid pattern: {0}")]
    Pattern(String),
    /// A glob pattern that matches nothing.
    #[error("the pattern matches no file")]
    NoMatch,
    /// A directory without a manifest.
    #[error("no files in this directory end in .json, .yaml or .yml{0}")]
    NoManifests(&'static str),
    /// A pipe, socket or device.
    #[error("is a {0}, not a file; pipe into - to read a stream")]
    NotAFile(&'static str),
    /// A URL, which kubectl would fetch.
    #[error("is a URL; fetch it first and give the file, or pipe it into -")]
    Url,
    /// `-` given twice.
    #[error("standard input can be read only once")]
    StdinTwice,
}

/// Why a document's bytes are no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// Over the limit for one document.
    #[error("larger than {} MiB, the most one document may have", .0 >> 20)]
    TooLarge(usize),
    /// A NUL byte.
    #[error("binary data, not text: line {0} holds a NUL byte")]
    Binary(u64),
    /// Not UTF-8.
    #[error("not UTF-8 text: line {0} holds the byte 0x{1:02x}")]
    NotUtf8(u64, u8),
    /// UTF-16, as some editors on Windows save.
    #[error("UTF-16 text: save it as UTF-8")]
    Utf16,
    /// Nested so deep that it can only be an attack or an accident.
    #[error("line {0}: nested deeper than {1} levels")]
    TooDeep(u64, usize),
    /// So many values that parsing would take more memory than any manifest needs.
    #[error("more than {0} values in one document; split it with --- or into List items")]
    TooMany(usize),
    /// So much text behind aliases that it would fill the memory.
    #[error("more than {} MiB of text in one document after aliases are expanded", .0 >> 20)]
    TooMuch(usize),
}

/// One thing wrong with the input.
#[derive(Debug)]
pub struct ManifestError {
    /// Where it is.
    pub origin: Origin,
    /// The object it is in, such as `Service default/web`, as far as that could be read.
    pub object: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl ManifestError {
    pub(super) fn new(origin: Origin, problem: Problem) -> Self {
        Self {
            origin,
            object: None,
            problem,
        }
    }

    pub(super) fn field(
        origin: Origin,
        object: Option<String>,
        field: &str,
        reason: Reason,
    ) -> Self {
        let field = field.to_owned();
        let problem = Problem::Field(FieldError { field, reason });
        Self {
            origin,
            object,
            problem,
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for ManifestError {}

/// Everything wrong with the input of one run, in the order of the input; never empty.
#[derive(Debug)]
pub struct ManifestErrors {
    /// The errors.
    pub errors: Vec<ManifestError>,
    /// Errors left out because there were too many to be of use.
    pub omitted: usize,
    /// What was noted before and between them.
    pub notes: Vec<Note>,
}

/// One line an error.
impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\n… and {} more errors", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}

/// Something the author of a manifest should know, and no reason to refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it is.
    pub origin: Origin,
    /// The object it is about, such as `Service default/web`.
    pub object: Option<String>,
    /// What there is to know.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.text)
    }
}
