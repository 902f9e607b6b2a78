//! One notification of nf_tables, read without copying.
//!
//! Owns which message is about what. Must not know what anybody is interested in.

use crate::kernel::netlink::{Attr, Attrs, Message};
use crate::kernel::nft::wire::{self, msg};
use crate::model::IpFamily;
use crate::plan::nftables::ElementKey;

/// Kind of an object in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// The table itself.
    Table,
    /// A chain.
    Chain,
    /// A rule; its name is that of its chain.
    Rule,
    /// A set or map.
    Set,
    /// An element; its name is that of its set or map.
    Element,
    /// A stateful object: named counter, quota, …
    Object,
    /// A flow table.
    Flowtable,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was added, or something about it was changed.
    Added,
    /// It was deleted.
    Deleted,
}

/// A notification about an object of family `ip` or `ip6`.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    pub(super) family: IpFamily,
    pub(super) table: &'a str,
    pub(super) kind: ObjectKind,
    pub(super) change: Change,
    /// Name of the object; of a rule its chain's, of elements their set's.
    pub(super) name: &'a str,
    attrs: Attrs<'a>,
}

/// The notification that ends those of one transaction (`NFT_MSG_NEWGEN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End<'a> {
    pub(super) generation: u32,
    pub(super) pid: Option<u32>,
    pub(super) process: Option<&'a str>,
}

/// What a message is.
#[derive(Clone, Debug)]
pub(super) enum Notification<'a> {
    Event(Event<'a>),
    End(End<'a>),
    /// Of another family, or of a kind that says nothing about a change.
    Other,
}

impl<'a> Notification<'a> {
    pub(super) fn read(message: &Message<'a>) -> Self {
        if message.kind == msg::NEWGEN {
            return End::read(message.attrs()).map_or(Self::Other, Self::End);
        }
        Event::read(message).map_or(Self::Other, Self::Event)
    }
}

impl<'a> End<'a> {
    fn read(attrs: Attrs<'a>) -> Option<Self> {
        let mut end = Self {
            generation: 0,
            pid: None,
            process: None,
        };
        for attr in attrs {
            match attr.kind {
                wire::GEN_ID => end.generation = attr.u32_be()?,
                wire::GEN_PROC_PID => end.pid = attr.u32_be(),
                wire::GEN_PROC_NAME => end.process = attr.text(),
                _ => {}
            }
        }
        // The kernel never uses 0.
        (end.generation != 0).then_some(end)
    }
}

/// `NFTA_*_TABLE`: attribute 1 of every object, and the name of a table.
const TABLE: u16 = 1;

impl<'a> Event<'a> {
    fn read(message: &Message<'a>) -> Option<Self> {
        let (kind, change, name) = about(message.kind)?;
        let family = wire::family(message.family()?)?;
        let attrs = message.attrs();
        let table = attrs.clone().find(TABLE)?.text()?;
        Some(Self {
            family,
            table,
            kind,
            change,
            name: attrs.clone().find(name)?.text()?,
            attrs,
        })
    }

    /// How many objects it is about. The end of an interval counts as part of it.
    pub(super) fn count(&self) -> usize {
        if self.kind == ObjectKind::Element {
            let ends = |element: &Attr<'_>| !is_interval_end(element);
            self.elements().filter(ends).count()
        } else {
            1
        }
    }

    /// Whether it shows that its set is a map. The kernel tells only the name of a deleted set.
    pub(super) fn is_about_map(&self) -> bool {
        match self.kind {
            ObjectKind::Set => {
                let flags = self.attrs.clone().find(wire::set::FLAGS);
                flags.and_then(|flags| flags.u32_be()).unwrap_or_default() & wire::set::MAP != 0
            }
            ObjectKind::Element => {
                let mut elements = self.elements();
                elements.any(|element| element.nested().find(wire::elem::DATA).is_some())
            }
            _ => false,
        }
    }

    /// How many keys [`Event::keys`] has: ends of intervals are keys of their own.
    pub(super) fn key_count(&self) -> usize {
        self.elements().count()
    }

    /// Keys of the elements it is about.
    pub(super) fn keys(&self) -> impl Iterator<Item = ElementKey> {
        self.elements().filter_map(|element| {
            let key = element.nested().find(wire::elem::KEY)?;
            let value = key.nested().find(wire::expr::VALUE)?;
            Some(ElementKey {
                key: value.payload.into(),
                interval_end: is_interval_end(&element),
            })
        })
    }

    /// Whether it is about a rule that jumps or goes to a chain whose name `wanted` accepts.
    pub(super) fn leads_to(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.kind == ObjectKind::Rule
            && self
                .nested(wire::rule::EXPRESSIONS)
                .filter_map(|expression| verdict_chain(&expression))
                .any(wanted)
    }

    fn elements(&self) -> Attrs<'a> {
        self.nested(wire::elem::LIST_ELEMENTS)
    }

    fn nested(&self, kind: u16) -> Attrs<'a> {
        let attr = self.attrs.clone().find(kind);
        attr.map_or(Attrs::new(&[]), |attr| attr.nested())
    }
}

