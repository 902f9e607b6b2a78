//! SPDY/3.1 as a kubelet speaks it (moby/spdystream): written for the tests from the draft, and
//! with a real inflater, so that no mistake of the client is made twice.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// A frame from the client.
#[derive(Debug)]
pub(super) enum Frame {
    /// A stream is asked for, with these headers.
    Stream(u32, Vec<(String, String)>),
    /// Bytes, and whether they are the last.
    Data(u32, Vec<u8>, bool),
    /// Something else.
    Other(u16),
}

/// One side of a connection.
pub(super) struct Session {
    bytes: Vec<u8>,
    inflate: Decompress,
    deflate: Compress,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            inflate: Decompress::new(true),
            deflate: Compress::new(Compression::default(), true),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame that is complete.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let bytes = &self.bytes;
        let length = usize::try_from(u32_at(bytes, 4)? & 0x00ff_ffff).unwrap();
        let body = bytes.get(8..8 + length)?.to_vec();
        let head: [u8; 8] = bytes[..8].try_into().unwrap();
        self.bytes.drain(..8 + length);
        if head[0] & 0x80 == 0 {
            let stream = u32_at(&head, 0).unwrap();
            return Some(Frame::Data(stream, body, head[4] & 1 != 0));
        }
        assert_eq!(head[..2], [0x80, 3], "the version");
        Some(match u16::from_be_bytes([head[2], head[3]]) {
            1 => Frame::Stream(u32_at(&body, 0).unwrap(), self.headers(&body[10..])),
            other => Frame::Other(other),
        })
    }

    fn headers(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let mut plain = Vec::with_capacity(64 * 1024);
        let before = self.inflate.total_in();
        self.inflate
            .decompress_vec(block, &mut plain, FlushDecompress::Sync)
            .expect("a zlib stream");
        let used = self.inflate.total_in() - before;
        assert_eq!(used, block.len() as u64, "all of the block is needed");
        let count = u32_at(&plain, 0).unwrap();
        let mut texts = Vec::new();
        let mut position = 4;
        for _ in 0..2 * count {
            let length = usize::try_from(u32_at(&plain, position).unwrap()).unwrap();
            let text = plain[position + 4..position + 4 + length].to_vec();
            texts.push(String::from_utf8(text).unwrap());
            position += 4 + length;
        }
        assert_eq!(position, plain.len());
        texts
            .chunks(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    }

    /// A stream is taken; without headers.
    pub(super) fn reply(&mut self, stream: u32) -> Vec<u8> {
        let mut block = Vec::with_capacity(1024);
        self.deflate
            .compress_vec(&[0; 4], &mut block, FlushCompress::Sync)
            .unwrap();
        control(2, &[&stream.to_be_bytes()[..], &block].concat())
    }
}

/// A frame of data.
pub(super) fn data(stream: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap() | u32::from(last) << 24;
    [&stream.to_be_bytes()[..], &length.to_be_bytes(), bytes].concat()
}

/// A ping, which is to be answered.
pub(super) fn ping(number: u32) -> Vec<u8> {
    control(6, &number.to_be_bytes())
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let [a, b] = kind.to_be_bytes();
    [&[0x80, 3, a, b], &length.to_be_bytes()[..], body].concat()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().unwrap()))
}
