//! A value tree into a typed API object, with every type error and every unknown field found, not
//! just the first.
//!
//! Owns the wording of type errors. Must not know what values mean.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::source::api::{FieldError, Reason, Shown};

/// Type errors reported for one object; further ones add nothing.
const MAX_TYPE_ERRORS: usize = 32;

/// What typed parsing found besides the object itself.
#[derive(Debug, Default)]
pub(super) struct Typed<T> {
    /// The object, without the fields that had the wrong type; `None` if it could not be made.
    pub(super) object: Option<T>,
    /// Values of the wrong type.
    pub(super) errors: Vec<FieldError>,
    /// Paths of fields that the type does not have.
    pub(super) unknown: Vec<String>,
}

/// Parses a tree. A value of the wrong type is recorded and taken out, and parsing starts again.
pub(super) fn decode<T: DeserializeOwned>(mut tree: Value) -> Typed<T> {
    let mut errors: Vec<FieldError> = Vec::new();
    while errors.len() < MAX_TYPE_ERRORS {
        let mut unknown = Vec::new();
        let error = match attempt(&tree, &mut unknown) {
            Ok(object) => {
                return Typed {
                    object: Some(object),
                    errors,
                    unknown,
                };
            }
            Err(error) => error,
        };
        let path: Vec<Step> = error.path().iter().filter_map(Step::of).collect();
        let message = error.into_inner().to_string();
        let Some(bad) = find(&mut tree, &path) else {
            errors.push(FieldError {
                field: render(&path),
                reason: Reason::Other(message),
            });
            break;
        };
        if coerce_boolean(bad, &message) {
            continue;
        }
        let reason = reason(bad, &message);
        errors.push(FieldError {
            field: render(&path),
            reason,
        });
        if !take_out::<T>(&mut tree, &path) {
            break;
        }
    }
    Typed {
        object: None,
        errors,
        unknown: Vec::new(),
    }
}

fn attempt<T: DeserializeOwned>(
    tree: &Value,
    unknown: &mut Vec<String>,
) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(tree, &mut track);
    let result = serde_ignored::deserialize(deserializer, |path| {
        let mut text = String::new();
        render_ignored(&path, &mut text);
        unknown.push(text);
    });
    result.map_err(|error| serde_path_to_error::Error::new(track.path(), error))
}

/// One step into a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn of(segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Seq { index } => Some(Self::Index(*index)),
            Segment::Map { key } => Some(Self::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        }
    }
}

fn find<'v>(tree: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(tree, |value, step| match step {
        Step::Key(key) => value.get_mut(key.as_str()),
        Step::Index(index) => value.get_mut(*index),
    })
}

/// Takes the value at a path out of the tree, so that parsing can go on behind it.
///
/// An entry of a list is replaced by an empty value of another kind instead: were it removed, the
/// entries after it would be reported with wrong numbers.
fn take_out<T: DeserializeOwned>(tree: &mut Value, path: &[Step]) -> bool {
    let Some((last, parents)) = path.split_last() else {
        return false;
    };
    if let Step::Key(key) = last {
        let parent = find(tree, parents).and_then(Value::as_object_mut);
        return parent.is_some_and(|parent| parent.remove(key).is_some());
    }
    let stand_ins = [
        Value::Object(serde_json::Map::new()),
        Value::from(""),
        Value::from(0),
    ];
    for stand_in in stand_ins {
        if let Some(entry) = find(tree, path) {
            *entry = stand_in;
        }
        match attempt::<T>(tree, &mut Vec::new()) {
            Ok(_) => return true,
            Err(error) => {
                let next: Vec<Step> = error.path().iter().filter_map(Step::of).collect();
                if next != path {
                    return true;
                }
            }
        }
    }
    false
}

/// YAML 1.1's booleans, which kubectl still reads, where a boolean is wanted.
fn coerce_boolean(value: &mut Value, message: &str) -> bool {
    if !message.contains("expected a boolean") {
        return false;
    }
    let boolean = match value.as_str() {
        Some("yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON") => true,
        Some("no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF") => false,
        _ => return false,
    };
    *value = Value::Bool(boolean);
    true
}

