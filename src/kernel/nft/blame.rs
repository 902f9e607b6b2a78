//! Which object an error reply is about, recovered from the batch's own bytes, so that steps need
//! not be kept once they are encoded.

use super::batch::FinishedBatch;
use super::decode_set;
use super::error::Refusal;
use super::frame::Position;
use super::wire::{self, msg};
use crate::kernel::netlink::{Attr, Attrs, ErrorReply, Message, Messages, flags};

/// Words for every error, in the order of the batch.
pub(super) fn refusals(
    batch: &FinishedBatch,
    errors: &[(usize, Position, ErrorReply)],
) -> Vec<Refusal> {
    // Messages have no index; one walk finds all that are asked for.
    let mut wanted: Vec<_> = errors.iter().collect();
    wanted.sort_by_key(|(slot, ..)| *slot);
    let mut messages = Messages::new(&batch.bytes).enumerate();
    let mut current = messages.next();
    let mut refusals = Vec::with_capacity(wanted.len());
    for (slot, position, error) in wanted {
        while let Some((index, _)) = current
            && index < *slot
        {
            current = messages.next();
        }
        let message = current.map(|(_, message)| message);
        refusals.push(refusal(*position, error, message));
    }
    refusals
}

fn refusal(position: Position, error: &ErrorReply, message: Option<Message<'_>>) -> Refusal {
    let (op, (operation, object)) = match (position, &message) {
        (Position::Op(index), Some(message)) => (Some(index), describe(message)),
        (Position::Anchor, Some(message)) => (None, describe(message)),
        _ => (None, ("commit", "the transaction as a whole".to_owned())),
    };
    let part = match (&message, error.offset) {
        (Some(message), Some(offset)) => part_at(message, offset),
        _ => None,
    };
    Refusal {
        op,
        operation,
        object,
        errno: error.errno,
        kernel_text: error.text.clone(),
        part,
    }
}

/// Verb and object of a message, worded as [`Op::object`](crate::plan::op::Op::object) does.
fn describe(message: &Message<'_>) -> (&'static str, String) {
    let family = message
        .family()
        .and_then(wire::family)
        .map_or("?", |family| family.nft_name());
    let text = |attr| {
        let found: Option<Attr<'_>> = message.attrs().find(attr);
        found.and_then(|a| a.text()).unwrap_or("?")
    };
    let table = |attr| format!("{family} {}", text(attr));
    match message.kind {
        msg::NEWTABLE => ("add", format!("table {}", table(wire::table::NAME))),
        msg::DELTABLE => ("delete", format!("table {}", table(wire::table::NAME))),
        msg::NEWCHAIN | msg::DELCHAIN => {
            let object = format!(
                "chain {} {}",
                table(wire::chain::TABLE),
                text(wire::chain::NAME)
            );
            let delete = message.kind == msg::DELCHAIN;
            (if delete { "delete" } else { "add" }, object)
        }
        msg::NEWRULE | msg::DELRULE => describe_rule(
            message,
            &format!(
                "chain {} {}",
                table(wire::rule::TABLE),
                text(wire::rule::CHAIN)
            ),
        ),
        msg::NEWSET | msg::DELSET | msg::NEWSETELEM | msg::DELSETELEM => {
            let set = format!("set {} {}", table(wire::set::TABLE), text(wire::set::NAME));
            let elements = || format!("elements of {set}");
            match message.kind {
                msg::NEWSET => ("add", set),
                msg::DELSET => ("delete", set),
                msg::NEWSETELEM => ("add", elements()),
                _ => ("delete", elements()),
            }
        }
        kind => ("send", format!("message of type {kind:#x}")),
    }
}

fn describe_rule(message: &Message<'_>, chain: &str) -> (&'static str, String) {
    let handle = message
        .attrs()
        .find(wire::rule::HANDLE)
        .and_then(|a| a.u64_be());
    match (message.kind, handle) {
        (msg::DELRULE, Some(handle)) => ("delete", format!("rule {handle} in {chain}")),
        (msg::DELRULE, None) => ("flush", chain.to_owned()),
        _ if message.flags & flags::APPEND == 0 => ("insert", format!("rule in {chain}")),
        _ => ("add", format!("rule in {chain}")),
    }
}

