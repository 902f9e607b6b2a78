//! Building the tree: one serde visitor for every kind of value, and one for keys.
//!
//! Owns the bounds on what YAML aliases may expand to.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{ItemSink, Shape, Tree};
use crate::source::api::Path;
use crate::source::manifest::documents::MAX_DOCUMENT_BYTES;
use crate::source::manifest::problem::TextProblem;

/// The most values a document may have after YAML aliases are expanded: ten times what the
/// largest object that etcd would hold could have.
const MAX_NODES: usize = 2_000_000;
/// The most bytes its keys and strings may add up to then; as much as a document may have itself.
const MAX_STRING_BYTES: usize = MAX_DOCUMENT_BYTES;

/// What the nodes of one document share.
pub(super) struct State<'s, 'f> {
    sink: &'s mut ItemSink<'f>,
    pub(super) duplicates: Vec<String>,
    nodes: usize,
    string_bytes: usize,
    pub(super) exceeded: Option<TextProblem>,
}

impl<'s, 'f> State<'s, 'f> {
    pub(super) fn new(sink: &'s mut ItemSink<'f>) -> Self {
        Self {
            sink,
            duplicates: Vec::new(),
            nodes: 0,
            string_bytes: 0,
            exceeded: None,
        }
    }

    fn count<E: de::Error>(&mut self, string_bytes: usize) -> Result<(), E> {
        self.nodes += 1;
        self.string_bytes += string_bytes;
        self.exceeded = if self.nodes > MAX_NODES {
            Some(TextProblem::TooMany(MAX_NODES))
        } else if self.string_bytes > MAX_STRING_BYTES {
            Some(TextProblem::TooMuch(MAX_STRING_BYTES))
        } else {
            return Ok(());
        };
        Err(E::custom("over the limit"))
    }
}

pub(super) type Shared<'a, 's, 'f> = &'a RefCell<State<'s, 'f>>;

/// The document's root.
pub(super) struct Root<'a, 's, 'f>(pub(super) Shared<'a, 's, 'f>, pub(super) Shape);

impl<'de> DeserializeSeed<'de> for Root<'_, '_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let node = Node {
            state: self.0,
            path: None,
            place: match self.1 {
                Shape::Document => Place::Root,
                Shape::Item => Place::ItemWrapper,
            },
        };
        node.deserialize(deserializer)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// The sequence around the one entry of [`Shape::Item`].
    ItemWrapper,
    /// The value of the root's `items`.
    Items,
    Inside,
}

#[derive(Clone, Copy)]
struct Node<'a, 's, 'f> {
    state: Shared<'a, 's, 'f>,
    path: Option<&'a Path<'a>>,
    place: Place,
}

impl Node<'_, '_, '_> {
    fn count<E: de::Error>(&self, string_bytes: usize) -> Result<(), E> {
        self.state.borrow_mut().count(string_bytes)
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value (tags such as !x are not supported)")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.count(0).map(|()| Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.count(0).map(|()| Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.count(0).map(|()| Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.count(0).map(|()| Value::from(value))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        self.visit_string(value.to_string())
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        self.visit_string(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.count(0)?;
        // JSON has no infinities: their spelling is kept, so that a message can show it.
        Ok(Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.count(value.len()).map(|()| Value::from(value))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.count(value.len()).map(|()| Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.count(0)?;
        let whole = Node {
            path: None,
            place: Place::Inside,
            ..self
        };
        match self.place {
            Place::ItemWrapper => {
                let value = seq.next_element_seed(whole)?;
                match seq.next_element::<de::IgnoredAny>()? {
                    None => Ok(value.unwrap_or_default()),
                    Some(_) => Err(de::Error::custom("more than one list item")),
                }
            }
            Place::Items => {
                let outer = std::mem::take(&mut self.state.borrow_mut().duplicates);
                let mut number = 0;
                while let Some(value) = seq.next_element_seed(whole)? {
                    number += 1;
                    let state = &mut *self.state.borrow_mut();
                    let duplicates = std::mem::take(&mut state.duplicates);
                    (state.sink)(number, Tree { value, duplicates });
                    // Each item is dropped before the next: none adds to another's bounds.
                    (state.nodes, state.string_bytes) = (0, 0);
                }
                self.state.borrow_mut().duplicates = outer;
                Ok(Value::Array(Vec::new()))
            }
            Place::Root | Place::Inside => {
                let mut values = Vec::new();
                loop {
                    let path = self.path.map(|path| path.index(values.len()));
                    let entry = Node {
                        path: path.as_ref(),
                        place: Place::Inside,
                        ..self
                    };
                    match seq.next_element_seed(entry)? {
                        Some(value) => values.push(value),
                        None => return Ok(Value::Array(values)),
                    }
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.count(0)?;
        let mut values = Map::new();
        while let Some(key) = map.next_key_seed(Key)? {
            self.count(key.len())?;
            let path = match self.path {
                Some(path) => path.child(&key),
                None => Path::new(&key),
            };
            let place = match self.place {
                Place::Root if key == "items" => Place::Items,
                _ => Place::Inside,
            };
            let value = map.next_value_seed(Node {
                state: self.state,
                path: Some(&path),
                place,
            })?;
            if values.contains_key(&key) {
                let path = path.to_string();
                self.state.borrow_mut().duplicates.push(path);
            }
            values.insert(key, value);
        }
        merge(&mut values);
        Ok(Value::Object(values))
    }
}

/// YAML's merge key: `<<: *defaults` brings in what the mapping does not set itself.
fn merge(values: &mut Map<String, Value>) {
    let Some(merged) = values.remove("<<") else {
        return;
    };
    let sources = match merged {
        Value::Array(sources) => sources,
        other => vec![other],
    };
    for source in sources {
        if let Value::Object(source) = source {
            for (key, value) in source {
                values.entry(key).or_insert(value);
            }
        }
    }
}

/// A mapping's key: JSON's are strings, and kubectl makes strings of what YAML allows besides.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a string, number or boolean")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<String, E> {
        Ok(value)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }
}
