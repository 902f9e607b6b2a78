//! Dumps of tables, chains and rules, and the generation they belong to.
//!
//! One dump is read message by message and shown to a visitor, so memory does not depend on its
//! size. A dump during which somebody committed is reported as [`ReadError::Interrupted`].

use nix::errno::Errno;

use super::decode;
use super::decode_set::comment;
use super::error::ReadError;
use super::view::{BaseView, ChainView, RuleView, TableView};
use super::wire::{self, msg};
use crate::kernel::netlink::{
    ErrorReply, Message, Messages, Received, RequestWriter, Socket, Wait, flags, kind,
};
use crate::model::IpFamily;
use crate::plan::op::TableRef;

/// `NF_ACCEPT`.
const POLICY_ACCEPT: u32 = 1;

/// The present generation: a number that every commit by anybody in the namespace changes.
///
/// # Errors
/// No permission, or the socket failed.
pub fn generation(socket: &mut Socket) -> Result<u32, ReadError> {
    let seq = socket.next_seq();
    let request = RequestWriter::new(msg::GETGEN, 0, seq, 0, 0).finish();
    let what = Asked("the generation");
    let mut id = None;
    exchange(socket, &request, seq, what, &mut |message| {
        if message.kind == msg::NEWGEN {
            id = message.attrs().find(wire::GEN_ID).and_then(|a| a.u32_be());
        }
        Ok(Flow::Stop)
    })?;
    id.ok_or_else(|| what.malformed("NFTA_GEN_ID"))
}