/// The part of a message at a byte offset: the expression of a rule, or the attribute.
fn part_at(message: &Message<'_>, offset: usize) -> Option<String> {
    let attr = attr_at(message.attrs(), offset)?;
    let rule = matches!(message.kind, msg::NEWRULE | msg::DELRULE);
    if rule && attr.kind == wire::rule::EXPRESSIONS {
        let (index, element) = attr
            .nested()
            .enumerate()
            .find(|(_, element)| covers(element, offset))?;
        return Some(expression_words(index, &element));
    }
    let elements = matches!(message.kind, msg::NEWSETELEM | msg::DELSETELEM);
    if elements && attr.kind == wire::elem::LIST_ELEMENTS {
        let element = Iterator::find(&mut attr.nested(), |element| covers(element, offset))?;
        return Some(element_words(&element));
    }
    Some(match (message.kind, attr.kind) {
        (msg::NEWRULE | msg::DELRULE, wire::rule::TABLE)
        | (msg::NEWCHAIN | msg::DELCHAIN, wire::chain::TABLE)
        | (msg::NEWTABLE | msg::DELTABLE, wire::table::NAME)
        | (msg::NEWSET | msg::DELSET | msg::NEWSETELEM | msg::DELSETELEM, wire::set::TABLE) => {
            "the table's name".to_owned()
        }
        (msg::NEWRULE | msg::DELRULE, wire::rule::CHAIN)
        | (msg::NEWCHAIN | msg::DELCHAIN, wire::chain::NAME) => "the chain's name".to_owned(),
        (msg::NEWSET | msg::DELSET | msg::NEWSETELEM | msg::DELSETELEM, wire::set::NAME) => {
            "the set's name".to_owned()
        }
        (msg::NEWRULE | msg::DELRULE, wire::rule::HANDLE) => "the rule's handle".to_owned(),
        (msg::NEWRULE, wire::rule::POSITION) => "the neighbouring rule's handle".to_owned(),
        (msg::NEWRULE, wire::rule::COMPAT) => "the rule's protocol".to_owned(),
        (msg::NEWRULE, wire::rule::USERDATA) => "the user data".to_owned(),
        (msg::NEWCHAIN, wire::chain::HOOK) => "the hook".to_owned(),
        (msg::NEWCHAIN, wire::chain::TYPE) => "the chain's type".to_owned(),
        (_, other) => format!("attribute {other}"),
    })
}

/// `expression 3 (match comment)`.
fn expression_words(index: usize, element: &Attr<'_>) -> String {
    let text =
        |attrs: Attrs<'_>, attr| -> Option<String> { attrs.find(attr)?.text().map(str::to_owned) };
    let name = text(element.nested(), wire::expr::NAME).unwrap_or_default();
    let extension = match name.as_str() {
        "match" | "target" => element
            .nested()
            .find(wire::expr::DATA)
            .and_then(|data| text(data.nested(), wire::expr::XT_NAME)),
        _ => None,
    };
    match extension {
        Some(extension) => format!("expression {} ({name} {extension})", index + 1),
        None => format!("expression {} ({name})", index + 1),
    }
}

/// `element 0x0a000001 "shop/web"`: an element by its key and comment.
fn element_words(element: &Attr<'_>) -> String {
    let element = decode_set::element(element);
    let key = data_encoding::HEXLOWER.encode(element.key);
    match element.comment {
        Some(comment) => format!("element 0x{key} {comment:?}"),
        None => format!("element 0x{key}"),
    }
}

fn attr_at(mut attrs: Attrs<'_>, offset: usize) -> Option<Attr<'_>> {
    Iterator::find(&mut attrs, |attr| covers(attr, offset))
}

fn covers(attr: &Attr<'_>, offset: usize) -> bool {
    (attr.offset..attr.end()).contains(&offset)
}
