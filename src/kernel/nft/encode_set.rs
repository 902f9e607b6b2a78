//! Sets and their elements as netlink messages.
//!
//! Written without libnftnl: a batch may have a million elements, and an object for each would
//! cost more than the kernel's own work on it. Must not know what keys mean.

use super::encode::USERDATA_MAX;
use super::encode_expr::{Name, Result, bounded};
use super::error::EncodeReason;
use super::wire::{self, elem, expr, msg, set as attr};
use crate::kernel::netlink::{RequestWriter, flags};
use crate::plan::op::{Element, SetRef, SetSpec};

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// Size of an attribute's header.
const HEADER: usize = 4;
/// Where a list of elements goes on in a new message: an attribute's length has 16 bits.
const LIST_MAX: usize = 60 * 1024;
/// `NFT_DATA_VALUE_MAXLEN`: what fits into the registers.
const DATA_MAX: usize = 64;
/// What user data has room for beside type, length and closing NUL of a comment.
const COMMENT_MAX: usize = USERDATA_MAX - 3;

/// What is done with elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `NFT_MSG_NEWSETELEM`.
    Add,
    /// `NFT_MSG_DELSETELEM`.
    Delete,
}

/// The message that adds a set; `id` is unique in its batch.
pub(super) fn new_set(
    set: &SetRef,
    spec: &SetSpec,
    seq: u32,
    extra_flags: u16,
    id: u32,
) -> Result<Vec<u8>> {
    bounded("user data", &spec.userdata, USERDATA_MAX)?;
    let mut message = request(set, msg::NEWSET, flags::CREATE | extra_flags, seq)?
        .u32_be(attr::FLAGS, spec.flags)
        .u32_be(attr::KEY_TYPE, spec.key_type)
        .u32_be(attr::KEY_LEN, spec.key_len)
        .u32_be(attr::ID, id);
    if let Some((data_type, data_len)) = spec.data {
        message = message
            .u32_be(attr::DATA_TYPE, data_type)
            .u32_be(attr::DATA_LEN, data_len);
    }
    if let Some(size) = spec.size {
        let mut desc = Vec::with_capacity(2 * HEADER);
        put(&mut desc, attr::DESC_SIZE, &size.to_be_bytes());
        message = message.attr(attr::DESC | NESTED, &desc);
    }
    if !spec.userdata.is_empty() {
        message = message.attr(attr::USERDATA, &spec.userdata);
    }
    Ok(message.finish())
}

/// The message that deletes a set.
pub(super) fn delete_set(set: &SetRef, seq: u32, extra_flags: u16) -> Result<Vec<u8>> {
    Ok(request(set, msg::DELSET, extra_flags, seq)?.finish())
}

/// Appends the messages that add or delete elements, and gives their number: none for no
/// elements, because a deletion without elements empties the set.
pub(super) fn elements(
    action: Action,
    set: &SetRef,
    elements: &[Element],
    seq: u32,
    out: &mut Vec<u8>,
) -> Result<usize> {
    let (kind, flags) = match action {
        Action::Add => (msg::NEWSETELEM, flags::CREATE),
        Action::Delete => (msg::DELSETELEM, 0),
    };
    let mut messages = 0;
    let mut seq = seq;
    let mut rest = elements.iter().peekable();
    while rest.peek().is_some() {
        let start = out.len();
        out.extend(request(set, kind, flags, seq)?.finish());
        let list = open(out, elem::LIST_ELEMENTS);
        while let Some(element) = rest.peek() {
            let before = out.len();
            put_element(out, action, element)?;
            if out.len() - list > LIST_MAX {
                // It is written again as the first of the next message.
                out.truncate(before);
                break;
            }
            rest.next();
        }
        close(out, list);
        set_length(out, start);
        messages += 1;
        seq = seq.wrapping_add(1);
    }
    Ok(messages)
}

/// The request for elements by key: every one that is there is sent back in order, up to the
/// first that is missing.
pub(super) fn get_elements(set: &SetRef, keys: &[&[u8]], seq: u32) -> Result<Vec<u8>> {
    let mut out = request(set, msg::GETSETELEM, flags::ACK, seq)?.finish();
    let list = open(&mut out, elem::LIST_ELEMENTS);
    for key in keys {
        let element = open(&mut out, elem::ELEMENT);
        put_value(&mut out, elem::KEY, bounded("a key", key, DATA_MAX)?);
        close(&mut out, element);
    }
    close(&mut out, list);
    set_length(&mut out, 0);
    Ok(out)
}

/// A message that names the set. A set's own messages and those of its elements have the
/// attributes of the names in common.
pub(super) fn request(set: &SetRef, kind: u16, flags: u16, seq: u32) -> Result<RequestWriter> {
    const { assert!(attr::TABLE == elem::LIST_TABLE && attr::NAME == elem::LIST_SET) };
    Name::object(&set.table.name)?;
    Name::object(&set.name)?;
    let family = wire::nfproto(set.table.family);
    Ok(RequestWriter::new(kind, flags, seq, family, 0)
        .text(attr::TABLE, &set.table.name)
        .text(attr::NAME, &set.name))
}

