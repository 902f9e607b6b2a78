//! What validation finds: field errors in the API server's own words, and warnings.
//!
//! Owns the wording (`Invalid value`, `Required value`, … as in apimachinery's `field.Error`) and
//! field paths. Must not decide what is wrong.

use std::fmt;

/// Longest part of a bad value that is repeated in a message, in characters.
const MAX_SHOWN: usize = 200;

/// A field path such as `spec.ports[0].nodePort`, built on the stack and written out only when
/// something is wrong with the field.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A top-level field.
    #[must_use]
    pub fn new(field: &'a str) -> Self {
        Self {
            parent: None,
            step: Step::Field(field),
        }
    }

    /// A field of this one.
    #[must_use]
    pub fn child(&'a self, field: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Field(field),
        }
    }

    /// An entry of this list, counted from 0 as the API does.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// An entry of this map.
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Key(key),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Field(name) if self.parent.is_none() => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{}]", shorten(key)),
        }
    }
}

/// An offending value, ready to be shown: strings quoted, numbers bare, long ones cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// A port with its protocol.
    #[must_use]
    pub fn port(number: i32, protocol: &str) -> Self {
        Self(format!("{{\"port\":{number},\"protocol\":{protocol:?}}}"))
    }
}

impl From<&str> for Shown {
    fn from(value: &str) -> Self {
        Self(format!("{:?}", shorten(value)))
    }
}

impl From<&String> for Shown {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<i32> for Shown {
    fn from(value: i32) -> Self {
        Self(value.to_string())
    }
}

impl From<&Vec<String>> for Shown {
    fn from(value: &Vec<String>) -> Self {
        let quoted: Vec<String> = value.iter().map(|v| format!("{:?}", shorten(v))).collect();
        Self(format!("[{}]", quoted.join(",")))
    }
}

impl From<&serde_json::Value> for Shown {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::String(text) => Self::from(text),
            Value::Array(_) => Self("[…]".to_owned()),
            Value::Object(_) => Self("{…}".to_owned()),
            other => Self(other.to_string()),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cuts a value so that a message stays a line, not a page.
pub(in crate::source) fn shorten(value: &str) -> std::borrow::Cow<'_, str> {
    match value.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]).into(),
        None => value.into(),
    }
}

/// What is wrong with a field (apimachinery's `field.ErrorType` with its arguments).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The field is missing or empty.
    Required(String),
    /// The value is malformed or out of bounds.
    Invalid(Shown, String),
    /// The value is none of an enumeration's.
    NotSupported(Shown, Vec<String>),
    /// The value occurs a second time where it must be unique.
    Duplicate(Shown),
    /// The field cannot be set under these conditions.
    Forbidden(String),
    /// The value is too long to be shown.
    TooLong(String),
    /// The list has too many entries: how many, how many it may have.
    TooMany(usize, usize),
    /// Anything else, in words of our own.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = |f: &mut fmt::Formatter<'_>, text: &str| {
            if text.is_empty() {
                Ok(())
            } else {
                write!(f, ": {text}")
            }
        };
        match self {
            Self::Required(text) => {
                f.write_str("Required value")?;
                detail(f, text)
            }
            Self::Invalid(value, text) => {
                write!(f, "Invalid value: {value}")?;
                detail(f, text)
            }
            Self::NotSupported(value, supported) => {
                let quoted: Vec<String> = supported.iter().map(|v| format!("{v:?}")).collect();
                write!(f, "Unsupported value: {value}")?;
                write!(f, ": supported values: {}", quoted.join(", "))
            }
            Self::Duplicate(value) => write!(f, "Duplicate value: {value}"),
            Self::Forbidden(text) => {
                f.write_str("Forbidden")?;
                detail(f, text)
            }
            Self::TooLong(text) => {
                f.write_str("Too long")?;
                detail(f, text)
            }
            Self::TooMany(actual, most) => {
                write!(f, "Too many: {actual}: must have at most {most} items")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldError {
    /// Path of the field, such as `spec.ports[0].port`.
    pub field: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Everything found in one object.
#[derive(Debug, Default)]
pub struct Findings {
    /// What makes the object unusable.
    pub errors: Vec<FieldError>,
    /// What its author should know (the API server's `Warning:` headers).
    pub warnings: Vec<String>,
    /// Refuse what is otherwise only warned about: unknown fields and sloppy addresses.
    pub strict: bool,
}

impl Findings {
    /// Nothing found yet.
    #[must_use]
    pub fn new(strict: bool) -> Self {
        Self {
            strict,
            ..Self::default()
        }
    }

    /// Records an error.
    pub fn push(&mut self, field: &Path<'_>, reason: Reason) {
        self.errors.push(FieldError {
            field: field.to_string(),
            reason,
        });
    }

    /// Records a malformed value.
    pub fn invalid(
        &mut self,
        field: &Path<'_>,
        value: impl Into<Shown>,
        detail: impl Into<String>,
    ) {
        self.push(field, Reason::Invalid(value.into(), detail.into()));
    }

    /// Records each message about a malformed value; none means it is well-formed.
    pub fn invalid_each(&mut self, field: &Path<'_>, value: &str, messages: Vec<String>) {
        for message in messages {
            self.invalid(field, value, message);
        }
    }

    /// Records a missing value.
    pub fn required(&mut self, field: &Path<'_>, detail: &str) {
        self.push(field, Reason::Required(detail.to_owned()));
    }

    /// Records a field that may not be set here.
    pub fn forbidden(&mut self, field: &Path<'_>, detail: &str) {
        self.push(field, Reason::Forbidden(detail.to_owned()));
    }

    /// Records a value that must be unique and is not.
    pub fn duplicate(&mut self, field: &Path<'_>, value: impl Into<Shown>) {
        self.push(field, Reason::Duplicate(value.into()));
    }

    /// Records an error unless the value is one of the (sorted) supported ones.
    pub fn one_of(&mut self, field: &Path<'_>, value: &str, supported: &[&str]) {
        if !supported.contains(&value) {
            let supported = supported.iter().map(|&v| v.to_owned()).collect();
            self.push(field, Reason::NotSupported(value.into(), supported));
        }
    }

    /// Records a number outside `low..=high`.
    pub fn in_range(&mut self, field: &Path<'_>, value: i32, low: i32, high: i32) {
        if !(low..=high).contains(&value) {
            let detail = format!("must be between {low} and {high}, inclusive");
            self.invalid(field, value, detail);
        }
    }

    /// Records something that is no error, as the API server says it.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_the_api_server_writes_them() {
        let spec = Path::new("spec");
        let ports = spec.child("ports");
        let port = ports.index(2);
        assert_eq!(port.child("nodePort").to_string(), "spec.ports[2].nodePort");
        let meta = Path::new("metadata");
        assert_eq!(
            meta.child("labels").key("a.b/c").to_string(),
            "metadata.labels[a.b/c]"
        );
    }

    #[test]
    fn long_values_are_cut() {
        let mut findings = Findings::new(false);
        let value = "x".repeat(100_000);
        findings.invalid(&Path::new("kind"), value.as_str(), "no");
        assert!(findings.errors[0].to_string().len() < 300);
    }
}
