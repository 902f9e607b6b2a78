//! One request to one reply, or to a question for upstream.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::ServerOptions;
use super::encode::{Parts, encode};
use super::limited::Limiter;
use super::metrics::{DnsMetrics, Transport};
use super::transfer;
use crate::dns::forward::Forwarder;
use crate::dns::names::Names;
use crate::dns::zone::{Answer, Ask, Code, Searched, Zone};

/// An EDNS option of the range for private use: a client that sends it, empty, is told in it where
/// each record of the answer comes from, a line a record.
pub const EXPLAIN: u16 = 65_001;

/// Least size that every client takes (RFC 1035, section 2.3.4).
const LEAST_SIZE: u16 = 512;
/// Most bytes that are sent over UDP, whatever the client takes.
const MOST_UDP: u16 = 4096;
/// Bytes of the smallest record.
const SMALLEST_RECORD: usize = 16;
/// Bytes of a message's header.
const HEADER: usize = 12;

/// Makes replies.
#[derive(Debug)]
pub struct Responder {
    pub(super) names: Arc<Names>,
    pub(super) forwarder: Option<Arc<Forwarder>>,
    pub(super) metrics: Arc<DnsMetrics>,
    pub(super) options: ServerOptions,
    /// Where clients are held to a rate.
    pub(super) limiter: Option<Limiter>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) address: Option<SocketAddr>,
    pub(super) transport: Transport,
}

/// What to do about a request.
#[derive(Debug)]
pub(super) enum Step {
    /// The reply is in the buffer.
    Reply,
    /// Say nothing: it is no request.
    Drop,
    /// Upstream is to be asked.
    Ask(Box<Pending>),
    /// The whole zone is asked for, by somebody who may have it.
    Transfer(Box<Pending>),
}

/// A request whose reply is not complete.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) query: Query,
    pub(super) reply: Skeleton,
    /// What is known of the answer.
    pub(super) answer: Answer,
    /// The names to ask upstream for, until one is known.
    pub(super) names: Vec<Name>,
    /// The reply if none of them is, where they are those of a search.
    pub(super) unknown: Option<Answer>,
    /// The serial number that the client of a transfer has.
    pub(super) serial: Option<u32>,
}

/// What a reply has whatever the answer.
#[derive(Clone, Debug)]
pub(super) struct Skeleton {
    pub(super) metadata: Metadata,
    pub(super) edns: Option<Edns>,
    pub(super) size: u16,
    explain: bool,
}

impl Responder {
    pub(super) fn new(
        options: &ServerOptions,
        names: Arc<Names>,
        forwarder: Option<Arc<Forwarder>>,
        metrics: Arc<DnsMetrics>,
    ) -> Self {
        Self {
            names,
            forwarder,
            metrics,
            options: options.clone(),
            limiter: options.rate_limit.map(Limiter::new),
        }
    }

    /// Reads a request; writes its reply into the buffer if it can be given at once.
    pub(super) fn handle(
        &self,
        request: &[u8],
        client: Client,
        rotation: usize,
        buffer: &mut Vec<u8>,
    ) -> Step {
        if Self::is_reply(request) {
            return Step::Drop;
        }
        let message = match Message::from_vec(request) {
            Ok(message) => message,
            Err(_) => return malformed(request, buffer),
        };
        let mut reply = self.skeleton(&message, client);
        let refusal = match message.queries.as_slice() {
            _ if message.metadata.op_code != OpCode::Query => ResponseCode::NotImp,
            _ if message.version() > 0 => ResponseCode::BADVERS,
            [query] if query.query_class() == DNSClass::IN => {
                let query = query.clone();
                let serial = message.authorities.first().and_then(transfer::serial_of);
                return self.answer(query, reply, client, rotation, serial, buffer);
            }
            [_] => ResponseCode::Refused,
            _ => ResponseCode::FormErr,
        };
        reply.metadata.response_code = refusal;
        self.write(&reply, message.queries.first(), &Answer::default(), buffer)
    }

    /// Replies, and what is too short for anything: answering them would start an echo.
    pub(super) fn is_reply(message: &[u8]) -> bool {
        message.len() < HEADER || message[2] & 0x80 != 0
    }

    pub(super) fn skeleton(&self, message: &Message, client: Client) -> Skeleton {
        let mut metadata = Metadata::response_from_request(&message.metadata);
        metadata.recursion_available = self.forwarder.is_some();
        metadata.authentic_data = false;
        let edns = message.edns.as_ref();
        let size = match client.transport {
            Transport::Tcp => u16::MAX,
            Transport::Udp => {
                let wanted = edns.map_or(LEAST_SIZE, Edns::max_payload);
                wanted.clamp(LEAST_SIZE, MOST_UDP)
            }
        };
        let explain = edns.is_some_and(|edns| edns.option(EdnsCode::Unknown(EXPLAIN)).is_some());
        let edns = edns.map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(MOST_UDP).set_version(0);
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        Skeleton {
            metadata,
            edns,
            size,
            explain,
        }
    }

