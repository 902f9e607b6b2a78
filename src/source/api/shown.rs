//! How fields and values are shown in messages.

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
