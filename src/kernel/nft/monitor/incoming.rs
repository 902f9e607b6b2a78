//! From datagrams to transactions: whose they are, where they end, and whether they are news.

use std::collections::VecDeque;

use super::Heard;
use super::event::{End, Notification};
use super::interest::Interest;
use super::transaction::Collector;
use crate::kernel::netlink::Messages;

/// The port of notifications that no program caused, such as a device that went away.
const KERNEL: u32 = 0;

/// What was received and not told yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// To be told, in order.
    pub(super) ready: VecDeque<Heard>,
    /// What the caller has read itself.
    pub(super) known: Option<u32>,
    /// The last foreign generation.
    pub(super) last: Option<u32>,
    collector: Collector,
    /// Whose transaction is coming in.
    requester: Option<u32>,
}

impl Incoming {
    /// Forgets a transaction that is not complete.
    pub(super) fn abandon(&mut self) {
        self.collector.clear();
        self.requester = None;
    }

    /// Forgets an incomplete transaction of a port.
    pub(super) fn abandon_of(&mut self, port: u32) {
        if self.requester == Some(port) {
            self.abandon();
        }
    }

    /// Takes one datagram.
    pub(super) fn take(&mut self, datagram: &[u8], own: &[u32], interest: &Interest) {
        for message in Messages::new(datagram) {
            if message.portid == KERNEL || own.contains(&message.portid) {
                continue;
            }
            match Notification::read(&message) {
                Notification::Event(event) => {
                    self.expect(message.portid);
                    self.collector.add(&event, interest);
                }
                Notification::End(end) => {
                    self.expect(message.portid);
                    self.requester = None;
                    self.end(&end);
                }
                Notification::Other => {}
            }
        }
    }

    /// Transactions never mix: another requester means that the end of the last one was lost.
    fn expect(&mut self, port: u32) {
        if self.requester.is_some_and(|requester| requester != port) {
            self.abandon();
            self.ready.push_back(Heard::Overrun);
        }
        self.requester = Some(port);
    }

    fn end(&mut self, end: &End<'_>) {
        self.last = Some(end.generation);
        let transaction = self.collector.finish(end);
        let news = self
            .known
            .is_none_or(|known| is_after(end.generation, known));
        if let Some(transaction) = transaction.filter(|_| news) {
            self.ready.push_back(Heard::Transaction(transaction));
        }
    }
}

/// Whether generation `a` was made after `b`; they count in a circle.
pub(super) fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}