    fn answer(
        &self,
        query: Query,
        mut reply: Skeleton,
        client: Client,
        rotation: usize,
        serial: Option<u32>,
        buffer: &mut Vec<u8>,
    ) -> Step {
        let kind = query.query_type();
        self.metrics.asked(client, kind);
        if self.options.log_queries {
            let address = client.address.map(|address| address.to_string());
            tracing::info!(client = address, name = %query.name(), %kind, "query");
        }
        if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return self.transfer(query, reply, client, serial, buffer);
        }
        let ask = Ask {
            name: query.name(),
            kind,
            rotation,
            most: usize::from(reply.size) / SMALLEST_RECORD + 1,
        };
        let found = self.names.read(|zone| {
            let Some(zone) = zone else {
                return Found::NotYet;
            };
            if let Some(searched) = self.search(zone, ask, client) {
                return Found::Searched(searched);
            }
            let Some(answer) = zone.answer(ask) else {
                return Found::Elsewhere;
            };
            if reply.explain {
                explain(zone, &answer, &mut reply);
            }
            Found::Here(answer)
        });
        match found {
            Found::Searched(Searched::Here(answer)) | Found::Here(answer) => {
                self.found(query, reply, answer, buffer)
            }
            Found::Searched(Searched::Elsewhere {
                unknown,
                candidates,
            }) => {
                reply.metadata.authoritative = true;
                Step::Ask(Box::new(Pending {
                    query,
                    reply,
                    answer: Answer::default(),
                    names: candidates,
                    unknown: Some(unknown),
                    serial: None,
                }))
            }
            Found::NotYet if self.is_ours(query.name()) => {
                reply.metadata.response_code = ResponseCode::ServFail;
                self.write(&reply, Some(&query), &Answer::default(), buffer)
            }
            Found::NotYet | Found::Elsewhere => self.elsewhere(query, reply, buffer),
        }
    }

    fn found(
        &self,
        query: Query,
        mut reply: Skeleton,
        mut answer: Answer,
        buffer: &mut Vec<u8>,
    ) -> Step {
        reply.metadata.authoritative = true;
        if let Some(name) = answer.follow.take()
            && self.forwarder.is_some()
        {
            return Step::Ask(Box::new(Pending {
                query,
                reply,
                answer,
                names: vec![name],
                unknown: None,
                serial: None,
            }));
        }
        if answer.code == Code::NxDomain {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        self.write(&reply, Some(&query), &answer, buffer)
    }

    /// A name that is not ours.
    fn elsewhere(&self, query: Query, mut reply: Skeleton, buffer: &mut Vec<u8>) -> Step {
        let Some(forwarder) = &self.forwarder else {
            reply.metadata.response_code = ResponseCode::Refused;
            return self.write(&reply, Some(&query), &Answer::default(), buffer);
        };
        if forwarder.saw(query.name()) {
            // Our own question, come back: answering it would go round for ever.
            return Step::Drop;
        }
        let name = query.name().clone();
        Step::Ask(Box::new(Pending {
            query,
            reply,
            answer: Answer::default(),
            names: vec![name],
            unknown: None,
            serial: None,
        }))
    }

    /// The search of a pod, where that is wanted.
    fn search(&self, zone: &Zone, ask: Ask<'_>, client: Client) -> Option<Searched> {
        let domains = self.options.autopath.as_ref()?;
        self.forwarder.as_ref()?;
        let address = client.address?.ip().to_canonical();
        zone.search(ask, address, domains)
    }

    /// Whether upstream must never be asked for a name.
    fn is_ours(&self, name: &Name) -> bool {
        self.names.options().domain.zone_of(name)
    }

    /// Writes a reply; a reply that cannot be written is a failure of ours.
    pub(super) fn write(
        &self,
        reply: &Skeleton,
        query: Option<&Query>,
        answer: &Answer,
        buffer: &mut Vec<u8>,
    ) -> Step {
        let parts = Parts {
            metadata: reply.metadata,
            query,
            answer,
            edns: reply.edns.clone(),
            size: reply.size,
        };
        let mut code = reply.metadata.response_code;
        if let Err(error) = encode(&parts, buffer) {
            tracing::warn!(%error, query = ?query.map(ToString::to_string), "writing an answer");
            code = ResponseCode::ServFail;
            let mut metadata = reply.metadata;
            metadata.response_code = code;
            let failure = Parts {
                metadata,
                answer: &Answer::default(),
                ..parts
            };
            if encode(&failure, buffer).is_err() {
                return Step::Drop;
            }
        }
        self.metrics.answered(code, buffer.len());
        Step::Reply
    }
}

enum Found {
    Here(Answer),
    Searched(Searched),
    Elsewhere,
    NotYet,
}

/// Adds to a reply where each of its records comes from.
fn explain(zone: &Zone, answer: &Answer, reply: &mut Skeleton) {
    let Some(edns) = &mut reply.edns else {
        return;
    };
    let all = answer.answers.iter().chain(&answer.authorities);
    let lines: Vec<String> = all
        .chain(&answer.additionals)
        .map(|record| {
            zone.origin(record)
                .map_or_else(String::new, |o| o.to_string())
        })
        .collect();
    let mut text = lines.join("\n").into_bytes();
    // As much as leaves room for the records themselves.
    text.truncate(usize::from(reply.size / 2));
    edns.options_mut()
        .insert(EdnsOption::Unknown(EXPLAIN, text));
}

/// A format error with the number of the request, if that is a request at all.
fn malformed(request: &[u8], buffer: &mut Vec<u8>) -> Step {
    let id = u16::from_be_bytes([request[0], request[1]]);
    let mut metadata = Metadata::new(id, MessageType::Response, OpCode::Query);
    metadata.response_code = ResponseCode::FormErr;
    metadata.recursion_desired = request[2] & 1 != 0;
    let parts = Parts {
        metadata,
        query: None,
        answer: &Answer::default(),
        edns: None,
        size: LEAST_SIZE,
    };
    match encode(&parts, buffer) {
        Ok(()) => Step::Reply,
        Err(_) => Step::Drop,
    }
}
