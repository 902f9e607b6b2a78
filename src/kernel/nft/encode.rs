//! One step of a change as netlink messages.
//!
//! Owns the message types and flags of steps on tables, chains and rules; expressions are
//! [`encode_expr`](super::encode_expr)'s, sets and elements [`encode_set`](super::encode_set)'s.

use super::encode_expr::{Name, Result, bounded, new_expr, size_bound};
use super::encode_set::{self, Action};
use super::error::EncodeReason;
use super::object::{Header, NftChain, NftRule, NftTable, Object, Scratch};
use super::wire::{self, msg};
use crate::kernel::netlink::flags;
use crate::model::IpFamily;
use crate::plan::expr::RuleBody;
use crate::plan::op::{ChainRef, Hook, Op, Place, TableRef};

/// `NFT_USERDATA_MAXLEN`.
pub(super) const USERDATA_MAX: usize = 256;
/// `NFTA_RULE_EXPRESSIONS` is one attribute, with a 16-bit length.
const EXPRESSIONS_MAX: usize = u16::MAX as usize;

/// Appends the messages of `op` to `out` and gives their number. Only steps on elements have
/// another number of messages than one.
pub(super) fn encode(
    op: &Op,
    seq: Sequence,
    extra_flags: u16,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<usize> {
    match op {
        Op::AddSet { set, spec } => {
            let id = seq.next.wrapping_sub(seq.first);
            out.extend(encode_set::new_set(set, spec, seq.next, extra_flags, id)?);
        }
        Op::DeleteSet(set) => out.extend(encode_set::delete_set(set, seq.next, extra_flags)?),
        Op::AddElements { set, elements } => {
            return encode_set::elements(Action::Add, set, elements, seq.next, out);
        }
        Op::DeleteElements { set, elements } => {
            return encode_set::elements(Action::Delete, set, elements, seq.next, out);
        }
        _ => {
            let (family, kind, flags, object) = message_of(op)?;
            let header = Header {
                number: msg::number(kind),
                family: u16::from(wire::nfproto(family)),
                flags: flags | extra_flags,
                seq: seq.next,
            };
            out.extend_from_slice(scratch.build(header, &object));
        }
    }
    Ok(1)
}

/// Sequence numbers of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    /// That of the opening message.
    pub(super) first: u32,
    /// That of the message to be written.
    pub(super) next: u32,
}

/// Family, type, flags and content of the message of a step on tables, chains and rules.
fn message_of(op: &Op) -> Result<(IpFamily, u16, u16, Object)> {
    Ok(match op {
        Op::AddTable(table) => (
            table.family,
            msg::NEWTABLE,
            flags::CREATE,
            Object::Table(new_table(table)?),
        ),
        Op::AddCommentedTable { table, comment } => {
            let object = Object::Table(commented_table(table, comment)?);
            (table.family, msg::NEWTABLE, flags::CREATE, object)
        }
        Op::AddOwnedTable { table, comment } => {
            let mut object = commented_table(table, comment)?;
            object.flags(wire::table::OWNER);
            let object = Object::Table(object);
            (table.family, msg::NEWTABLE, flags::CREATE, object)
        }
        Op::DeleteTable(table) => (
            table.family,
            msg::DELTABLE,
            0,
            Object::Table(new_table(table)?),
        ),
        Op::AddChain { chain, hook } => (
            chain.table.family,
            msg::NEWCHAIN,
            flags::CREATE,
            Object::Chain(new_chain(chain, hook.as_ref())?),
        ),
        // Without NLM_F_NONREC the kernel would delete a chain together with its rules, also with
        // those that somebody else has put there in the meantime.
        Op::DeleteChain(chain) => (
            chain.table.family,
            msg::DELCHAIN,
            flags::NONREC,
            Object::Chain(new_chain(chain, None)?),
        ),
        Op::FlushChain(chain) => (
            chain.table.family,
            msg::DELRULE,
            0,
            Object::Rule(new_rule(chain)?),
        ),
        Op::DeleteRule { chain, handle } => {
            let mut rule = new_rule(chain)?;
            rule.handle(*handle);
            (chain.table.family, msg::DELRULE, 0, Object::Rule(rule))
        }
        Op::AddRule { chain, place, rule } => {
            let mut object = new_rule(chain)?;
            let flags = flags::CREATE | set_place(&mut object, *place);
            set_body(&mut object, rule)?;
            (
                chain.table.family,
                msg::NEWRULE,
                flags,
                Object::Rule(object),
            )
        }
        // `encode` has written these itself.
        Op::AddSet { .. }
        | Op::DeleteSet(_)
        | Op::AddElements { .. }
        | Op::DeleteElements { .. } => return Err(EncodeReason::Library),
    })
}

fn new_table(table: &TableRef) -> Result<NftTable> {
    Ok(NftTable::new(Name::object(&table.name)?.c_str())?)
}

fn commented_table(table: &TableRef, comment: &str) -> Result<NftTable> {
    let mut object = new_table(table)?;
    let mut userdata = Vec::new();
    encode_set::put_comment_data(&mut userdata, wire::table::UDATA_COMMENT, comment)?;
    object.userdata(&userdata)?;
    Ok(object)
}

fn new_chain(chain: &ChainRef, hook: Option<&Hook>) -> Result<NftChain> {
    let table = Name::object(&chain.table.name)?;
    let name = Name::object(&chain.name)?;
    let mut payload = NftChain::new(table.c_str(), name.c_str())?;
    if let Some(hook) = hook {
        // No policy: the kernel's default is accept, and an existing chain keeps the policy its
        // administrator gave it.
        let kind = Name::object(hook.chain_type)?;
        payload.hook(kind.c_str(), hook.hook, hook.priority)?;
    }
    Ok(payload)
}

fn new_rule(chain: &ChainRef) -> Result<NftRule> {
    let table = Name::object(&chain.table.name)?;
    let name = Name::object(&chain.name)?;
    Ok(NftRule::new(table.c_str(), name.c_str())?)
}

/// `NLM_F_APPEND` tells "after" from "before", of the chain as of a neighbour.
fn set_place(payload: &mut NftRule, place: Place) -> u16 {
    match place {
        Place::Append => flags::APPEND,
        Place::Prepend => 0,
        Place::Before(handle) => {
            payload.position(handle);
            0
        }
        Place::After(handle) => {
            payload.position(handle);
            flags::APPEND
        }
    }
}

fn set_body(payload: &mut NftRule, rule: &RuleBody) -> Result<()> {
    let size: usize = rule.exprs.iter().map(size_bound).sum();
    if size > EXPRESSIONS_MAX {
        return Err(EncodeReason::RuleTooLarge(size));
    }
    if let Some((protocol, flags)) = rule.compat {
        payload.compat(protocol, flags);
    }
    if !rule.userdata.is_empty() {
        bounded("user data", &rule.userdata, USERDATA_MAX)?;
        payload.userdata(&rule.userdata)?;
    }
    for expr in &rule.exprs {
        payload.add(new_expr(expr)?);
    }
    Ok(())
}
