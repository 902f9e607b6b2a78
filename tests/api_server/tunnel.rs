//! The `portforward` subresource: the API server's part, which hands the connection over, and the
//! kubelet's, which connects inside the pod's network namespace (`k8s.io/cri-streaming`).

use std::fs::File;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream::SplitStream;
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use nix::sched::{CloneFlags, setns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::http::{Api, status};
use super::objects::{missing, object};
use super::spdy::{Frame, Session, data, ping};
use super::store::Kind;

const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";

pub(super) fn routes() -> Router<Arc<Api>> {
    let path = "/api/v1/namespaces/{ns}/pods/{name}/portforward";
    Router::new().route(path, get(forward))
}

async fn forward(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let rules = match api.admit(request.uri(), request.headers()) {
        Ok(rules) => rules,
        Err(refusal) => return *refusal,
    };
    if let Some((code, message)) = &rules.refuse_forwarding {
        return status(*code, "Forbidden", message);
    }
    if object(&api, Kind::Pod, &namespace, &name).is_none() {
        return missing("pods", &name);
    }
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    if header("upgrade").as_deref() != Some("websocket")
        || header("sec-websocket-protocol").as_deref() != Some(PROTOCOL)
    {
        let message = "unable to upgrade: no tunneling spdy protocols provided";
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let accepted = derive_accept_key(header("sec-websocket-key").unwrap().as_bytes());
    let space = api.running.lock().unwrap().get(&name).cloned();
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        let io = TokioIo::new(upgraded);
        kubelet(
            WebSocketStream::from_raw_socket(io, Role::Server, None).await,
            &name,
            space,
        )
        .await;
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-accept", accepted)
        .header("sec-websocket-protocol", PROTOCOL)
        .body(Body::empty())
        .unwrap()
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// The streams of a port, as the client opened them.
struct Asked {
    error: u32,
    data: u32,
    port: u16,
}

async fn kubelet(socket: Socket, pod: &str, space: Option<PathBuf>) {
    let (mut sink, mut frames) = socket.split();
    let (out, mut outgoing) = mpsc::channel::<Vec<u8>>(16);
    let writing = tokio::spawn(async move {
        while let Some(bytes) = outgoing.recv().await {
            // Frames are cut anywhere: a message is no unit of SPDY.
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            for part in [first, rest] {
                if sink.send(Message::binary(part.to_vec())).await.is_err() {
                    return;
                }
            }
        }
        let _ = sink.close().await;
    });
    let mut session = Session::new();
    if let Some(asked) = ask(&mut session, &mut frames, &out).await {
        let _ = out.send(ping(2)).await;
        let connected = match &space {
            Some(space) => connect(space, asked.port).await,
            None => Err(io::Error::other("no running container")),
        };
        match connected {
            Ok(there) => relay(there, &mut session, &mut frames, &out, &asked).await,
            Err(error) => {
                let port = asked.port;
                let text = format!("error forwarding port {port} to pod {pod}, uid : {error}");
                let _ = out.send(data(asked.error, text.as_bytes(), false)).await;
                let _ = out.send(data(asked.data, &[], true)).await;
            }
        }
        let _ = out.send(data(asked.error, &[], true)).await;
    }
    drop(out);
    let _ = writing.await;
    // The gate resets what is closed, and with it what is still under way.
    while let Some(Ok(_)) = frames.next().await {}
}

async fn bytes(frames: &mut SplitStream<Socket>) -> Option<Vec<u8>> {
    loop {
        match frames.next().await?.ok()? {
            Message::Binary(bytes) => return Some(bytes.to_vec()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Waits for both streams, and takes them.
async fn ask(
    session: &mut Session,
    frames: &mut SplitStream<Socket>,
    out: &mpsc::Sender<Vec<u8>>,
) -> Option<Asked> {
    let (mut error, mut data) = (None, None);
    loop {
        while let Some(frame) = session.next() {
            match frame {
                Frame::Stream(stream, headers) => {
                    let header = |name: &str| {
                        let mut named = headers.iter().filter(|(key, _)| key == name);
                        named.next().expect("a header").1.clone()
                    };
                    assert_eq!(header("requestid"), "0");
                    let port: u16 = header("port").parse().unwrap();
                    match header("streamtype").as_str() {
                        "error" => error = Some((stream, port)),
                        "data" => data = Some((stream, port)),
                        other => panic!("stream of {other}"),
                    }
                    let reply = session.reply(stream);
                    out.send(reply).await.ok()?;
                }
                Frame::Data(stream, bytes, true) => {
                    assert_eq!((Some(stream), bytes.len()), (error.map(|(id, _)| id), 0));
                }
                // What comes before a reply is lost at a real kubelet.
                other => panic!("{other:?} too early"),
            }
            if let (Some((error, port)), Some((data, same))) = (error, data)
                && port == same
            {
                return Some(Asked { error, data, port });
            }
        }
        session.push(&bytes(frames).await?);
    }
}

/// Connects to a port of the pod's loopback, as the runtimes do.
async fn connect(space: &FilePath, port: u16) -> io::Result<TcpStream> {
    let space = File::open(space)?;
    let connecting = move || {
        setns(space, CloneFlags::CLONE_NEWNET)?;
        std::net::TcpStream::connect(("127.0.0.1", port))
    };
    let connected = std::thread::spawn(connecting);
    let stream = tokio::task::spawn_blocking(|| connected.join().unwrap())
        .await
        .unwrap()?;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Both ways, until both have ended.
async fn relay(
    there: TcpStream,
    session: &mut Session,
    frames: &mut SplitStream<Socket>,
    out: &mpsc::Sender<Vec<u8>>,
    asked: &Asked,
) {
    let (mut from, mut to) = there.into_split();
    let down = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut buffer).await.unwrap_or(0);
            let frame = data(asked.data, &buffer[..count], count == 0);
            if out.send(frame).await.is_err() || count == 0 {
                return;
            }
        }
    };
    let up = async {
        loop {
            while let Some(frame) = session.next() {
                let Frame::Data(stream, bytes, last) = frame else {
                    continue;
                };
                if stream == asked.data {
                    let _ = to.write_all(&bytes).await;
                    if last {
                        let _ = to.shutdown().await;
                        return;
                    }
                }
            }
            let Some(bytes) = bytes(frames).await else {
                return;
            };
            session.push(&bytes);
        }
    };
    tokio::join!(down, up);
}
