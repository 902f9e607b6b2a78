//! TCP: connections, and what keeps them from using everything up.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::metrics::Transport;
use super::respond::{Client, Responder, Step};
use super::transfer;

/// How long a connection may be idle, as CoreDNS has it.
const IDLE: Duration = Duration::from_secs(10);
/// How long a client may take for the rest of a request, and to take in a reply.
const SLOW: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Bytes of the longest request that makes sense.
const LONGEST: usize = 4096;

/// The connections there are, the oldest first.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    tasks: Mutex<VecDeque<AbortHandle>>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            tasks: Mutex::default(),
        }
    }

    /// Enters one; the oldest is closed where there are too many.
    fn add(&self, task: AbortHandle) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() >= self.most {
            tasks.retain(|task| !task.is_finished());
        }
        if tasks.len() >= self.most
            && let Some(oldest) = tasks.pop_front()
        {
            oldest.abort();
        }
        tasks.push_back(task);
    }
}

pub(super) fn bind(address: SocketAddr, runtime: &Handle) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let _context = runtime.enter();
    TcpListener::from_std(socket.into())
}

/// Serves until dropped.
pub(super) async fn serve(
    listener: TcpListener,
    responder: Arc<Responder>,
    connections: Arc<Connections>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let task = connection(stream, address, Arc::clone(&responder));
                connections.add(tokio::spawn(task).abort_handle());
            }
            Err(error) => {
                tracing::warn!(%error, "accepting DNS connections");
                // Out of files, for example: some will be closed.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers until the client is done, or takes too long.
async fn connection(mut stream: TcpStream, address: SocketAddr, responder: Arc<Responder>) {
    let client = Client {
        address: Some(address),
        transport: Transport::Tcp,
    };
    let mut random = super::seed();
    while let Some(request) = next_request(&mut stream).await {
        let began = Instant::now();
        let rotation = super::next_random(&mut random);
        let mut reply = Vec::new();
        let step = match responder.handle(&request, client, rotation, &mut reply) {
            Step::Ask(pending) => {
                let Some(forwarder) = &responder.forwarder else {
                    return;
                };
                let Some(_permit) = forwarder.permit() else {
                    responder.metrics.overloaded();
                    return;
                };
                responder
                    .ask_upstream(forwarder, *pending, &mut reply)
                    .await
            }
            Step::Transfer(pending) => {
                for message in transfer::messages(&responder, &pending) {
                    if send(&mut stream, &message).await.is_none() {
                        return;
                    }
                }
                continue;
            }
            step => step,
        };
        let Step::Reply = step else { return };
        if send(&mut stream, &reply).await.is_none() {
            return;
        }
        responder.metrics.took(began.elapsed(), 1);
    }
}

/// The next request; `None` where the connection is over.
async fn next_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = timeout(IDLE, stream.read_u16()).await.ok()?.ok()?;
    let length = usize::from(length);
    if length > LONGEST {
        return None;
    }
    let mut request = vec![0; length];
    timeout(SLOW, stream.read_exact(&mut request))
        .await
        .ok()?
        .ok()?;
    Some(request)
}

async fn send(stream: &mut TcpStream, reply: &[u8]) -> Option<()> {
    let length = u16::try_from(reply.len()).ok()?;
    let mut framed = Vec::with_capacity(2 + reply.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(reply);
    timeout(SLOW, stream.write_all(&framed)).await.ok()?.ok()
}
