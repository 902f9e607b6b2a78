//! Netlink attributes (`struct nlattr`): a type, a length and a payload, padded to 4 bytes.
//!
//! Owns the reading of them. Malformed input ends an iteration early; it never reads out of
//! bounds and never panics.

/// `NLA_TYPE_MASK`: the type without the `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` bits
/// (`include/uapi/linux/netlink.h`).
const TYPE_MASK: u16 = 0x3fff;
/// Size of `struct nlattr`.
const HEADER: usize = 4;

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr<'a> {
    /// Its type, without flag bits.
    pub(crate) kind: u16,
    /// Its payload, without padding.
    pub(crate) payload: &'a [u8],
    /// Where its header starts, counted from where the outermost [`Attrs`] was told to count from.
    pub(crate) offset: usize,
}

impl<'a> Attr<'a> {
    /// The payload as a number in network byte order, as all of nf_tables' numbers are.
    pub(crate) fn u32_be(&self) -> Option<u32> {
        self.payload.try_into().ok().map(u32::from_be_bytes)
    }

    /// The payload as a 64-bit number in network byte order.
    pub(crate) fn u64_be(&self) -> Option<u64> {
        self.payload.try_into().ok().map(u64::from_be_bytes)
    }

    /// The payload as a number in host byte order, as netlink's own attributes have it.
    pub(crate) fn u32_ne(&self) -> Option<u32> {
        self.payload.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The payload as text, without the closing NUL.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let end = self.payload.iter().position(|&b| b == 0);
        let text = self.payload.get(..end.unwrap_or(self.payload.len()))?;
        std::str::from_utf8(text).ok()
    }

    /// The attributes inside.
    pub(crate) fn nested(&self) -> Attrs<'a> {
        Attrs::counted_from(self.payload, self.offset + HEADER)
    }

    /// Where the attribute ends, without padding, counted as [`Attr::offset`] is.
    pub(crate) fn end(&self) -> usize {
        self.offset + HEADER + self.payload.len()
    }
}

/// Iterator over a sequence of attributes.
#[derive(Clone, Debug)]
pub(crate) struct Attrs<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Attrs<'a> {
    /// Reads attributes; the first byte of `bytes` is offset `offset`.
    pub(crate) fn counted_from(bytes: &'a [u8], offset: usize) -> Self {
        Self {
            rest: bytes,
            offset,
        }
    }

    /// Reads attributes.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::counted_from(bytes, 0)
    }

    /// The first attribute of a type.
    pub(crate) fn find(mut self, kind: u16) -> Option<Attr<'a>> {
        Iterator::find(&mut self, |attr| attr.kind == kind)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let (header, _) = self.rest.split_first_chunk::<HEADER>()?;
        let [l0, l1, t0, t1] = *header;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let payload = self.rest.get(HEADER..len)?;
        let attr = Attr {
            kind: u16::from_ne_bytes([t0, t1]) & TYPE_MASK,
            payload,
            offset: self.offset,
        };
        let step = len.next_multiple_of(4).min(self.rest.len());
        self.rest = self.rest.get(step..)?;
        self.offset += step;
        Some(attr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(payload.len() + 4)
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn attributes_are_read_with_their_padding_skipped() {
        let mut bytes = attr(1, b"nat\0");
        bytes.extend(attr(2, b"x\0"));
        bytes.extend(attr(3, &7u32.to_be_bytes()));
        let seen: Vec<_> = Attrs::new(&bytes).map(|a| (a.kind, a.offset)).collect();
        assert_eq!(seen, [(1, 0), (2, 8), (3, 16)]);
        assert_eq!(Attrs::new(&bytes).find(2).unwrap().text(), Some("x"));
        assert_eq!(Attrs::new(&bytes).find(3).unwrap().u32_be(), Some(7));
    }

    #[test]
    fn nested_attributes_keep_counting_from_the_outer_start() {
        let bytes = attr(4 | 0x8000, &attr(1, &[9; 4]));
        let outer = Attrs::counted_from(&bytes, 20).next().unwrap();
        let inner = outer.nested().next().unwrap();
        assert_eq!((outer.kind, inner.kind, inner.offset), (4, 1, 24));
    }

    #[test]
    fn a_length_beyond_the_end_or_below_the_header_ends_the_iteration() {
        for bytes in [
            &[200, 0, 1, 0, 1][..],
            &[3, 0, 1, 0],
            &[0, 0, 0, 0],
            &[8, 0],
        ] {
            assert_eq!(Attrs::new(bytes).count(), 0, "{bytes:?}");
        }
    }

    #[test]
    fn the_last_attribute_may_lack_its_padding() {
        let bytes = [5, 0, 1, 0, b'a'];
        assert_eq!(Attrs::new(&bytes).count(), 1);
    }
}
