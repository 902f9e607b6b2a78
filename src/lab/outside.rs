//! The world outside of a lab: a name server that knows the external names of its Services, and a
//! web server at the addresses that it gives them. No packet leaves the lab.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::runtime::Builder;

use super::plan;
use super::pod_server::PodServer;

/// DNS' port.
const PORT: u16 = 53;
/// Seconds that an answer may be remembered.
const TTL: u32 = 30;

/// A name outside and its address: `www.google.com=198.51.100.10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name, in lower case and without a dot at its end.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=');
        let host = parts.and_then(|(name, address)| {
            Some(Self {
                name: name.to_lowercase(),
                address: address.parse().ok()?,
            })
        });
        host.ok_or_else(|| format!("\"{text}\" is not NAME=ADDRESS"))
    }
}

/// Answers until it is killed.
///
/// # Errors
/// A port cannot be had.
pub fn serve(hosts: &[Host]) -> anyhow::Result<()> {
    let names = hosts.iter().cloned();
    let names: BTreeMap<String, Ipv4Addr> = names.map(|host| (host.name, host.address)).collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        PodServer {
            identity: "the world outside".to_owned(),
            tcp: vec![80],
            udp: Vec::new(),
        }
        .start()?;
        let socket = UdpSocket::bind((plan::ROUTER, PORT)).await?;
        sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
        let mut question = [0; 4096];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut question).await else {
                continue;
            };
            if let Some(reply) = reply(&question[..length], &names) {
                let _ = socket.send_to(&reply, client).await;
            }
        }
    })
}

/// The answer to a question; none to what is no question.
fn reply(question: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let metadata = &question.metadata;
    let mut reply = Message::response(metadata.id, metadata.op_code);
    reply.metadata.recursion_desired = metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    let name = query.name().to_lowercase().to_utf8();
    match names.get(name.trim_end_matches('.')) {
        Some(address) if query.query_type() == RecordType::A => {
            let data = RData::A(A(*address));
            reply.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
        }
        // The name exists, and has no record of that type.
        Some(_) => {}
        None => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    reply.add_query(query);
    reply.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;

    use super::*;

    fn ask(name: &str, kind: RecordType) -> Message {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_str(name).unwrap(), kind));
        let names = BTreeMap::from([(
            "db.external.com".to_owned(),
            Ipv4Addr::new(198, 51, 100, 10),
        )]);
        let reply = reply(&question.to_vec().unwrap(), &names).unwrap();
        Message::from_vec(&reply).unwrap()
    }

    #[test]
    fn the_names_of_the_lab_exist_and_no_others() {
        let found = ask("DB.External.com.", RecordType::A);
        assert_eq!(found.answers.len(), 1);
        assert_eq!(found.answers[0].data, RData::A(A::new(198, 51, 100, 10)));
        assert!(ask("db.external.com.", RecordType::AAAA).answers.is_empty());
        let missing = ask("example.com.", RecordType::A);
        assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        assert_eq!(reply(b"hello", &BTreeMap::new()), None);
    }
}
