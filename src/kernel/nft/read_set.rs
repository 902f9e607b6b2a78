//! Dumps of sets and elements, and elements by key.
//!
//! A dump of a set restarts its walk for every 32 KiB it returns, so its cost is quadratic: above
//! some 100 000 elements asking by key is cheaper. And because the walk is restarted by count, a
//! dump while the kernel moves the elements to a larger or smaller hash table, which it does in the
//! background, lists some of them twice and others not at all; no generation tells of that.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use nix::errno::Errno;

use super::decode_set;
use super::encode_set;
use super::error::ReadError;
use super::read::{Asked, Flow, dump, dump_request, exchange, generation};
use super::view::{ElementView, SetView};
use super::wire::{self, msg};
use crate::kernel::netlink::Socket;
use crate::plan::op::{SetRef, TableRef};

/// Keys in one request; each found one comes back as a datagram of its own.
const KEYS: usize = 256;
/// Receive room per datagram.
const REPLY_ROOM: usize = 8 * 1024;

/// Visits the sets and maps of a table, nameless ones among them; none if there is no such table.
///
/// # Errors
/// See [`ReadError`]; what was visited before an error must be thrown away.
pub fn dump_sets(
    socket: &mut Socket,
    table: &TableRef,
    visit: &mut dyn FnMut(SetView<'_>),
) -> Result<(), ReadError> {
    let what = Asked("sets");
    let request =
        |seq| dump_request(msg::GETSET, table.family, seq).text(wire::set::TABLE, &table.name);
    let result = dump(socket, what, request, msg::NEWSET, &mut |message| {
        let set = decode_set::set(message, table.family);
        if set.name.is_empty() {
            return Err(what.malformed("NFTA_SET_NAME"));
        }
        visit(set);
        Ok(())
    });
    missing_is_empty(result)
}

/// Visits the elements of a set, in no order; none if there is no such set. For large sets see
/// [`get_elements`].
///
/// # Errors
/// See [`ReadError`]; what was visited before an error must be thrown away. A set whose hash table
/// is being resized is [`ReadError::Interrupted`] like one that others write to.
pub fn dump_elements(
    socket: &mut Socket,
    set: &SetRef,
    visit: &mut dyn FnMut(ElementView<'_>),
) -> Result<(), ReadError> {
    let request = |seq| {
        dump_request(msg::GETSETELEM, set.table.family, seq)
            .text(wire::elem::LIST_TABLE, &set.table.name)
            .text(wire::elem::LIST_SET, &set.name)
    };
    let before = generation(socket)?;
    let what = Asked("elements");
    let mut seen = Seen::default();
    let result = dump(socket, what, request, msg::NEWSETELEM, &mut |message| {
        for element in decode_set::elements(message) {
            if !seen.is_new(&element) {
                return Err(ReadError::Interrupted);
            }
            visit(element);
        }
        Ok(())
    });
    missing_is_empty(result)?;
    unchanged_since(socket, before)
}

/// Digests of the elements that a dump has listed.
///
/// Each walk passes every element at least once, and each datagram goes on after as many elements
/// as came before. So a dump in which none comes twice has all of them.
#[derive(Default)]
struct Seen {
    elements: HashSet<u64>,
    hasher: RandomState,
}

impl Seen {
    /// Whether it is the first time. In a set of intervals the end of one may be the start of the
    /// next.
    fn is_new(&mut self, element: &ElementView<'_>) -> bool {
        let digest = self.hasher.hash_one((element.key, element.interval_end));
        self.elements.insert(digest)
    }
}

/// Asks for elements by key and visits each key's index with the element, or with `None` where
/// the set, or the whole set, is missing.
///
/// The cost grows with the number of keys only, and a missing one costs a request.
///
/// # Errors
/// See [`ReadError`]; what was visited before an error must be thrown away.
pub fn get_elements(
    socket: &mut Socket,
    set: &SetRef,
    keys: &[&[u8]],
    visit: &mut dyn FnMut(usize, Option<ElementView<'_>>),
) -> Result<(), ReadError> {
    let before = generation(socket)?;
    socket.reserve(0, KEYS * REPLY_ROOM);
    let mut done = 0;
    while let Some(rest) = keys.get(done..)
        && !rest.is_empty()
    {
        let chunk = rest.get(..KEYS).unwrap_or(rest);
        let found = get_chunk(socket, set, chunk, &mut |index, element| {
            visit(done + index, Some(element));
        })?;
        done += found;
        if found < chunk.len() {
            // The kernel stops at the first that is missing.
            visit(done, None);
            done += 1;
        }
    }
    unchanged_since(socket, before)
}

/// Asks for a few keys and gives how many of them, from the first on, are there.
fn get_chunk(
    socket: &mut Socket,
    set: &SetRef,
    keys: &[&[u8]],
    visit: &mut dyn FnMut(usize, ElementView<'_>),
) -> Result<usize, ReadError> {
    let what = Asked("elements");
    let seq = socket.next_seq();
    let request =
        encode_set::get_elements(set, keys, seq).map_err(|_| what.refused(Errno::EINVAL as i32))?;
    let mut found = 0;
    let answer = exchange(socket, &request, seq, what, &mut |message| {
        if message.kind == msg::NEWSETELEM {
            for element in decode_set::elements(message) {
                visit(found, element);
                found += 1;
            }
        }
        Ok(Flow::More)
    });
    missing_is_empty(answer)?;
    Ok(found)
}

/// A list of something that is not there is an empty one.
fn missing_is_empty(result: Result<(), ReadError>) -> Result<(), ReadError> {
    match result {
        Err(ReadError::Refused { errno, .. }) if errno == Errno::ENOENT as i32 => Ok(()),
        other => other,
    }
}

fn unchanged_since(socket: &mut Socket, before: u32) -> Result<(), ReadError> {
    if generation(socket)? == before {
        Ok(())
    } else {
        Err(ReadError::Interrupted)
    }
}
