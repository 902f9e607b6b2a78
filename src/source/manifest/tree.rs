//! One document's text into a value tree, as kubectl does it: YAML becomes JSON values first, so
//! that everything after works alike for both.
//!
//! Owns parsing and its bounds. Finds duplicate keys, which typed parsing would let pass. Items of
//! a list are handed out one by one instead of being collected. Must not know kinds.

mod node;

use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeSeed;
use serde_json::Value;

use super::problem::Problem;
use node::{Root, State};

/// A value and the paths of keys that occur twice in it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) value: Value,
    pub(super) duplicates: Vec<String>,
}

/// Takes the items of a list as they are parsed, counted from 1.
pub(super) type ItemSink<'s> = dyn FnMut(u32, Tree) + 's;

/// What a text is expected to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A whole document. Entries of a top-level `items` go to the sink; in the tree it stays empty.
    Document,
    /// One entry of a YAML block sequence: `- apiVersion: …`, to be parsed without its dash.
    Item,
}

/// Parses JSON; `first_line` is the line of the file that the text starts in.
pub(super) fn parse_json(
    text: &str,
    first_line: u64,
    sink: &mut ItemSink<'_>,
) -> Result<Tree, Problem> {
    let state = RefCell::new(State::new(sink));
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Root(&state, Shape::Document)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    finish(value, state, "JSON", first_line)
}

/// Parses YAML; `first_line` is the line of the file that the text starts in.
pub(super) fn parse_yaml(
    text: &str,
    first_line: u64,
    shape: Shape,
    sink: &mut ItemSink<'_>,
) -> Result<Tree, Problem> {
    let state = RefCell::new(State::new(sink));
    let deserializer = serde_yaml::Deserializer::from_str(text);
    let value = Root(&state, shape).deserialize(deserializer);
    finish(value, state, "YAML", first_line)
}

fn finish<E: fmt::Display>(
    value: Result<Value, E>,
    state: RefCell<State<'_, '_>>,
    format: &'static str,
    first_line: u64,
) -> Result<Tree, Problem> {
    let state = state.into_inner();
    if let Some(problem) = state.exceeded {
        return Err(Problem::Text(problem));
    }
    match value {
        Ok(value) => Ok(Tree {
            value,
            duplicates: state.duplicates,
        }),
        Err(error) => Err(Problem::Syntax {
            format,
            message: plain(&renumber(&error.to_string(), first_line - 1)),
        }),
    }
}

/// The parsers' names for their limits, in words that say what to look for.
fn plain(message: &str) -> String {
    message
        .replacen(
            "repetition limit exceeded",
            "aliases expand to too many values",
            1,
        )
        .replacen(
            "recursion limit exceeded",
            "nested deeper than 128 levels",
            1,
        )
}

/// Turns the lines that a parser counted in a document into lines of the file.
fn renumber(message: &str, skipped: u64) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find("line ") {
        let digits_at = at + "line ".len();
        out.push_str(&rest[..digits_at]);
        rest = &rest[digits_at..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        match rest[..digits].parse::<u64>() {
            Ok(line) => out.push_str(&(line + skipped).to_string()),
            Err(_) => out.push_str(&rest[..digits]),
        }
        rest = &rest[digits..];
    }
    out.push_str(rest);
    out
}
