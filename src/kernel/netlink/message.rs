//! Netlink messages (`struct nlmsghdr`): reading a datagram of them, reading error replies, and
//! writing small requests.
//!
//! The numbers are those of `include/uapi/linux/netlink.h`.

use super::attr::Attrs;

/// Size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Size of `struct nfgenmsg`, which opens every netfilter message.
const NFGENMSG: usize = 4;

/// `NLMSG_*` control message types.
pub(crate) mod kind {
    /// Error or acknowledgement.
    pub(crate) const ERROR: u16 = 2;
    /// End of a dump.
    pub(crate) const DONE: u16 = 3;
}

/// `NLM_F_*` header flags.
pub(crate) mod flags {
    /// None.
    pub(crate) const NONE: u16 = 0;
    /// Must be set on all requests.
    pub(crate) const REQUEST: u16 = 0x1;
    /// Reply with an acknowledgement.
    pub(crate) const ACK: u16 = 0x4;
    /// Reply with what was done.
    pub(crate) const ECHO: u16 = 0x8;
    /// The dump was inconsistent due to a concurrent change.
    pub(crate) const DUMP_INTR: u16 = 0x10;
    /// Return all objects.
    pub(crate) const DUMP: u16 = 0x300;
    /// Delete only if nothing depends on it.
    pub(crate) const NONREC: u16 = 0x100;
    /// In an error reply: the original message's payload was left out.
    pub(super) const CAPPED: u16 = 0x100;
    /// In an error reply: attributes follow.
    pub(super) const ACK_TLVS: u16 = 0x200;
    /// Create if missing.
    pub(crate) const CREATE: u16 = 0x400;
    /// Add to the end of a list.
    pub(crate) const APPEND: u16 = 0x800;
}

/// One message, borrowed from the datagram it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Message type.
    pub(crate) kind: u16,
    /// Flags.
    pub(crate) flags: u16,
    /// Sequence number: that of the request answered.
    pub(crate) seq: u32,
    /// Port of the socket that asked.
    pub(crate) portid: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The nf_tables (or other netfilter) attributes, with offsets counted from the start of the
    /// message as the kernel's extended acknowledgement counts.
    pub(crate) fn attrs(&self) -> Attrs<'a> {
        Attrs::counted_from(
            self.payload.get(NFGENMSG..).unwrap_or_default(),
            HEADER + NFGENMSG,
        )
    }

    /// `nfgen_family` of the netfilter header.
    pub(crate) fn family(&self) -> Option<u8> {
        self.payload.first().copied()
    }
}

/// Iterator over the messages of a datagram, or of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads messages.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (header, _) = self.rest.split_first_chunk::<HEADER>()?;
        let word = |at: usize| -> Option<[u8; 4]> { header.get(at..at + 4)?.try_into().ok() };
        let half = |at: usize| -> Option<[u8; 2]> { header.get(at..at + 2)?.try_into().ok() };
        let len = usize::try_from(u32::from_ne_bytes(word(0)?)).ok()?;
        let message = Message {
            kind: u16::from_ne_bytes(half(4)?),
            flags: u16::from_ne_bytes(half(6)?),
            seq: u32::from_ne_bytes(word(8)?),
            portid: u32::from_ne_bytes(word(12)?),
            payload: self.rest.get(HEADER..len)?,
        };
        let step = len.next_multiple_of(4).min(self.rest.len());
        self.rest = self.rest.get(step..)?;
        Some(message)
    }
}

/// `NLMSG_ERROR`: an acknowledgement (errno 0) or a refusal with the kernel's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorReply {
    /// Positive errno, or 0 for an acknowledgement.
    pub(crate) errno: i32,
    /// `NLMSGERR_ATTR_MSG`: the reason in words, where the kernel gives one.
    pub(crate) text: Option<String>,
    /// `NLMSGERR_ATTR_OFFS`: offset of the offending attribute in the refused message.
    pub(crate) offset: Option<usize>,
}

impl ErrorReply {
    const ATTR_MSG: u16 = 1;
    const ATTR_OFFS: u16 = 2;

    /// Reads the error out of a message of type [`kind::ERROR`] (or of [`kind::DONE`], which
    /// carries the same leading number).
    pub(crate) fn read(message: &Message<'_>) -> Option<Self> {
        let (errno, rest) = message.payload.split_first_chunk::<4>()?;
        let mut reply = Self {
            errno: i32::from_ne_bytes(*errno).saturating_neg(),
            text: None,
            offset: None,
        };
        if message.kind == kind::ERROR && message.flags & flags::ACK_TLVS != 0 {
            reply.read_attrs(rest, message.flags & flags::CAPPED != 0);
        }
        Some(reply)
    }

