//! Reading the file strictly, and all of its mistakes at once.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::schema::{FIELDS, Field, Kind, put};
use crate::config::duration;

pub(super) const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
pub(super) const KIND: &str = "KubeProxyConfiguration";

/// Names that are as alike as this are offered instead of an unknown one (Jaro-Winkler, as clap
/// does for flags).
const ALIKE: f64 = 0.8;

/// Something wrong in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The field; empty for the file itself.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Fields that are set, by path. `null` and what stands for a default are not in here.
    pub(super) set: BTreeMap<&'static str, Value>,
}

impl Document {
    /// Reads YAML or JSON. What is right of it is given even if something else is wrong.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Mistake>) {
        let mut reader = Reader::default();
        match single(text) {
            Ok(Value::Object(mut fields)) => {
                reader.type_of(fields.remove("apiVersion"), "apiVersion", API_VERSION);
                reader.type_of(fields.remove("kind"), "kind", KIND);
                reader.object("", fields);
            }
            Ok(_) => reader.wrong("", format!("is no object, but should be a {KIND}")),
            Err(reason) => reader.wrong("", reason),
        }
        (reader.document, reader.mistakes)
    }

    /// What is set, as a nested object.
    #[must_use]
    pub fn as_object(&self) -> Value {
        let mut object = serde_json::json!({});
        for (path, value) in &self.set {
            put(&mut object, path, value.clone());
        }
        object
    }
}

/// The one document of a text.
fn single(text: &str) -> Result<Value, String> {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let first = documents.next().ok_or("is empty")?;
    // Only serde_yaml's own values refuse a field that is there twice.
    let value = serde_yaml::Value::deserialize(first).map_err(|error| error.to_string())?;
    let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    // A closing `---` begins a document with nothing in it.
    if documents.any(|more| !matches!(Value::deserialize(more), Ok(Value::Null))) {
        return Err("holds more than one document".to_owned());
    }
    Ok(value)
}

#[derive(Default)]
struct Reader {
    document: Document,
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn wrong(&mut self, field: &str, reason: impl Into<String>) {
        self.mistakes.push(Mistake {
            field: field.to_owned(),
            reason: reason.into(),
        });
    }

    fn type_of(&mut self, value: Option<Value>, field: &str, expected: &str) {
        match value {
            Some(Value::String(text)) if text == expected => {}
            Some(value) => self.wrong(
                field,
                format!("is {value}, but only \"{expected}\" is known"),
            ),
            None => self.wrong(field, format!("is missing; it should be \"{expected}\"")),
        }
    }

    fn object(&mut self, parent: &str, fields: serde_json::Map<String, Value>) {
        for (name, value) in fields {
            let path = if parent.is_empty() {
                name
            } else {
                format!("{parent}.{name}")
            };
            if let Some(field) = super::schema::find(&path) {
                self.field(field, value);
                continue;
            }
            let inside = format!("{path}.");
            if !FIELDS.iter().any(|field| field.path.starts_with(&inside)) {
                let reason = unknown(&path);
                self.wrong(&path, reason);
                continue;
            }
            match value {
                Value::Object(fields) => self.object(&path, fields),
                Value::Null => {}
                other => self.wrong(&path, format!("is {other}, but should be an object")),
            }
        }
    }

    fn field(&mut self, field: &'static Field, value: Value) {
        match checked(field.kind, value) {
            Ok(Some(value)) => {
                self.document.set.insert(field.path, value);
            }
            Ok(None) => {}
            Err(reason) => self.wrong(field.path, reason),
        }
    }
}

/// The value of a field; `None` if it stands for the default.
fn checked(kind: Kind, value: Value) -> Result<Option<Value>, String> {
    let wrong = |what: &str, value: &Value| Err(format!("is {value}, but should be {what}"));
    match (kind, value) {
        (_, Value::Null) => Ok(None),
        (Kind::Anything, value) => Ok(Some(value)),
        (Kind::Bool, value @ Value::Bool(_)) => Ok(Some(value)),
        (Kind::Bool, value) => wrong("true or false", &value),
        (Kind::Text, Value::String(text)) => Ok((!text.is_empty()).then_some(text.into())),
        (Kind::Text, value) => wrong("text", &value),
        (Kind::Number(least, most), value) => match value.as_i64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(value)),
            Some(number) => Err(format!(
                "is {number}, but should be within {least} and {most}"
            )),
            None => wrong("a whole number", &value),
        },
        (Kind::Duration | Kind::DurationOrZero, Value::String(text)) => match duration(&text) {
            Ok(parsed) if parsed.is_zero() && kind == Kind::Duration => Ok(None),
            Ok(_) => Ok(Some(text.into())),
            Err(reason) => Err(format!("is \"{text}\", but that is {reason}")),
        },
        (Kind::Duration | Kind::DurationOrZero, value) => {
            wrong("a duration such as \"30s\"", &value)
        }
        (Kind::Texts, value @ Value::Array(_)) => {
            let texts = value.as_array().into_iter().flatten();
            if !texts.clone().all(Value::is_string) {
                return wrong("a list of texts", &value);
            }
            Ok((texts.count() > 0).then_some(value))
        }
        (Kind::Texts, value) => wrong("a list of texts", &value),
    }
}

/// Says that there is no such field, and which there are that look like it: in the same place
/// first, then by its own name anywhere.
fn unknown(path: &str) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_lowercase();
    let name = last(path);
    let places = FIELDS.iter().map(|field| field.path);
    let likeness = |known: &str| {
        let whole = strsim::jaro_winkler(&path.to_lowercase(), &known.to_lowercase());
        whole.max(strsim::jaro_winkler(&name, &last(known)))
    };
    let mut near: Vec<(f64, &str)> = places
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = near.iter().take(3).map(|(_, name)| *name).collect();
    if names.is_empty() {
        "is no field of a KubeProxyConfiguration".to_owned()
    } else {
        format!(
            "is no field of a KubeProxyConfiguration; near it are {}",
            names.join(", ")
        )
    }
}

#[cfg(test)]
mod tests;
