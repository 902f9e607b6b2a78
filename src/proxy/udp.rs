//! Datagrams: a flow for each client, with a socket of its own to one endpoint, until nothing
//! passes any more.
//!
//! Where an endpoint refuses (an ICMP error), the flow goes to another, and what was not answered
//! yet is sent again. A datagram that cannot be passed on is lost, as in any network.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::forwarder::Shared;
use super::pool::Pool;

/// The longest datagram.
const ROOM: usize = 64 * 1024;
/// Datagrams that are taken before others get their turn.
const BATCH: usize = 64;
/// Endpoints that are tried for one flow.
const TRIES: usize = 8;
/// Before reading is tried again where it fails.
const PAUSE: Duration = Duration::from_millis(100);

/// There is an answer or a refusal.
const ANSWERED: Interest = Interest::READABLE.add(Interest::ERROR);

thread_local! {
    /// Nothing stays in it beyond a poll.
    static DATAGRAM: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM].into());
}

/// A socket that clients send datagrams to, and the flows behind it.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    name: Arc<str>,
    pool: Arc<Pool>,
    shared: Arc<Shared>,
    flows: Mutex<HashMap<SocketAddr, (Arc<Flow>, AbortHandle)>>,
}

/// One client's exchange with an endpoint.
#[derive(Debug)]
struct Flow {
    client: SocketAddr,
    leg: Mutex<Leg>,
    /// The leg leads elsewhere now.
    moved: Notify,
}

/// The way to the endpoint.
#[derive(Debug)]
struct Leg {
    socket: Arc<UdpSocket>,
    endpoint: SocketAddr,
    last: Instant,
    /// The last datagram, until anything is answered.
    unanswered: Option<Box<[u8]>>,
    /// Endpoints that refused it.
    tried: Vec<SocketAddr>,
}

/// Sends without asking whether there is room: tokio learns that later than the kernel, and a new
/// socket always has some.
fn send(socket: &UdpSocket, datagram: &[u8]) -> io::Result<usize> {
    SockRef::from(socket).send(datagram)
}

