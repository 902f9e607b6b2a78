//! Replies as bytes, within the size that a client takes.

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, Query};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::dns::zone::Answer;

/// Bytes of an OPT record without options.
const OPT: u16 = 11;
/// A pointer to the name that was asked for: it begins behind the header.
const ASKED: u16 = 0xC00C;

/// Everything of a reply.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) metadata: Metadata,
    pub(super) query: Option<&'a Query>,
    pub(super) answer: &'a Answer,
    /// Where the client understands it.
    pub(super) edns: Option<Edns>,
    /// Most bytes the client takes.
    pub(super) size: u16,
}

/// Writes a reply into a buffer. What does not fit is left out: of answers and authorities with
/// the mark of truncation, of additional records without, since nobody asked for them (RFC 2181,
/// section 9).
pub(super) fn encode(parts: &Parts<'_>, buffer: &mut Vec<u8>) -> Result<(), ProtoError> {
    buffer.clear();
    let mut encoder = BinEncoder::new(buffer);
    let options = parts.edns.as_ref().map_or(0, |edns| {
        let options = edns.options().options.iter();
        options.fold(OPT, |sum, (_, option)| sum.saturating_add(4 + option.len()))
    });
    encoder.set_max_size(parts.size.saturating_sub(options));
    let place = encoder.place::<Header>()?;
    let mut counts = HeaderCounts::default();
    if let Some(query) = parts.query {
        query.emit(&mut encoder)?;
        counts.queries = 1;
    }
    let asked = parts.query.map(Query::name);
    let mut cut = false;
    counts.answers = section(&mut encoder, &parts.answer.answers, asked, &mut cut)?;
    counts.authorities = section(&mut encoder, &parts.answer.authorities, asked, &mut cut)?;
    if !cut {
        let additionals = &parts.answer.additionals;
        counts.additionals = section(&mut encoder, additionals, asked, &mut false)?;
    }
    if let Some(edns) = &parts.edns {
        encoder.set_max_size(parts.size);
        let mut edns = edns.clone();
        edns.set_rcode_high(parts.metadata.response_code.high());
        Record::from(&edns).emit(&mut encoder)?;
        counts.additionals += 1;
    }
    let mut metadata = parts.metadata;
    metadata.truncation |= cut;
    place.replace(&mut encoder, Header { metadata, counts })
}

fn section(
    encoder: &mut BinEncoder<'_>,
    records: &[Record],
    asked: Option<&Name>,
    cut: &mut bool,
) -> Result<u16, ProtoError> {
    let mut count: u16 = 0;
    for record in records {
        let start = encoder.offset();
        let written = match (&record.data, asked) {
            (RData::A(_) | RData::AAAA(_), Some(asked)) if record.name.eq_case(asked) => {
                address(encoder, record)
            }
            _ => record.emit(encoder),
        };
        match written {
            Ok(()) => count = count.saturating_add(1),
            Err(ProtoError::MaxBufferSizeExceeded(_)) => {
                encoder.set_offset(start);
                encoder.trim();
                *cut = true;
                return Ok(count);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// An address of the name asked for, which most records are: without a search for that name, and
/// compressed however many there are (the encoder gives up after 120 names).
fn address(encoder: &mut BinEncoder<'_>, record: &Record) -> Result<(), ProtoError> {
    encoder.emit_u16(ASKED)?;
    record.record_type().emit(encoder)?;
    record.dns_class.emit(encoder)?;
    encoder.emit_u32(record.ttl)?;
    match &record.data {
        RData::A(address) => {
            encoder.emit_u16(4)?;
            encoder.emit_vec(&address.octets())
        }
        RData::AAAA(address) => {
            encoder.emit_u16(16)?;
            encoder.emit_vec(&address.octets())
        }
        other => other.emit(encoder),
    }
}