fn put_element(out: &mut Vec<u8>, action: Action, element: &Element) -> Result<()> {
    let start = open(out, elem::ELEMENT);
    if element.interval_end {
        put(out, elem::FLAGS, &elem::INTERVAL_END.to_be_bytes());
    }
    put_value(out, elem::KEY, bounded("a key", &element.key, DATA_MAX)?);
    if action == Action::Add {
        if let Some(data) = &element.data {
            put_value(out, elem::DATA, bounded("map data", data, DATA_MAX)?);
        }
        if let Some(comment) = &element.comment {
            put_comment(out, comment)?;
        }
    }
    close(out, start);
    Ok(())
}

fn put_comment(out: &mut Vec<u8>, comment: &str) -> Result<()> {
    let start = out.len();
    out.extend([0; HEADER]);
    put_comment_data(out, elem::UDATA_COMMENT, comment)?;
    finish_attr(out, start, elem::USERDATA);
    Ok(())
}

/// User data with a comment: type (which depends on the object), length and the text with its NUL.
pub(super) fn put_comment_data(out: &mut Vec<u8>, kind: u8, comment: &str) -> Result<()> {
    bounded("a comment", comment.as_bytes(), COMMENT_MAX)?;
    if comment.contains('\0') {
        return Err(EncodeReason::NulInName(comment.to_owned()));
    }
    let len = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    out.extend([kind, len]);
    out.extend(comment.as_bytes());
    out.push(0);
    Ok(())
}

/// `NFTA_DATA_VALUE` inside an attribute.
fn put_value(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let start = open(out, kind);
    put(out, expr::VALUE, value);
    close(out, start);
}

/// Appends an attribute; callers have bounded its payload.
fn put(out: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let start = out.len();
    out.extend([0; HEADER]);
    out.extend_from_slice(payload);
    finish_attr(out, start, kind);
}

/// Opens a nested attribute and gives its place, for [`close`].
fn open(out: &mut Vec<u8>, kind: u16) -> usize {
    let start = out.len();
    out.extend([0; 2]);
    out.extend((kind | NESTED).to_ne_bytes());
    start
}

fn close(out: &mut [u8], start: usize) {
    let len = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    overwrite(out, start, len.to_ne_bytes());
}

/// Fills in the header of an attribute that was appended, and pads it.
fn finish_attr(out: &mut Vec<u8>, start: usize, kind: u16) {
    let len = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    overwrite(out, start, len.to_ne_bytes());
    overwrite(out, start + 2, kind.to_ne_bytes());
    out.resize(out.len().next_multiple_of(HEADER), 0);
}

/// `nlmsg_len`, the first field of a message.
fn set_length(out: &mut [u8], start: usize) {
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    overwrite(out, start, len.to_ne_bytes());
}

fn overwrite<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::Messages;
    use crate::kernel::nft::decode_set;
    use crate::model::IpFamily;
    use crate::plan::op::TableRef;

    fn set() -> SetRef {
        SetRef {
            table: TableRef {
                family: IpFamily::V6,
                name: "t".into(),
            },
            name: "s".into(),
        }
    }

    fn element(number: u32, comment: &str) -> Element {
        Element {
            key: number.to_be_bytes().into(),
            data: Some(Box::new([1, 2, 3])),
            interval_end: number % 2 == 1,
            comment: (!comment.is_empty()).then(|| comment.into()),
        }
    }

    #[test]
    fn long_lists_go_on_in_further_messages() {
        let all: Vec<_> = (0..5000).map(|number| element(number, "text")).collect();
        let mut bytes = Vec::new();
        let messages = elements(Action::Add, &set(), &all, 7, &mut bytes).unwrap();
        let read: Vec<_> = Messages::new(&bytes).collect();
        assert_eq!(messages, read.len());
        assert!(messages > 1);
        let numbers: Vec<_> = (7..).zip(&read).map(|(seq, m)| (seq, m.seq)).collect();
        assert!(numbers.iter().all(|(expected, seen)| expected == seen));
        let seen = read.iter().flat_map(decode_set::elements);
        let seen: Vec<_> = seen.map(|view| view.to_element()).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn no_elements_are_no_message() {
        // A deletion that names none would empty the set.
        let mut bytes = Vec::new();
        let messages = elements(Action::Delete, &set(), &[], 7, &mut bytes).unwrap();
        assert_eq!((messages, bytes.len()), (0, 0));
    }

    #[test]
    fn a_comment_has_the_room_the_kernel_gives_it() {
        let with = |len: usize| {
            let mut bytes = Vec::new();
            let one = [element(0, &"x".repeat(len))];
            elements(Action::Add, &set(), &one, 7, &mut bytes).map(|_| bytes)
        };
        let longest = with(COMMENT_MAX).unwrap();
        let message = Messages::new(&longest).next().unwrap();
        let view = decode_set::elements(&message).next().unwrap();
        assert_eq!(view.comment.map(str::len), Some(COMMENT_MAX));
        let error = with(COMMENT_MAX + 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a comment of 254 bytes, at most 253 are possible"
        );
    }
}