/// Visits the tables of a family.
///
/// # Errors
/// See [`ReadError`]; what was visited before an error must be thrown away.
pub fn dump_tables(
    socket: &mut Socket,
    family: IpFamily,
    visit: &mut dyn FnMut(TableView<'_>),
) -> Result<(), ReadError> {
    let what = Asked("tables");
    let request = |seq| dump_request(msg::GETTABLE, family, seq);
    dump(socket, what, request, msg::NEWTABLE, &mut |message| {
        let attrs = message.attrs();
        let name = attrs.clone().find(wire::table::NAME);
        let uses = attrs.clone().find(wire::table::USE);
        let flags = attrs.clone().find(wire::table::FLAGS);
        let flags = flags.and_then(|a| a.u32_be()).unwrap_or_default();
        let userdata = attrs.clone().find(wire::table::USERDATA);
        let handle = attrs.find(wire::table::HANDLE);
        visit(TableView {
            family,
            name: name
                .and_then(|a| a.text())
                .ok_or_else(|| what.malformed("NFTA_TABLE_NAME"))?,
            handle: handle.and_then(|a| a.u64_be()).unwrap_or_default(),
            dormant: flags & wire::table::DORMANT != 0,
            comment: userdata.and_then(|a| comment(a.payload, wire::table::UDATA_COMMENT)),
            uses: uses.and_then(|a| a.u32_be()).unwrap_or_default(),
        });
        Ok(())
    })
}

/// Visits the chains of all tables of a family.
///
/// # Errors
/// See [`ReadError`]; what was visited before an error must be thrown away.
pub fn dump_family_chains(
    socket: &mut Socket,
    family: IpFamily,
    visit: &mut dyn FnMut(ChainView<'_>),
) -> Result<(), ReadError> {
    let what = Asked("chains");
    let request = |seq| dump_request(msg::GETCHAIN, family, seq);
    dump(socket, what, request, msg::NEWCHAIN, &mut |message| {
        visit(chain_view(message, family, what)?);
        Ok(())
    })
}

/// Visits the chains of a table; none if there is no such table.
///
/// The kernel filters chains by family only: who wants those of several tables asks for the
/// family once.
///
/// # Errors
/// See [`ReadError`]; what was visited before an error must be thrown away.
pub fn dump_chains(
    socket: &mut Socket,
    table: &TableRef,
    visit: &mut dyn FnMut(ChainView<'_>),
) -> Result<(), ReadError> {
    dump_family_chains(socket, table.family, &mut |chain| {
        if chain.table == &*table.name {
            visit(chain);
        }
    })
}

/// Visits the rules of a table, or of one chain of it; none if there is no such table or chain.
///
/// A whole table is read chain by chain. In one dump the kernel would walk all rules of the table
/// from the first for every 32 KiB it hands out: 310 000 rules in 110 000 chains took 74 s of its
/// time.
///
/// # Errors
/// See [`ReadError`]; what was visited before an error must be thrown away.
pub fn dump_rules(
    socket: &mut Socket,
    table: &TableRef,
    chain: Option<&str>,
    visit: &mut dyn FnMut(RuleView<'_>),
) -> Result<(), ReadError> {
    if let Some(chain) = chain {
        return dump_chain_rules(socket, table, chain, visit);
    }
    let before = generation(socket)?;
    let mut names = Vec::<Box<str>>::new();
    dump_chains(socket, table, &mut |chain| names.push(chain.name.into()))?;
    for name in names {
        dump_chain_rules(socket, table, &name, visit)?;
    }
    // Each dump notices a commit while it runs; this notices one in between.
    if generation(socket)? == before {
        Ok(())
    } else {
        Err(ReadError::Interrupted)
    }
}

fn dump_chain_rules(
    socket: &mut Socket,
    table: &TableRef,
    chain: &str,
    visit: &mut dyn FnMut(RuleView<'_>),
) -> Result<(), ReadError> {
    let what = Asked("rules");
    let request = |seq| {
        dump_request(msg::GETRULE, table.family, seq)
            .text(wire::rule::TABLE, &table.name)
            .text(wire::rule::CHAIN, chain)
    };
    dump(socket, what, request, msg::NEWRULE, &mut |message| {
        visit(rule_view(message, table.family, what)?);
        Ok(())
    })
}

fn chain_view<'a>(
    message: &Message<'a>,
    family: IpFamily,
    what: Asked,
) -> Result<ChainView<'a>, ReadError> {
    let mut view = ChainView {
        family,
        table: "",
        name: "",
        handle: 0,
        uses: 0,
        base: None,
    };
    let mut hook = None;
    let mut chain_type = None;
    let mut policy_accept = true;
    for attr in message.attrs() {
        match attr.kind {
            wire::chain::TABLE => view.table = attr.text().unwrap_or_default(),
            wire::chain::NAME => view.name = attr.text().unwrap_or_default(),
            wire::chain::HANDLE => view.handle = attr.u64_be().unwrap_or_default(),
            wire::chain::USE => view.uses = attr.u32_be().unwrap_or_default(),
            wire::chain::TYPE => chain_type = attr.text(),
            wire::chain::POLICY => policy_accept = attr.u32_be() == Some(POLICY_ACCEPT),
            wire::chain::HOOK => hook = Some(attr),
            _ => {}
        }
    }
    if let Some(hook) = hook {
        let number = |kind| hook.nested().find(kind).and_then(|a| a.u32_be());
        view.base = Some(BaseView {
            chain_type: chain_type.ok_or_else(|| what.malformed("NFTA_CHAIN_TYPE"))?,
            hook: number(wire::chain::HOOK_NUM)
                .ok_or_else(|| what.malformed("NFTA_HOOK_HOOKNUM"))?,
            priority: number(wire::chain::HOOK_PRIORITY)
                .ok_or_else(|| what.malformed("NFTA_HOOK_PRIORITY"))?
                .cast_signed(),
            policy_accept,
        });
    }
    if view.name.is_empty() {
        return Err(what.malformed("NFTA_CHAIN_NAME"));
    }
    Ok(view)
}

fn rule_view<'a>(
    message: &Message<'a>,
    family: IpFamily,
    what: Asked,
) -> Result<RuleView<'a>, ReadError> {
    let attrs = message.attrs();
    let mut view = RuleView {
        family,
        table: "",
        chain: "",
        handle: 0,
        position: None,
        body: decode::rule_body(&attrs),
    };
    for attr in attrs {
        match attr.kind {
            wire::rule::TABLE => view.table = attr.text().unwrap_or_default(),
            wire::rule::CHAIN => view.chain = attr.text().unwrap_or_default(),
            wire::rule::HANDLE => view.handle = attr.u64_be().unwrap_or_default(),
            wire::rule::POSITION => view.position = attr.u64_be(),
            _ => {}
        }
    }
    if view.handle == 0 {
        return Err(what.malformed("NFTA_RULE_HANDLE"));
    }
    Ok(view)
}

pub(super) fn dump_request(kind: u16, family: IpFamily, seq: u32) -> RequestWriter {
    RequestWriter::new(kind, flags::DUMP, seq, wire::nfproto(family), 0)
}

/// What was asked for, for error messages.
#[derive(Clone, Copy)]
pub(super) struct Asked(pub(super) &'static str);

impl Asked {
    pub(super) fn malformed(self, missing: &'static str) -> ReadError {
        ReadError::Malformed {
            object: self.0.to_owned(),
            missing,
        }
    }

    pub(super) fn refused(self, errno: i32) -> ReadError {
        match Errno::from_raw(errno) {
            Errno::EPERM => ReadError::Permission,
            Errno::EINTR => ReadError::Interrupted,
            _ => ReadError::Refused {
                object: self.0.to_owned(),
                errno,
            },
        }
    }
}

/// Whether more replies to a request are expected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    More,
    Stop,
}

/// Runs one dump to its end, also after an error, so that the socket can be used again.
pub(super) fn dump(
    socket: &mut Socket,
    what: Asked,
    request: impl FnOnce(u32) -> RequestWriter,
    reply: u16,
    each: &mut dyn FnMut(&Message<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let seq = socket.next_seq();
    let request = request(seq).finish();
    let mut outcome = Ok(());
    exchange(socket, &request, seq, what, &mut |message| {
        if message.flags & flags::DUMP_INTR != 0 {
            outcome = Err(ReadError::Interrupted);
        }
        if message.kind == kind::DONE {
            let errno = ErrorReply::read(message).map_or(0, |error| error.errno);
            return if errno == 0 {
                Ok(Flow::Stop)
            } else {
                Err(what.refused(errno))
            };
        }
        if message.kind == reply && outcome.is_ok() {
            outcome = each(message);
        }
        Ok(Flow::More)
    })?;
    outcome
}

/// Sends a request and hands every reply to it to `each` until that says stop.
pub(super) fn exchange(
    socket: &mut Socket,
    request: &[u8],
    seq: u32,
    what: Asked,
    each: &mut dyn FnMut(&Message<'_>) -> Result<Flow, ReadError>,
) -> Result<(), ReadError> {
    let io = |operation| move |source| ReadError::Io { operation, source };
    let portid = socket.portid();
    socket.send(request).map_err(io("sending a request"))?;
    loop {
        let received = socket
            .receive(Wait::ForReply)
            .map_err(io("receiving a list"))?;
        let datagram = match received {
            Received::Datagram(datagram) => datagram,
            Received::Nothing => {
                return Err(io("waiting for a reply")(
                    std::io::ErrorKind::TimedOut.into(),
                ));
            }
            Received::Overrun => {
                return Err(io("receiving a list")(Errno::ENOBUFS.into()));
            }
        };
        for message in Messages::new(datagram) {
            if message.seq != seq || message.portid != portid {
                continue;
            }
            if message.kind == kind::ERROR {
                let errno = ErrorReply::read(&message).map_or(0, |error| error.errno);
                // 0 is the acknowledgement of a request that asked for one.
                return if errno == 0 {
                    Ok(())
                } else {
                    Err(what.refused(errno))
                };
            }
            if each(&message)? == Flow::Stop {
                return Ok(());
            }
        }
    }
}
