//! Many requests in one datagram, and the answers to them.
//!
//! The kernel takes the messages of a datagram one after another (`netlink_rcv_skb()`): one that is
//! refused does not keep the following from being tried. Only the last is acknowledged, the others
//! are heard of when they are refused. Must not know what the messages mean.

use std::io;

use nix::errno::Errno;

use super::exchange::answers;
use super::message::{ErrorReply, Message, Messages, flags, kind};
use super::socket::{Received, Socket, Wait};

/// Most bytes in one datagram: well below the send buffer that every process may have.
const DATAGRAM: usize = 64 * 1024;
/// Most messages in one datagram: if all are refused, the answers fit the receive buffer.
const MESSAGES: usize = 128;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Requests that are sent together.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    /// Where each message starts.
    starts: Vec<usize>,
}

/// A request that the kernel did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Which, counted from the first of the packet.
    pub(crate) index: usize,
    /// Why.
    pub(crate) reply: ErrorReply,
}

impl Packet {
    /// Starts a message: its type, flags beside `NLM_F_REQUEST`, and the header of its family.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, header: &[u8]) {
        self.starts.push(self.bytes.len());
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | flags::REQUEST).to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend(header);
        self.pad();
    }

    /// Adds an attribute to the message under way. Callers pass names, addresses and numbers:
    /// payloads longer than an attribute can be are cut.
    pub(crate) fn attr(&mut self, kind: u16, payload: &[u8]) {
        let len = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        let room = usize::from(len.saturating_sub(4));
        self.bytes.extend(payload.iter().take(room));
        self.pad();
    }

    /// Adds a NUL-terminated text attribute.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        self.attr(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// Adds an attribute that holds those that `fill` adds.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.attr(kind | NESTED, &[]);
        fill(self);
        let len = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.patch(start, &len.to_ne_bytes());
    }

    /// How many messages it has.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
    }

    fn end_of(&self, index: usize) -> usize {
        let next = self.starts.get(index + 1);
        next.copied().unwrap_or(self.bytes.len())
    }

    /// How many messages from `first` on go into one datagram.
    fn together(&self, first: usize) -> usize {
        let start = self.starts.get(first).copied().unwrap_or_default();
        let fits = (first..self.len().min(first + MESSAGES))
            .take_while(|index| self.end_of(*index) - start <= DATAGRAM);
        fits.count().max(1)
    }

    /// Writes length, sequence number and the wish for an acknowledgement into a header.
    fn complete(&mut self, index: usize, seq: u32, acknowledge: bool) {
        let Some(start) = self.starts.get(index).copied() else {
            return;
        };
        let len = u32::try_from(self.end_of(index) - start).unwrap_or(u32::MAX);
        self.patch(start, &len.to_ne_bytes());
        self.patch(start + 8, &seq.to_ne_bytes());
        if acknowledge {
            for (at, bits) in flags::ACK.to_ne_bytes().into_iter().enumerate() {
                if let Some(byte) = self.bytes.get_mut(start + 6 + at) {
                    *byte |= bits;
                }
            }
        }
    }
}

impl Socket {
    /// Sends all requests and gives those that were refused. Every request was tried when this
    /// returns.
    pub(crate) fn send_packet(&mut self, mut packet: Packet) -> io::Result<Vec<Refusal>> {
        let mut refusals = Vec::new();
        let mut first = 0;
        while first < packet.len() {
            let count = packet.together(first);
            let last = first + count - 1;
            let mut seqs = Vec::with_capacity(count);
            for index in first..=last {
                let seq = self.next_seq();
                packet.complete(index, seq, index == last);
                seqs.push(seq);
            }
            let start = packet.starts.get(first).copied().unwrap_or_default();
            let bytes = packet.bytes.get(start..packet.end_of(last));
            self.discard_stale()?;
            self.send(bytes.unwrap_or_default())?;
            self.collect(first, &seqs, &mut refusals)?;
            first = last + 1;
        }
        Ok(refusals)
    }

    /// Takes answers until the last request's has come.
    fn collect(
        &mut self,
        first: usize,
        seqs: &[u32],
        refusals: &mut Vec<Refusal>,
    ) -> io::Result<()> {
        let portid = self.portid();
        loop {
            let datagram = match self.receive(Wait::ForReply)? {
                Received::Datagram(datagram) => datagram,
                Received::Nothing => return Err(io::ErrorKind::TimedOut.into()),
                Received::Overrun => return Err(Errno::ENOBUFS.into()),
            };
            let mut done = false;
            for message in Messages::new(datagram) {
                if message.kind != kind::ERROR || message.portid != portid {
                    continue;
                }
                let index = seqs.iter().position(|seq| *seq == message.seq);
                let (Some(index), Some(reply)) = (index, ErrorReply::read(&message)) else {
                    continue;
                };
                done |= index + 1 == seqs.len();
                if reply.errno != 0 {
                    let index = first + index;
                    refusals.push(Refusal { index, reply });
                }
            }
            if done {
                return Ok(());
            }
        }
    }

    /// Sends the one request of a packet and visits everything that comes back until the end of
    /// the dump, or the one answer. Gives the refusal if there was one.
    pub(crate) fn ask(
        &mut self,
        mut packet: Packet,
        visit: &mut dyn FnMut(&Message<'_>),
    ) -> io::Result<Result<(), ErrorReply>> {
        let seq = self.next_seq();
        packet.complete(0, seq, false);
        answers(self, &packet.bytes, seq, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::attr::Attrs;
    use super::*;

    #[test]
    fn messages_with_nested_attributes_read_back() {
        let mut packet = Packet::default();
        packet.message(7, 0, &[1, 1, 0, 0]);
        packet.nest(1, |packet| {
            packet.attr(2, &[9; 3]);
            packet.text(3, "rr");
        });
        packet.message(8, flags::CREATE, &[2, 1, 0, 0]);
        packet.complete(0, 40, false);
        packet.complete(1, 41, true);
        let read: Vec<_> = Messages::new(&packet.bytes).collect();
        let seen: Vec<_> = read.iter().map(|m| (m.kind, m.seq, m.flags)).collect();
        assert_eq!(seen, [(7, 40, 1), (8, 41, flags::CREATE | 5)]);
        let nest = Attrs::new(read[0].payload.get(4..).unwrap())
            .next()
            .unwrap();
        let inside: Vec<_> = nest.nested().map(|attr| attr.kind).collect();
        assert_eq!((nest.kind, inside), (1, vec![2, 3]));
    }

    #[test]
    fn a_datagram_holds_no_more_than_its_limits() {
        let mut packet = Packet::default();
        for _ in 0..300 {
            packet.message(7, 0, &[0; 4]);
        }
        assert_eq!(packet.together(0), MESSAGES);
        assert_eq!(packet.together(256), 44);
        let mut large = Packet::default();
        for _ in 0..3 {
            large.message(7, 0, &[0; DATAGRAM / 2]);
        }
        assert_eq!((large.together(0), large.together(2)), (1, 1));
    }
}
