//! The monitor's reading, on hand-made messages.

use proptest::prelude::*;

use super::incoming::{Incoming, is_after};
use super::*;
use crate::kernel::netlink::RequestWriter;
use crate::kernel::nft::wire::msg;
use crate::model::IpFamily::{V4, V6};
use crate::plan::op::TableRef;

/// `NFPROTO_IPV4`.
const IPV4: u8 = 2;

fn interest() -> Interest {
    let table = |family| TableRef {
        family,
        name: "portolan".into(),
    };
    Interest::new().table(table(V4)).table(table(V6))
}

/// A message that a port caused.
fn caused_by(port: u32, writer: RequestWriter) -> Vec<u8> {
    let mut bytes = writer.finish();
    bytes[12..16].copy_from_slice(&port.to_ne_bytes());
    bytes
}

fn rule_deleted(port: u32, chain: &str) -> Vec<u8> {
    let writer = RequestWriter::new(msg::DELRULE, 0, 1, IPV4, 0)
        .text(wire::rule::TABLE, "portolan")
        .text(wire::rule::CHAIN, chain);
    caused_by(port, writer)
}

fn end(port: u32, generation: u32) -> Vec<u8> {
    let writer = RequestWriter::new(msg::NEWGEN, 0, 1, 0, 0)
        .u32_be(wire::GEN_ID, generation)
        .u32_be(wire::GEN_PROC_PID, 9)
        .text(wire::GEN_PROC_NAME, "nft");
    caused_by(port, writer)
}

/// What is told of messages that come one to a datagram.
fn told(incoming: &mut Incoming, own: &[u32], messages: &[Vec<u8>]) -> Vec<Heard> {
    for message in messages {
        incoming.take(message, own, &interest());
    }
    incoming.ready.drain(..).collect()
}

fn transaction(generation: u32, chain: &str, rules: usize) -> Heard {
    let kind = ObjectKind::Rule;
    let mut damage = Damage::new(V4, "portolan".into(), kind, Some(chain.into()));
    damage.deleted = rules;
    Heard::Transaction(Transaction {
        generation,
        process: Process {
            pid: Some(9),
            name: Some("nft".into()),
        },
        damage: vec![damage],
    })
}

#[test]
fn a_transaction_is_told_when_it_is_complete() {
    let mut incoming = Incoming::default();
    let rule = || rule_deleted(7, "services");
    assert_eq!(told(&mut incoming, &[], &[rule(), rule()]), []);
    let heard = told(&mut incoming, &[], &[rule(), end(7, 5)]);
    assert_eq!(heard, [transaction(5, "services", 3)]);
    assert_eq!(told(&mut incoming, &[], &[end(8, 6)]), []);
    assert_eq!(incoming.last, Some(6));
}

#[test]
fn messages_of_one_datagram_are_all_read() {
    let mut incoming = Incoming::default();
    let datagram = [rule_deleted(7, "a"), rule_deleted(7, "a"), end(7, 5)].concat();
    let heard = told(&mut incoming, &[], &[datagram]);
    assert_eq!(heard, [transaction(5, "a", 2)]);
}

#[test]
fn own_transactions_leave_no_trace() {
    let mut incoming = Incoming::default();
    let messages = [rule_deleted(3, "a"), end(3, 4)];
    assert_eq!(told(&mut incoming, &[2, 3], &messages), []);
    assert_eq!(incoming.last, None);
}

#[test]
fn a_transaction_without_an_end_means_that_something_is_missing() {
    let mut incoming = Incoming::default();
    let messages = [rule_deleted(7, "a"), rule_deleted(8, "b"), end(8, 5)];
    let expected = [Heard::Overrun, transaction(5, "b", 1)];
    assert_eq!(told(&mut incoming, &[], &messages), expected);
    let messages = [rule_deleted(7, "a"), end(8, 6)];
    assert_eq!(told(&mut incoming, &[], &messages), [Heard::Overrun]);
}

#[test]
fn what_the_kernel_does_by_itself_is_no_foreign_change() {
    let mut incoming = Incoming::default();
    let messages = [rule_deleted(0, "a"), rule_deleted(7, "b"), end(7, 5)];
    let heard = told(&mut incoming, &[], &messages);
    assert_eq!(heard, [transaction(5, "b", 1)]);
}

#[test]
fn what_was_read_up_to_a_generation_is_not_told_also_when_generations_start_anew() {
    let mut incoming = Incoming::default();
    incoming.known = Some(u32::MAX);
    let old = [rule_deleted(7, "a"), end(7, u32::MAX)];
    assert_eq!(told(&mut incoming, &[], &old), []);
    let new = [rule_deleted(7, "a"), end(7, 1)];
    assert_eq!(told(&mut incoming, &[], &new), [transaction(1, "a", 1)]);
    assert!(is_after(2, 1) && !is_after(1, 1) && !is_after(1, 2));
    assert!(is_after(3, u32::MAX - 3) && !is_after(u32::MAX - 3, 3));
}

#[test]
fn names_that_only_begin_alike_are_other_tables() {
    let mut incoming = Incoming::default();
    for table in ["portolan2", "portola", ""] {
        let writer = RequestWriter::new(msg::DELTABLE, 0, 1, IPV4, 0).text(1, table);
        let messages = [caused_by(7, writer), end(7, 5)];
        assert_eq!(told(&mut incoming, &[], &messages), [], "{table:?}");
    }
}

#[test]
fn only_distinct_names_take_memory_and_only_some_of_them() {
    let mut incoming = Incoming::default();
    let mut messages = Vec::new();
    for round in 0..3 {
        for chain in 0..1000 {
            messages.push(rule_deleted(7, &format!("c{chain}")));
        }
        messages.push(rule_deleted(7, &format!("late{round}")));
    }
    messages.push(end(7, 5));
    let heard = told(&mut incoming, &[], &messages);
    let [Heard::Transaction(transaction)] = &*heard else {
        panic!("{heard:?}");
    };
    assert_eq!(transaction.damage.len(), 257);
    let deleted: usize = transaction.damage.iter().map(|d| d.deleted).sum();
    assert_eq!(deleted, 3003);
    assert_eq!(transaction.damage[256].name, None);
}

proptest! {
    #[test]
    fn no_datagram_makes_the_reader_fail(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in 0u8..40,
        chop in 0usize..60,
    ) {
        let mut incoming = Incoming::default();
        let nat = TableRef { family: V4, name: "nat".into() };
        let interest = interest().chains(nat, "KUBE-").keep_keys(4);
        incoming.take(&bytes, &[], &interest);
        // The same as the attributes of a well-formed message.
        let writer = RequestWriter::new(msg::NEWTABLE | u16::from(kind), 0, 1, IPV4, 0)
            .text(1, "nat")
            .attr(3, &bytes)
            .attr(4, &bytes)
            .text(2, "KUBE-A");
        let message = caused_by(7, writer);
        incoming.take(&message, &[], &interest);
        let rest = message.len().saturating_sub(chop);
        incoming.take(&message[..rest], &[], &interest);
    }
}