    /// The attributes follow the header of the refused message, and its payload unless capped.
    fn read_attrs(&mut self, original: &[u8], capped: bool) {
        let skip = if capped {
            HEADER
        } else {
            original
                .first_chunk::<4>()
                .and_then(|len| usize::try_from(u32::from_ne_bytes(*len)).ok())
                .map_or(HEADER, |len| len.next_multiple_of(4))
        };
        for attr in Attrs::new(original.get(skip..).unwrap_or_default()) {
            match attr.kind {
                Self::ATTR_MSG => self.text = attr.text().map(str::to_owned),
                Self::ATTR_OFFS => {
                    self.offset = attr.u32_ne().and_then(|at| usize::try_from(at).ok());
                }
                _ => {}
            }
        }
    }
}

/// Writes small netfilter messages: dump requests, batch frames, objects with a handful of
/// attributes. Large nf_tables objects are libnftnl's work.
#[derive(Debug)]
pub(crate) struct RequestWriter {
    bytes: Vec<u8>,
}

impl RequestWriter {
    /// Starts a message. `resource` is `nfgenmsg.res_id`, given in host byte order.
    pub(crate) fn new(kind: u16, flags: u16, seq: u32, family: u8, resource: u16) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend([0; 4]);
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | flags::REQUEST).to_ne_bytes());
        bytes.extend(seq.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend([family, 0]);
        bytes.extend(resource.to_be_bytes());
        Self { bytes }
    }

    /// Adds an attribute. Payloads longer than an attribute can be are cut; callers pass names and
    /// numbers.
    pub(crate) fn attr(mut self, kind: u16, payload: &[u8]) -> Self {
        put_attr(&mut self.bytes, kind, payload);
        self
    }

    /// Adds an attribute that holds attributes; `inside` writes them with [`put_attr`].
    pub(crate) fn nested(self, kind: u16, inside: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut payload = Vec::with_capacity(64);
        inside(&mut payload);
        self.attr(kind | NESTED, &payload)
    }

    /// Adds a NUL-terminated text attribute.
    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.extend(text.as_bytes());
        payload.push(0);
        self.attr(kind, &payload)
    }

    /// Adds a number in network byte order.
    pub(crate) fn u32_be(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// The finished message.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for (to, from) in self.bytes.iter_mut().zip(len.to_ne_bytes()) {
            *to = from;
        }
        self.bytes
    }
}

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Appends an attribute, padded, to what becomes the payload of another.
pub(crate) fn put_attr(bytes: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let len = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(len.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload.iter().take(usize::from(len.saturating_sub(4))));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends an attribute that holds attributes.
pub(crate) fn put_nested(bytes: &mut Vec<u8>, kind: u16, inside: impl FnOnce(&mut Vec<u8>)) {
    let mut payload = Vec::with_capacity(40);
    inside(&mut payload);
    put_attr(bytes, kind | NESTED, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_request_reads_back() {
        let mut bytes = RequestWriter::new(0x0a07, flags::DUMP, 42, 2, 0)
            .text(1, "nat")
            .u32_be(2, 7)
            .finish();
        bytes.extend(RequestWriter::new(0x0a10, 0, 43, 0, 0).finish());
        let read: Vec<_> = Messages::new(&bytes).collect();
        assert_eq!(read.len(), 2);
        let first = read.first().unwrap();
        assert_eq!((first.kind, first.seq), (0x0a07, 42));
        assert_eq!(first.flags, flags::DUMP | flags::REQUEST);
        assert_eq!(first.family(), Some(2));
        assert_eq!(first.attrs().find(1).unwrap().text(), Some("nat"));
        assert_eq!(first.attrs().find(2).unwrap().offset, 28);
    }

    #[test]
    fn a_message_longer_than_the_datagram_ends_the_iteration() {
        let bytes = RequestWriter::new(1, 0, 1, 0, 0).text(1, "nat").finish();
        assert_eq!(
            Messages::new(bytes.get(..bytes.len() - 4).unwrap()).count(),
            0
        );
        assert_eq!(Messages::new(&[0; 32]).count(), 0);
    }

    #[test]
    fn an_error_reply_carries_text_and_offset() {
        let original = RequestWriter::new(0x0a06, 0, 9, 2, 0).finish();
        let mut payload = (-2i32).to_ne_bytes().to_vec();
        payload.extend(original.get(..HEADER).unwrap());
        payload.extend([12, 0, 1, 0]);
        payload.extend(b"no such\0");
        payload.extend([8, 0, 2, 0]);
        payload.extend(20u32.to_ne_bytes());
        let message = Message {
            kind: kind::ERROR,
            flags: flags::CAPPED | flags::ACK_TLVS,
            seq: 9,
            portid: 1,
            payload: &payload,
        };
        assert_eq!(
            ErrorReply::read(&message).unwrap(),
            ErrorReply {
                errno: 2,
                text: Some("no such".to_owned()),
                offset: Some(20)
            }
        );
    }
}
