//! One connection to a port of a Pod, through the API server.
//!
//! The way of kubectl since 1.31: the pod's `portforward` subresource over a WebSocket that carries
//! SPDY to the kubelet (KEP-4006). Unlike the older channels of `v4.channel.k8s.io`, it tells the
//! Pod that a client has ended its side while the answer is still to come.

use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message};

use super::spdy::{self, Frame, Frames};

const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// How long the server and the kubelet may take to open a tunnel, as in kubectl.
const OPENING: Duration = Duration::from_secs(30);
/// Bytes of one frame.
const CHUNK: usize = 32 * 1024;

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Nothing, or no more, is forwarded.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    /// The API server was not reached.
    #[error("the API server cannot be asked")]
    Api(#[from] kube::Error),
    /// It said no.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    /// It said yes to something else.
    #[error("the API server does not speak {PROTOCOL}, as those of Kubernetes do since 1.31")]
    Protocol,
    /// The connection became no WebSocket.
    #[error("the connection was not handed over")]
    Upgrade(#[from] hyper::Error),
    /// The WebSocket ended.
    #[error("lost connection to pod")]
    Lost(#[source] Option<tungstenite::Error>),
    /// What came over it makes no sense.
    #[error(transparent)]
    Malformed(#[from] spdy::Malformed),
    /// The kubelet's words: nobody listens, say.
    #[error("{0}")]
    Pod(String),
    /// The kubelet ended the stream.
    #[error("the stream was reset with status {0}")]
    Reset(u32),
    /// It took too long.
    #[error("no answer within {} s", OPENING.as_secs())]
    Late,
}

impl TunnelError {
    /// The Pod, or the way to its node, is gone: another one may do.
    pub(super) fn may_try_another(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                *status == StatusCode::NOT_FOUND || status.is_server_error()
            }
            _ => matches!(self, Self::Late | Self::Upgrade(_)),
        }
    }

    /// Credentials are no longer taken.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED)
    }
}

/// A WebSocket that leads to a Pod.
pub(super) struct Tunnel(Socket);

impl Tunnel {
    /// Opens one.
    pub(super) async fn open(
        client: &kube::Client,
        namespace: &str,
        pod: &str,
    ) -> Result<Self, TunnelError> {
        let opened = timeout(OPENING, upgrade(client, namespace, pod)).await;
        opened.unwrap_or(Err(TunnelError::Late)).map(Self)
    }

    /// Forwards a client's connection to a port until both sides have ended.
    pub(super) async fn forward(self, local: &mut TcpStream, port: u16) -> Result<(), TunnelError> {
        let (reader, writer) = local.split();
        let (sink, stream) = self.0.split();
        let (orders, ordered) = mpsc::channel(8);
        tokio::select! {
            end = receive(stream, writer, orders) => end,
            error = send(sink, reader, ordered, port) => Err(error),
        }
    }
}

async fn upgrade(client: &kube::Client, namespace: &str, pod: &str) -> Result<Socket, TunnelError> {
    let key = generate_key();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/portforward");
    let request = Request::get(path)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .header(SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(Body::empty())
        .map_err(kube::Error::HttpError)?;
    let response = client.send(request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(response).await);
    }
    if !agrees(&response, &key) {
        return Err(TunnelError::Protocol);
    }
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await?);
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
}

/// The server speaks the protocol, and meant this request (RFC 6455).
fn agrees(response: &Response<Body>, key: &str) -> bool {
    let has = |name, value: &str| {
        let header = response.headers().get(name);
        header.is_some_and(|header| header.as_bytes() == value.as_bytes())
    };
    let accepted = derive_accept_key(key.as_bytes());
    has(SEC_WEBSOCKET_PROTOCOL, PROTOCOL) && has(SEC_WEBSOCKET_ACCEPT, &accepted)
}

/// What the server says in its `Status`, or in plain words.
async fn refusal(response: Response<Body>) -> TunnelError {
    let status = response.status();
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return error.into(),
    };
    let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let said = said.and_then(|said| Some(said.get("message")?.as_str()?.to_owned()));
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
    let message = match said.as_str() {
        "" => format!("the API server answers {status}"),
        _ => said,
    };
    TunnelError::Refused { status, message }
}

