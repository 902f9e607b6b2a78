//! The part of SPDY/3.1 that a forwarded port needs. Pure.
//!
//! A port is two streams: errors, which the kubelet writes, and data. Frames are those of the SPDY
//! draft 3.1; there is no flow control, since moby/spdystream on the other side has none. Header
//! blocks are a zlib stream, written here in stored blocks, which every inflater reads; those of
//! the other side say nothing that is needed and are not read.

/// The stream of errors.
pub(super) const ERROR: u32 = 1;
/// The stream of data.
pub(super) const DATA: u32 = 3;

const VERSION: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
/// Flag: the sender sends no more on this stream.
const FIN: u8 = 1;
const HEAD: usize = 8;

/// What came from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A stream of ours is taken.
    Reply(u32),
    /// Bytes; the last of them where it says so.
    Data {
        stream: u32,
        bytes: Vec<u8>,
        last: bool,
    },
    /// A stream is ended at once, or was not taken, with a status of the draft.
    Reset { stream: u32, status: u32 },
    /// To be answered with the same number.
    Ping(u32),
    /// No more streams.
    GoAway,
    /// What asks for nothing here.
    Other,
}

/// Not SPDY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of SPDY/3.1: {0:02x?}")]
pub(super) struct Malformed([u8; HEAD]);

/// Bytes, of which frames are taken as they are complete.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<u8>);

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is there.
    pub(super) fn next(&mut self) -> Option<Result<Frame, Malformed>> {
        let head: [u8; HEAD] = *self.0.first_chunk()?;
        let length = u32::from_be_bytes([0, head[5], head[6], head[7]]);
        let end = HEAD + usize::try_from(length).ok()?;
        let frame = parse(&head, self.0.get(HEAD..end)?);
        self.0.drain(..end);
        Some(frame)
    }
}

fn parse(head: &[u8; HEAD], body: &[u8]) -> Result<Frame, Malformed> {
    let [a, b, c, d, flags, ..] = *head;
    if a & 0x80 == 0 {
        return Ok(Frame::Data {
            stream: u32::from_be_bytes([a, b, c, d]),
            bytes: body.to_vec(),
            last: flags & FIN != 0,
        });
    }
    if u16::from_be_bytes([a, b]) != VERSION {
        return Err(Malformed(*head));
    }
    let number = |at: usize| {
        let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
        bytes
            .map(|bytes| u32::from_be_bytes(*bytes))
            .ok_or(Malformed(*head))
    };
    Ok(match u16::from_be_bytes([c, d]) {
        SYN_REPLY => Frame::Reply(number(0)?),
        RST_STREAM => Frame::Reset {
            stream: number(0)?,
            status: number(4)?,
        },
        PING => Frame::Ping(number(0)?),
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    })
}

/// Asks for both streams of a port, and says that nothing is sent on that of errors.
pub(super) fn open(port: u16) -> Vec<u8> {
    let port = port.to_string();
    let mut bytes = Vec::new();
    for (stream, kind) in [(ERROR, "error"), (DATA, "data")] {
        let headers = [("streamtype", kind), ("port", &port), ("requestid", "0")];
        let block = header_block(&headers, stream == ERROR);
        // No associated stream, no priority.
        let body = [&stream.to_be_bytes()[..], &[0; 6], &block].concat();
        control(&mut bytes, SYN_STREAM, &body);
    }
    data(&mut bytes, ERROR, &[], true);
    bytes
}

/// Adds a frame of data. No more than 24 bits of length.
pub(super) fn data(to: &mut Vec<u8>, stream: u32, bytes: &[u8], last: bool) {
    to.extend_from_slice(&stream.to_be_bytes());
    to.push(if last { FIN } else { 0 });
    to.extend_from_slice(&length(bytes)[1..]);
    to.extend_from_slice(bytes);
}

/// The answer to a ping.
pub(super) fn pong(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    control(&mut bytes, PING, &number.to_be_bytes());
    bytes
}

fn control(to: &mut Vec<u8>, kind: u16, body: &[u8]) {
    to.extend_from_slice(&VERSION.to_be_bytes());
    to.extend_from_slice(&kind.to_be_bytes());
    to.push(0);
    to.extend_from_slice(&length(body)[1..]);
    to.extend_from_slice(body);
}

/// Big-endian. Frames written here are far below the limit.
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// A zlib stream goes on over all header blocks of a connection: `first` begins it. An empty
/// stored block ends each, at which inflaters give out what they have (zlib's `Z_SYNC_FLUSH`).
fn header_block(headers: &[(&str, &str)], first: bool) -> Vec<u8> {
    let mut plain = Vec::new();
    let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
    plain.extend_from_slice(&count.to_be_bytes());
    for (name, value) in headers {
        for text in [name, value] {
            plain.extend_from_slice(&length(text.as_bytes()));
            plain.extend_from_slice(text.as_bytes());
        }
    }
    let mut block = Vec::new();
    if first {
        // Deflate with a window of 32 KiB, without a dictionary.
        block.extend_from_slice(&[0x78, 0x01]);
    }
    for stored in [&plain[..], &[]] {
        let [_, _, high, low] = length(stored);
        block.extend_from_slice(&[0, low, high, !low, !high]);
        block.extend_from_slice(stored);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut bytes = Vec::new();
        control(&mut bytes, SYN_REPLY, &[0, 0, 0, 3]);
        data(&mut bytes, DATA, b"hello", false);
        bytes.extend(pong(2));
        control(&mut bytes, RST_STREAM, &[0, 0, 0, 3, 0, 0, 0, 5]);
        control(&mut bytes, 9, &[0; 8]);
        data(&mut bytes, ERROR, b"", true);
        let expected = [
            Frame::Reply(DATA),
            Frame::Data {
                stream: DATA,
                bytes: b"hello".to_vec(),
                last: false,
            },
            Frame::Ping(2),
            Frame::Reset {
                stream: DATA,
                status: 5,
            },
            Frame::Other,
            Frame::Data {
                stream: ERROR,
                bytes: Vec::new(),
                last: true,
            },
        ];
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                frames.push(part);
                while let Some(frame) = frames.next() {
                    found.push(frame.unwrap());
                }
            }
            assert_eq!(found, expected, "by {size}");
        }
    }

    #[test]
    fn what_is_no_spdy_is_refused() {
        let mut frames = Frames::default();
        frames.push(&[0x80, 2, 0, 1, 0, 0, 0, 0]);
        assert!(frames.next().unwrap().is_err());
        // A reply without the number of its stream.
        frames.push(&[0x80, 3, 0, 2, 0, 0, 0, 0]);
        assert!(frames.next().unwrap().is_err());
    }

    #[test]
    fn header_blocks_are_one_zlib_stream() {
        let mut inflate = flate2::Decompress::new(true);
        let mut plain = Vec::with_capacity(1024);
        for (kind, first) in [("error", true), ("data", false)] {
            let block = header_block(&[("streamtype", kind)], first);
            plain.clear();
            inflate
                .decompress_vec(&block, &mut plain, flate2::FlushDecompress::Sync)
                .unwrap();
            let expected = format!(
                "\0\0\0\u{1}\0\0\0\u{a}streamtype\0\0\0{}{kind}",
                char::from(u8::try_from(kind.len()).unwrap())
            );
            assert_eq!(plain, expected.as_bytes());
        }
    }
}
