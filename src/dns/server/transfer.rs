//! The whole zone, as AXFR and IXFR have it (RFC 5936, RFC 1995).

use std::net::IpAddr;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{RData, Record};

use super::metrics::Transport;
use super::respond::{Client, Pending, Responder, Skeleton, Step};
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
        reply.metadata.response_code = ResponseCode::ServFail;
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

impl Responder {
    /// The whole zone, for those who may have it.
    pub(super) fn transfer(
        &self,
        query: Query,
        mut reply: Skeleton,
        client: Client,
        serial: Option<u32>,
        buffer: &mut Vec<u8>,
    ) -> Step {
        let options = self.names.options();
        let address = client.address.map(|address| address.ip().to_canonical());
        let is_allowed = |address: IpAddr| {
            let networks = self.options.transfer_to.iter();
            networks
                .into_iter()
                .any(|network| network.contains(&address))
        };
        let refusal = if *query.name() != options.domain {
            ResponseCode::NotAuth
        } else if client.transport != Transport::Tcp || !address.is_some_and(is_allowed) {
            ResponseCode::Refused
        } else {
            return Step::Transfer(Box::new(Pending {
                query,
                reply,
                answer: Answer::default(),
                names: Vec::new(),
                unknown: None,
                serial,
            }));
        };
        reply.metadata.response_code = refusal;
        self.write(&reply, Some(&query), &Answer::default(), buffer)
    }
}

/// The serial number in the SOA of an IXFR question.
pub(super) fn serial_of(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    }
}
