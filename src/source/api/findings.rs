//! What validation finds: field errors in the API server's own words, and warnings.
//!
//! Owns the wording (`Invalid value`, `Required value`, … as in apimachinery's `field.Error`) and
//! field paths. Must not decide what is wrong.

use std::fmt;

use super::shown::{Path, Shown};

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
