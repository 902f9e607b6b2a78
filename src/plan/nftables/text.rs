//! The table as text that `nft -f` loads and a person reads.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ChainDef, NftRuleset, SetDef};
use crate::model::{IpFamily, Protocol};
use crate::plan::op::{Element, Hook, SetSpec};
use std::collections::HashMap;

/// nft's number of type `ipv4_addr`.
pub const IPV4_ADDR: u32 = 7;
/// nft's number of type `ipv6_addr`.
pub const IPV6_ADDR: u32 = 8;
/// nft's number of type `inet_proto`.
pub const INET_PROTO: u32 = 12;
/// nft's number of type `inet_service`.
pub const INET_SERVICE: u32 = 13;
/// nft's number of type `integer`.
pub const INTEGER: u32 = 4;
/// Flag of a set of intervals.
pub const INTERVAL: u32 = 4;
/// Flag of a map.
pub const MAP: u32 = 8;
/// Flag of a set whose elements may have a timeout.
pub const TIMEOUT: u32 = 0x10;
/// Flag of a set that packets fill.
pub const EVAL: u32 = 0x20;

/// Bytes of an address.
#[must_use]
pub fn address_len(family: IpFamily) -> usize {
    match family {
        IpFamily::V4 => 4,
        IpFamily::V6 => 16,
    }
}

/// The whole ruleset.
#[must_use]
pub fn ruleset(ruleset: &dyn NftRuleset) -> String {
    let table = ruleset.table();
    let mut out = format!("table {} {} {{\n", table.family.nft_name(), table.name);
    line(&mut out, 1, &format!("comment \"{}\"", ruleset.comment()));
    let mut elements: HashMap<String, Vec<Element>> = HashMap::new();
    ruleset.for_each_element(&mut |set, element| match elements.get_mut(set) {
        Some(list) => list.push(element),
        None => {
            elements.insert(set.to_owned(), vec![element]);
        }
    });
    for set in ruleset.sets() {
        let elements = elements.remove(&*set.name).unwrap_or_default();
        set_text(&mut out, &set, table.family, &elements);
        out.push('\n');
    }
    for chain in ruleset.chains() {
        chain_text(&mut out, &chain);
    }
    out.push_str("}\n");
    out
}

fn line(out: &mut String, depth: usize, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}{text}", "\t".repeat(depth));
}

fn set_text(out: &mut String, set: &SetDef, family: IpFamily, elements: &[Element]) {
    let kind = if set.spec.data.is_some() {
        "map"
    } else {
        "set"
    };
    line(out, 1, &format!("{kind} {} {{", set.name));
    line(out, 2, &type_text(&set.spec, family));
    if let Some(size) = set.spec.size {
        line(out, 2, &format!("size {size}"));
    }
    let flags = [
        (EVAL, "dynamic"),
        (INTERVAL, "interval"),
        (TIMEOUT, "timeout"),
    ];
    let flags: Vec<_> = flags
        .iter()
        .filter(|(bit, _)| set.spec.flags & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if !flags.is_empty() {
        line(out, 2, &format!("flags {}", flags.join(",")));
    }
    line(out, 2, &format!("comment \"{}\"", set.comment));
    if !elements.is_empty() {
        let texts = element_texts(&set.spec, elements);
        let texts = texts.join(",\n\t\t\t     ");
        line(out, 2, &format!("elements = {{ {texts} }}"));
    }
    line(out, 1, "}");
}

/// `type …`, or `typeof …` for keys with a slot, which nft can name in no other way.
fn type_text(spec: &SetSpec, family: IpFamily) -> String {
    let fields = fields(spec.key_type);
    if fields.last() == Some(&INTEGER) {
        let ip = family.nft_name();
        let key = format!("{ip} daddr . meta l4proto . th dport . numgen random mod 65536");
        return match spec.data {
            Some(_) => format!("typeof {key} : {ip} daddr . th dport"),
            None => format!("typeof {key}"),
        };
    }
    let names = |packed| {
        let names: Vec<_> = self::fields(packed).into_iter().map(type_name).collect();
        names.join(" . ")
    };
    match spec.data {
        Some((data, _)) => format!("type {} : {}", names(spec.key_type), names(data)),
        None => format!("type {}", names(spec.key_type)),
    }
}

fn type_name(number: u32) -> &'static str {
    match number {
        IPV4_ADDR => "ipv4_addr",
        IPV6_ADDR => "ipv6_addr",
        INET_PROTO => "inet_proto",
        INET_SERVICE => "inet_service",
        _ => "integer",
    }
}