/// What is wrong with a value, told by what serde expected in its place.
fn reason(value: &Value, message: &str) -> Reason {
    let expected = message
        .rsplit_once("expected ")
        .map_or("", |(_, expected)| expected);
    let detail = match expected {
        "i32" | "a 32-bit integer" | "i64" | "u32" | "u64"
            if value.is_number() && !value.is_f64() =>
        {
            "must be between -2147483648 and 2147483647, inclusive"
        }
        "i32" | "i64" | "u32" | "u64" if value.as_str().is_some_and(is_whole_number) => {
            "must be a whole number: take off the quotes"
        }
        "i32" | "a 32-bit integer" | "i64" | "u32" | "u64" => "must be a whole number",
        "IntOrString" => "must be a whole number or a string",
        "a string" | "string" if value.is_number() || value.is_boolean() => {
            "must be a string: put it in quotes"
        }
        "a string" | "string" => "must be a string",
        "a boolean" => "must be true or false",
        "a map" => "must be a mapping",
        "a sequence" => "must be a list",
        // The types of the API are structs, named as Rust names them.
        struct_name if struct_name.starts_with(|c: char| c.is_ascii_uppercase()) => {
            "must be a mapping"
        }
        // The only other strings that are parsed on the way: times.
        _ if value.is_string() => "must be a time such as 2026-01-31T12:00:00Z (RFC 3339)",
        _ => "has the wrong type",
    };
    Reason::Invalid(Shown::from(value), detail.to_owned())
}

fn is_whole_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

fn render(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Index(index) => out.push_str(&format!("[{index}]")),
            Step::Key(key) => push_key(&mut out, key),
        }
    }
    out
}

fn push_key(out: &mut String, key: &str) {
    let key = crate::source::api::shorten(key);
    // Keys of labels and annotations hold dots and slashes, fields of the API never do.
    if key.contains(['.', '/']) {
        out.push('[');
        out.push_str(&key);
        out.push(']');
        return;
    }
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(&key);
}

fn render_ignored(path: &serde_ignored::Path<'_>, out: &mut String) {
    use serde_ignored::Path;
    match path {
        Path::Root => {}
        Path::Seq { parent, index } => {
            render_ignored(parent, out);
            out.push_str(&format!("[{index}]"));
        }
        Path::Map { parent, key } => {
            render_ignored(parent, out);
            push_key(out, key);
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => render_ignored(parent, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    fn service(mut fields: Value) -> Typed<Service> {
        let object = fields.as_object_mut().unwrap();
        object.insert("apiVersion".to_owned(), json!("v1"));
        object.insert("kind".to_owned(), json!("Service"));
        decode(fields)
    }

    #[test]
    fn all_type_errors_are_found_at_their_places() {
        let typed = service(json!({
            "metadata": {"name": 5, "labels": {"a.b/c": true}},
            "spec": {
                "ports": ["x", {"port": "http"}, {"port": 99_999_999_999_i64, "nodePort": "80"}],
                "externalIPs": [1, "192.0.2.1"],
                "selector": [],
            },
        }));
        let errors: Vec<_> = typed.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "metadata.labels[a.b/c]: Invalid value: true: must be a string: put it in quotes",
                "metadata.name: Invalid value: 5: must be a string: put it in quotes",
                "spec.externalIPs[0]: Invalid value: 1: must be a string: put it in quotes",
                "spec.ports[0]: Invalid value: \"x\": must be a mapping",
                "spec.ports[1].port: Invalid value: \"http\": must be a whole number",
                "spec.ports[2].nodePort: Invalid value: \"80\": must be a whole number: take off \
                 the quotes",
                "spec.ports[2].port: Invalid value: 99999999999: must be between -2147483648 and \
                 2147483647, inclusive",
                "spec.selector: Invalid value: […]: must be a mapping",
            ]
        );
        assert!(typed.object.is_some());
    }

    #[test]
    fn unknown_fields_are_found_wherever_they_are() {
        let typed = service(json!({
            "metadata": {"name": "web"}, "foo": {"bar": 1},
            "spec": {"ports": [{"port": 80, "tragetPort": 8080}]},
        }));
        assert_eq!(typed.unknown, ["foo", "spec.ports[0].tragetPort"]);
        assert!(typed.errors.is_empty());
    }

    #[test]
    fn old_yaml_booleans_are_booleans_where_one_is_wanted() {
        let typed = service(json!({"spec": {"publishNotReadyAddresses": "yes"}}));
        let spec = typed.object.unwrap().spec.unwrap();
        assert_eq!(spec.publish_not_ready_addresses, Some(true));
    }
}
