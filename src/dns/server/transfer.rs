//! The whole zone, as AXFR and IXFR have it (RFC 5936, RFC 1995).

use hickory_proto::rr::{RData, Record};

use super::respond::{Pending, Responder, Step};
use crate::dns::zone::{Answer, listed};

/// Records in one message: with names of the longest kind they fit into 64 KiB.
const RECORDS: usize = 100;

/// The messages of a transfer: the SOA, everything else, the SOA. For a client that has the zone
/// as it is, the SOA alone; no increments are kept.
pub(super) fn messages(responder: &Responder, pending: &Pending) -> Vec<Vec<u8>> {
    let records = responder.names.read(|zone| {
        let zone = zone?;
        let mut records = listed(zone);
        if pending.serial == Some(zone.serial()) {
            records.truncate(1);
            return Some(records);
        }
        let soa = records.first().cloned();
        records.extend(soa);
        Some(records)
    });
    let mut reply = pending.reply.clone();
    let Some(records) = records else {
        reply.metadata.response_code = hickory_proto::op::ResponseCode::ServFail;
        let mut message = Vec::new();
        responder.write(
            &reply,
            Some(&pending.query),
            &Answer::default(),
            &mut message,
        );
        return vec![message];
    };
    debug_assert!(matches!(
        records.first(),
        Some(Record {
            data: RData::SOA(_),
            ..
        })
    ));
    reply.metadata.authoritative = true;
    let chunks = records.chunks(RECORDS);
    chunks
        .filter_map(|chunk| {
            let answer = Answer {
                answers: chunk.to_vec(),
                ..Answer::default()
            };
            let mut message = Vec::new();
            let step = responder.write(&reply, Some(&pending.query), &answer, &mut message);
            matches!(step, Step::Reply).then_some(message)
        })
        .collect()
}