/// The type numbers in a packed key type, first field first.
fn fields(mut packed: u32) -> Vec<u32> {
    let mut fields = Vec::new();
    while packed != 0 {
        fields.push(packed & 0x3f);
        packed >>= 6;
    }
    fields.reverse();
    fields
}

/// Elements, intervals as `from-to`.
fn element_texts(spec: &SetSpec, elements: &[Element]) -> Vec<String> {
    if spec.flags & INTERVAL == 0 {
        return elements.iter().map(|e| element(spec, e)).collect();
    }
    let mut sorted: Vec<_> = elements.iter().collect();
    sorted.sort_by(|a, b| (&a.key, !a.interval_end).cmp(&(&b.key, !b.interval_end)));
    let mut texts: Vec<String> = Vec::new();
    let mut start: Option<&Element> = None;
    for element in sorted {
        if !element.interval_end {
            start = Some(element);
        } else if let Some(from) = start.take() {
            let mut last = element.key.clone();
            decrement(&mut last);
            texts.push(range_text(spec, &from.key, &last));
        }
    }
    if let Some(from) = start {
        let last: Box<[u8]> = vec![0xff; from.key.len()].into();
        texts.push(range_text(spec, &from.key, &last));
    }
    texts
}

fn range_text(spec: &SetSpec, from: &[u8], last: &[u8]) -> String {
    let (from, last) = (values(spec.key_type, from), values(spec.key_type, last));
    if from == last {
        from
    } else {
        format!("{from}-{last}")
    }
}

/// The big-endian number before.
fn decrement(number: &mut [u8]) {
    for byte in number.iter_mut().rev() {
        let (less, borrow) = byte.overflowing_sub(1);
        *byte = less;
        if !borrow {
            break;
        }
    }
}

/// One element as nft shows it: key, comment, data.
#[must_use]
pub fn element(spec: &SetSpec, element: &Element) -> String {
    let mut text = values(spec.key_type, &element.key);
    if let Some(comment) = &element.comment {
        let _ = write!(text, " comment \"{comment}\"");
    }
    if let (Some((data_type, _)), Some(data)) = (spec.data, &element.data) {
        let _ = write!(text, " : {}", values(data_type, data));
    }
    text
}

/// The fields of a key or of data.
fn values(packed: u32, mut bytes: &[u8]) -> String {
    let mut texts = Vec::new();
    for field in fields(packed) {
        let len = if field == IPV6_ADDR { 16 } else { 4 };
        let (value, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        texts.push(value_text(field, value));
        bytes = rest;
    }
    texts.join(" . ")
}

fn value_text(field: u32, value: &[u8]) -> String {
    let first4 = value.first_chunk::<4>();
    match (field, first4) {
        (IPV4_ADDR, Some(bytes)) => Ipv4Addr::from(*bytes).to_string(),
        (IPV6_ADDR, _) => value
            .first_chunk::<16>()
            .map(|bytes| Ipv6Addr::from(*bytes).to_string())
            .unwrap_or_default(),
        (INET_PROTO, Some([number, ..])) => Protocol::from_number(*number).map_or_else(
            || number.to_string(),
            |protocol| protocol.lower().to_owned(),
        ),
        (INET_SERVICE, Some([high, low, ..])) => u16::from_be_bytes([*high, *low]).to_string(),
        (INTEGER, Some(bytes)) => u32::from_ne_bytes(*bytes).to_string(),
        _ => format!("{value:02x?}"),
    }
}

fn chain_text(out: &mut String, chain: &ChainDef) {
    line(out, 1, &format!("chain {} {{", chain.name));
    if let Some(hook) = &chain.hook {
        line(out, 2, &hook_text(hook));
    }
    for rule in &chain.rules {
        line(out, 2, &rule.text);
    }
    line(out, 1, "}");
}

fn hook_text(hook: &Hook) -> String {
    format!(
        "type {} hook {} priority {}; policy accept;",
        hook.chain_type,
        hook_name(hook),
        hook.priority
    )
}

/// `prerouting` and so on, by the numbers of `enum nf_inet_hooks`.
pub(super) fn hook_name(hook: &Hook) -> &'static str {
    let names = ["prerouting", "input", "forward", "output", "postrouting"];
    let name = usize::try_from(hook.hook).ok().and_then(|at| names.get(at));
    name.unwrap_or(&"unknown")
}