/// Receives an answer, or what was told of one. tokio takes one kind of readiness at a time here.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    match socket.try_recv(buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.try_io(Interest::ERROR, || (&*SockRef::from(socket)).read(buffer))
        }
        outcome => outcome,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Datagrams {
    pub(super) fn new(
        socket: UdpSocket,
        name: Arc<str>,
        pool: Arc<Pool>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            socket,
            name,
            pool,
            shared,
            flows: Mutex::default(),
        }
    }

    /// Ends flows to endpoints that are in use no more: the next datagram finds another.
    pub(super) fn keep_to_pool(&self) {
        locked(&self.flows).retain(|_, (flow, task)| {
            let stays = self.pool.contains(&locked(&flow.leg).endpoint);
            if !stays {
                task.abort();
            }
            stays
        });
    }

    /// Ends all flows.
    pub(super) fn end(&self) {
        for (_, (_, task)) in locked(&self.flows).drain() {
            task.abort();
        }
    }

    /// Takes datagrams until aborted.
    pub(super) async fn serve(self: Arc<Self>) {
        loop {
            let outcome = match self.socket.readable().await {
                Ok(()) => self.take(),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                let name = &self.name;
                self.shared
                    .troubled(&format!("{name}: cannot read datagrams: {error}"));
                sleep(PAUSE).await;
            }
            tokio::task::yield_now().await;
        }
    }

    fn take(self: &Arc<Self>) -> io::Result<()> {
        DATAGRAM.with_borrow_mut(|buffer| {
            for _ in 0..BATCH {
                match self.socket.try_recv_from(buffer) {
                    Ok((length, client)) => {
                        self.pass(buffer.get(..length).unwrap_or_default(), client);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // About an earlier reply: its client is gone.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    fn pass(self: &Arc<Self>, datagram: &[u8], client: SocketAddr) {
        let mut flows = locked(&self.flows);
        if let Some((flow, _)) = flows.get(&client) {
            flow.send(datagram, self);
            return;
        }
        let Some(flow) = self.new_flow(datagram, client) else {
            drop(flows);
            let name = &self.name;
            self.shared
                .troubled(&format!("{name}: no endpoint for datagrams of {client}"));
            return;
        };
        let flow = Arc::new(flow);
        let (ours, shared) = (Arc::clone(&flow), Arc::clone(self));
        let open = self.shared.open();
        let task = tokio::spawn(async move {
            let _open = open;
            ours.serve(&shared).await;
            shared.forget(&ours);
        });
        flows.insert(client, (flow, task.abort_handle()));
    }

    fn new_flow(&self, datagram: &[u8], client: SocketAddr) -> Option<Flow> {
        let mut tried = Vec::new();
        let (socket, endpoint) = self.connect(client, &mut tried)?;
        let leg = Leg {
            socket,
            endpoint,
            last: Instant::now(),
            unanswered: Some(datagram.into()),
            tried,
        };
        // A refusal shows when the answer is waited for.
        let _ = send(&leg.socket, datagram);
        Some(Flow {
            client,
            leg: Mutex::new(leg),
            moved: Notify::new(),
        })
    }

    /// A socket to the endpoint whose turn it is.
    fn connect(
        &self,
        client: SocketAddr,
        tried: &mut Vec<SocketAddr>,
    ) -> Option<(Arc<UdpSocket>, SocketAddr)> {
        while tried.len() < TRIES
            && let Some(endpoint) = self.pool.next(client.ip(), tried, Instant::now())
        {
            match self.shared.origin().datagrams(endpoint) {
                Ok(socket) => {
                    self.pool.reached(client.ip(), endpoint, Instant::now());
                    return Some((Arc::new(socket), endpoint));
                }
                Err(error) => {
                    tracing::debug!(name = &*self.name, %client, %endpoint, %error, "no way");
                    tried.push(endpoint);
                }
            }
        }
        None
    }

    fn forget(&self, flow: &Arc<Flow>) {
        let mut flows = locked(&self.flows);
        let present = flows.get(&flow.client);
        if present.is_some_and(|(present, _)| Arc::ptr_eq(present, flow)) {
            flows.remove(&flow.client);
        }
    }
}

impl Flow {
    /// Passes a datagram of the client on.
    fn send(&self, datagram: &[u8], front: &Datagrams) {
        let mut leg = locked(&self.leg);
        leg.last = Instant::now();
        if leg.unanswered.is_some() {
            leg.unanswered = Some(datagram.into());
        }
        let sent = send(&leg.socket, datagram);
        if sent.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // The error is about the one before; this one was not sent.
            leg.unanswered = Some(datagram.into());
            self.move_on(&mut leg, front);
        }
    }

    /// Chooses another endpoint after a refusal, and sends it what was not answered. Where none is
    /// left, all may be tried again with the next datagram.
    fn move_on(&self, leg: &mut Leg, front: &Datagrams) -> bool {
        leg.tried.push(leg.endpoint);
        let name = &*front.name;
        tracing::debug!(name, client = %self.client, endpoint = %leg.endpoint, "refused");
        let Some((socket, endpoint)) = front.connect(self.client, &mut leg.tried) else {
            leg.tried.clear();
            return false;
        };
        if let Some(datagram) = &leg.unanswered {
            let _ = send(&socket, datagram);
        }
        (leg.socket, leg.endpoint) = (socket, endpoint);
        self.moved.notify_one();
        true
    }

    /// Sends answers back until nothing has passed for long enough.
    async fn serve(&self, front: &Datagrams) {
        let limit = front.shared.settings.udp_idle;
        loop {
            let (socket, idle) = {
                let leg = locked(&self.leg);
                (Arc::clone(&leg.socket), leg.last.elapsed())
            };
            if idle >= limit {
                return;
            }
            tokio::select! {
                // A refusal makes it no more readable.
                ready = socket.ready(ANSWERED) => {
                    if ready.is_err() || !self.answer(&socket, front) {
                        return;
                    }
                }
                () = self.moved.notified() => {}
                () = sleep(limit.saturating_sub(idle)) => {}
            }
        }
    }

    /// Sends back what has come; false if the flow has ended.
    fn answer(&self, socket: &UdpSocket, front: &Datagrams) -> bool {
        DATAGRAM.with_borrow_mut(|buffer| {
            for _ in 0..BATCH {
                match receive(socket, buffer) {
                    Ok(length) => {
                        let mut leg = locked(&self.leg);
                        leg.last = Instant::now();
                        leg.unanswered = None;
                        leg.tried.clear();
                        drop(leg);
                        let answer = buffer.get(..length).unwrap_or_default();
                        let client = self.client.into();
                        let _ = SockRef::from(&front.socket).send_to(answer, &client);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        let mut leg = locked(&self.leg);
                        // The refusal may be of the leg before.
                        let current = std::ptr::eq(Arc::as_ptr(&leg.socket), socket);
                        return !current || self.move_on(&mut leg, front);
                    }
                    Err(_) => return false,
                }
            }
            true
        })
    }
}