/// Kind of object, kind of change, and the attribute that names the object.
fn about(message: u16) -> Option<(ObjectKind, Change, u16)> {
    use Change::{Added, Deleted};
    Some(match message {
        msg::NEWTABLE => (ObjectKind::Table, Added, wire::table::NAME),
        msg::DELTABLE | msg::DESTROYTABLE => (ObjectKind::Table, Deleted, wire::table::NAME),
        msg::NEWCHAIN => (ObjectKind::Chain, Added, wire::chain::NAME),
        msg::DELCHAIN | msg::DESTROYCHAIN => (ObjectKind::Chain, Deleted, wire::chain::NAME),
        msg::NEWRULE => (ObjectKind::Rule, Added, wire::rule::CHAIN),
        msg::DELRULE | msg::DESTROYRULE => (ObjectKind::Rule, Deleted, wire::rule::CHAIN),
        msg::NEWSET => (ObjectKind::Set, Added, wire::set::NAME),
        msg::DELSET | msg::DESTROYSET => (ObjectKind::Set, Deleted, wire::set::NAME),
        msg::NEWSETELEM => (ObjectKind::Element, Added, wire::elem::LIST_SET),
        msg::DELSETELEM | msg::DESTROYSETELEM => {
            (ObjectKind::Element, Deleted, wire::elem::LIST_SET)
        }
        msg::NEWOBJ => (ObjectKind::Object, Added, wire::OBJ_NAME),
        msg::DELOBJ | msg::DESTROYOBJ => (ObjectKind::Object, Deleted, wire::OBJ_NAME),
        msg::NEWFLOWTABLE => (ObjectKind::Flowtable, Added, wire::OBJ_NAME),
        msg::DELFLOWTABLE | msg::DESTROYFLOWTABLE => {
            (ObjectKind::Flowtable, Deleted, wire::OBJ_NAME)
        }
        _ => return None,
    })
}

fn is_interval_end(element: &Attr<'_>) -> bool {
    let flags = element.nested().find(wire::elem::FLAGS);
    flags.and_then(|flags| flags.u32_be()).unwrap_or_default() & wire::elem::INTERVAL_END != 0
}

/// The chain that an expression jumps or goes to.
fn verdict_chain<'a>(expression: &Attr<'a>) -> Option<&'a str> {
    let parts = expression.nested();
    if parts.clone().find(wire::expr::NAME)?.text()? != "immediate" {
        return None;
    }
    let data = parts.find(wire::expr::DATA)?.nested();
    let value = data.find(wire::expr::IMMEDIATE_DATA)?.nested();
    let verdict = value.find(wire::expr::VERDICT)?.nested();
    verdict.find(wire::expr::CHAIN)?.text()
}