/// What the receiving side has the sending one do.
enum Order {
    /// The Pod takes data.
    Begin,
    /// Send this.
    Send(Vec<u8>),
}

/// From the Pod to the client, until the Pod has ended both streams.
async fn receive(
    mut stream: SplitStream<Socket>,
    mut client: WriteHalf<'_>,
    orders: mpsc::Sender<Order>,
) -> Result<(), TunnelError> {
    let mut frames = Frames::default();
    let mut said = Vec::new();
    let (mut data_ended, mut errors_ended) = (false, false);
    loop {
        while let Some(frame) = frames.next() {
            match frame? {
                Frame::Reply(spdy::DATA) => drop(orders.try_send(Order::Begin)),
                Frame::Data {
                    stream: spdy::DATA,
                    bytes,
                    last,
                } => {
                    // A client that has gone wants no more.
                    if client.write_all(&bytes).await.is_err() {
                        return Ok(());
                    }
                    data_ended |= last;
                    if last && client.shutdown().await.is_err() {
                        return Ok(());
                    }
                }
                Frame::Data {
                    stream: spdy::ERROR,
                    bytes,
                    last,
                } => {
                    said.extend(bytes);
                    errors_ended |= last;
                }
                Frame::Reset { status, .. } if said.is_empty() => {
                    return Err(TunnelError::Reset(status));
                }
                Frame::Reset { .. } => errors_ended = true,
                // One that is not answered in a crush is no harm.
                Frame::Ping(number) => drop(orders.try_send(Order::Send(spdy::pong(number)))),
                Frame::Reply(_) | Frame::Data { .. } | Frame::GoAway | Frame::Other => {}
            }
        }
        if errors_ended && !said.is_empty() {
            return Err(TunnelError::Pod(words(&said)));
        }
        if data_ended && errors_ended {
            return Ok(());
        }
        match stream.next().await {
            Some(Ok(Message::Binary(bytes))) => frames.push(&bytes),
            Some(Ok(Message::Close(_))) | None => return ending(data_ended, &said, None),
            Some(Ok(_)) => {}
            Some(Err(error)) => return ending(data_ended, &said, Some(error)),
        }
    }
}

/// What the end of the WebSocket means.
fn ending(
    data_ended: bool,
    said: &[u8],
    error: Option<tungstenite::Error>,
) -> Result<(), TunnelError> {
    if !said.is_empty() {
        return Err(TunnelError::Pod(words(said)));
    }
    if data_ended {
        return Ok(());
    }
    Err(TunnelError::Lost(error))
}

fn words(said: &[u8]) -> String {
    String::from_utf8_lossy(said).trim().to_owned()
}

/// From the client to the Pod. Ends with an error alone.
async fn send(
    mut sink: SplitSink<Socket, Message>,
    mut client: ReadHalf<'_>,
    mut ordered: mpsc::Receiver<Order>,
    port: u16,
) -> TunnelError {
    let lost = |error| TunnelError::Lost(Some(error));
    if let Err(error) = sink.send(Message::binary(spdy::open(port))).await {
        return lost(error);
    }
    // moby/spdystream drops what comes before it has replied.
    let mut reading = false;
    let mut buffer = vec![0; CHUNK];
    loop {
        let bytes = tokio::select! {
            order = ordered.recv() => match order {
                Some(Order::Send(bytes)) => bytes,
                Some(Order::Begin) => {
                    reading = true;
                    continue;
                }
                None => return TunnelError::Lost(None),
            },
            read = client.read(&mut buffer), if reading => {
                // A client that broke off has ended as well.
                let length = read.unwrap_or(0);
                reading = length != 0;
                let mut frame = Vec::with_capacity(length + 8);
                spdy::data(&mut frame, spdy::DATA, &buffer[..length], length == 0);
                frame
            }
        };
        if let Err(error) = sink.send(Message::binary(bytes)).await {
            return lost(error);
        }
    }
}
