//! UDP: threads with a socket each, which take requests and send replies in batches.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Handle;

use super::metrics::Transport;
use super::respond::{Client, Pending, Responder, Step};
use crate::kernel::datagrams::{self, Reply, Requests};

/// How often a thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes that wait in a socket: some milliseconds of a flood. The kernel may give less.
const WAITING: usize = 4 << 20;

/// A socket that shares its address with those of the other threads.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Less room only means that floods are dropped sooner.
    let _ = socket.set_recv_buffer_size(WAITING);
    let _ = socket.set_send_buffer_size(WAITING);
    socket.bind(&address.into())?;
    socket.set_read_timeout(Some(LOOK))?;
    let socket = UdpSocket::from(socket);
    if address.ip().is_unspecified() {
        datagrams::keep_destination(&socket)?;
    }
    Ok(socket)
}

/// One thread's work.
pub(super) struct Worker {
    socket: Arc<UdpSocket>,
    responder: Arc<Responder>,
    runtime: Handle,
    stop: Arc<AtomicBool>,
    /// State of a xorshift generator: where lists of records begin need not be unpredictable.
    random: u64,
}

impl Worker {
    pub(super) fn new(
        socket: UdpSocket,
        responder: Arc<Responder>,
        runtime: Handle,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            socket: Arc::new(socket),
            responder,
            runtime,
            stop,
            random: super::seed(),
        }
    }

    pub(super) fn run(mut self) {
        let mut requests = Requests::default();
        let mut replies: Vec<Reply> = Vec::new();
        let mut spare: Vec<Vec<u8>> = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = requests.receive(&self.socket) {
                self.failed(&error);
                continue;
            }
            let began = Instant::now();
            for (bytes, peer) in requests.iter() {
                let Some(bytes) = bytes else { continue };
                let client = Client {
                    address: peer.address(),
                    transport: Transport::Udp,
                };
                let mut buffer = spare.pop().unwrap_or_default();
                let rotation = super::next_random(&mut self.random);
                match self
                    .responder
                    .handle_limited(bytes, client, began, rotation, &mut buffer)
                {
                    Step::Reply => replies.push(Reply {
                        peer,
                        bytes: buffer,
                    }),
                    Step::Ask(pending) => self.forward(*pending, peer),
                    Step::Drop | Step::Transfer(_) => spare.push(buffer),
                }
            }
            datagrams::send(&self.socket, &mut replies);
            self.responder.metrics.took(began.elapsed(), replies.len());
            spare.extend(replies.drain(..).map(|reply| reply.bytes));
        }
    }

    /// Asks upstream, without keeping others waiting.
    fn forward(&self, pending: Pending, peer: datagrams::Peer) {
        let Some(forwarder) = self.responder.forwarder.clone() else {
            return;
        };
        let (socket, responder) = (Arc::clone(&self.socket), Arc::clone(&self.responder));
        // What would wait too long is not begun: the client asks again.
        let Some(permit) = forwarder.permit() else {
            responder.metrics.overloaded();
            return;
        };
        self.runtime.spawn(async move {
            let mut bytes = Vec::new();
            let step = responder
                .ask_upstream(&forwarder, pending, &mut bytes)
                .await;
            if let Step::Reply = step {
                datagrams::send(&socket, &mut [Reply { peer, bytes }]);
            }
            drop(permit);
        });
    }

    fn failed(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
        if !matches!(
            error.kind(),
            WouldBlock | TimedOut | Interrupted | ConnectionRefused
        ) {
            tracing::warn!(%error, "receiving DNS requests");
            // Whatever it is, it is not to fill the log.
            std::thread::sleep(LOOK);
        }
    }
}
