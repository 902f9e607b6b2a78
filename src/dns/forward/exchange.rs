//! One question to one server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::Reply;

/// How long a server may take. Four of them stay below the five seconds of a client.
const PATIENCE: Duration = Duration::from_millis(1200);
/// Bytes of an answer over UDP: what passes every path in one piece.
const UDP_SIZE: u16 = 1232;

/// Why there is no answer from upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// There is no server to ask.
    #[error("no upstream server is known")]
    NoServer,
    /// Servers send the question back here.
    #[error("upstream leads back to this server")]
    Loop,
    /// The server did not answer in time.
    #[error("upstream did not answer in time")]
    Timeout,
    /// The server cannot be reached.
    #[error("upstream cannot be asked")]
    Io(#[from] io::Error),
    /// The answer makes no sense.
    #[error("upstream's answer cannot be read")]
    Garbage(#[source] hickory_proto::ProtoError),
}

impl UpstreamError {
    /// One word for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NoServer => "none",
            Self::Loop => "loop",
            Self::Timeout => "timeout",
            Self::Io(_) => "unreachable",
            Self::Garbage(_) => "garbage",
        }
    }
}

/// Asks over UDP; over TCP for what does not fit.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
) -> Result<Reply, UpstreamError> {
    // A number and a port of its own for each question: nobody is to guess both.
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_SIZE).set_version(0);
    message.set_edns(edns);
    let bytes = message.to_vec().map_err(UpstreamError::Garbage)?;
    let deadline = Instant::now() + PATIENCE;
    let over_udp = timeout_at(deadline, udp(server, &message, &bytes)).await;
    let reply = over_udp.map_err(|_| UpstreamError::Timeout)??;
    if !reply.truncated {
        return Ok(reply);
    }
    match timeout(PATIENCE, tcp(server, &message, &bytes)).await {
        Ok(Ok(reply)) => Ok(reply),
        // Part of an answer, marked as such, is more than none.
        _ => Ok(reply),
    }
}

async fn udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Reply, UpstreamError> {
    let any = if server.is_ipv6() {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; usize::from(UDP_SIZE).max(4096)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything else is a late or a forged answer: the real one may still come.
        if let Ok(Some(reply)) = read(question, &buffer[..length]) {
            return Ok(reply);
        }
    }
}

async fn tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Reply, UpstreamError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    stream
        .write_all(&[&length.to_be_bytes()[..], bytes].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let reply = read(question, &buffer).map_err(UpstreamError::Garbage)?;
    reply.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData).into())
}

/// The answer to a question; `None` if it is one to another question.
fn read(question: &Message, bytes: &[u8]) -> Result<Option<Reply>, hickory_proto::ProtoError> {
    let message = Message::from_vec(bytes)?;
    let is_answer = message.metadata.id == question.metadata.id
        && message.metadata.message_type == hickory_proto::op::MessageType::Response
        && message.queries == question.queries;
    Ok(is_answer.then_some(Reply {
        code: message.metadata.response_code,
        truncated: message.metadata.truncation,
        answers: message.answers,
        authorities: message.authorities,
    }))
}
