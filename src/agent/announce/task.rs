//! The thread: hears nodes and questions, answers, and tells.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::UnboundedReceiver;

use super::links::Answering;
use super::part::Part;
use super::{AnnounceError, AnnounceOptions, News};
use crate::announce::{Election, Heartbeat, Members};
use crate::model::{IpFamily, NamespacedName};

/// How long an address is answered for after others were told to take it.
const HANDOVER: Duration = Duration::from_millis(600);
/// What this node's part is changes with its members, not with the clock.
const ALWAYS: fn(&NamespacedName) -> bool = |_| true;

pub(super) struct Task {
    options: AnnounceOptions,
    gauge: IntGauge,
    heartbeats: StdUdpSocket,
}

/// What happened.
enum Event {
    News(Option<News>),
    Heard(Heartbeat, IpAddr),
    Question,
    Time,
}

impl Task {
    /// Binds the port of heartbeats.
    pub(super) fn new(options: AnnounceOptions, gauge: IntGauge) -> Result<Self, AnnounceError> {
        let port = options.port;
        let heartbeats = bind(port).map_err(|source| AnnounceError::Heartbeats { port, source })?;
        Ok(Self {
            options,
            gauge,
            heartbeats,
        })
    }

    pub(super) fn run(self, news: UnboundedReceiver<News>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.serve(news)),
            Err(error) => tracing::error!(%error, "cannot announce addresses"),
        }
    }

    async fn serve(self, mut news: UnboundedReceiver<News>) {
        let socket = match UdpSocket::from_std(self.heartbeats) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "cannot hear other nodes");
                return;
            }
        };
        let mut state = Announcing::new(self.options, self.gauge);
        loop {
            let event = tokio::select! {
                news = news.recv() => Event::News(news),
                heard = hear(&socket) => Event::Heard(heard.0, heard.1),
                () = question(&state.part.links.open) => Event::Question,
                () = tokio::time::sleep_until(state.due().into()) => Event::Time,
            };
            let now = Instant::now();
            match event {
                Event::News(Some(News::Claims(claims))) => state.changed(|e| e.change(claims), now),
                Event::News(Some(News::Nodes(nodes))) => {
                    state.changed(|e| e.set_nodes(nodes), now);
                }
                Event::News(Some(News::Leave)) => {
                    state.hand_over(&socket).await;
                    return;
                }
                // A cluster's.
                Event::News(Some(News::Held(_) | News::NoMoreGiven)) => {}
                Event::News(None) => return,
                Event::Heard(heartbeat, from) => state.heard(&heartbeat, from, now),
                Event::Question => state.part.answer(&ALWAYS),
                Event::Time => state.time(&socket, now).await,
            }
        }
    }
}

/// This node's part, and what is to be done about it when.
struct Announcing {
    options: AnnounceOptions,
    members: Members,
    election: Election,
    taking: BTreeSet<Arc<str>>,
    part: Part,
    speak_at: Instant,
}

impl Announcing {
    fn new(options: AnnounceOptions, gauge: IntGauge) -> Self {
        let now = Instant::now();
        let node = Arc::clone(&options.node);
        Self {
            members: Members::new(Arc::clone(&node), options.timing, now),
            election: Election::new(node),
            part: Part::new(&options, gauge),
            options,
            taking: BTreeSet::new(),
            speak_at: now,
        }
    }

    fn due(&self) -> Instant {
        // How late the silence of a node may be noticed.
        let listen = Instant::now() + self.options.timing.interval / 2;
        self.speak_at.min(self.part.due()).min(listen)
    }

    fn changed(&mut self, change: impl FnOnce(&mut Election), now: Instant) {
        change(&mut self.election);
        self.decide(now, true);
    }

    /// A heartbeat counts if it comes from an address of the node that it names.
    fn heard(&mut self, heartbeat: &Heartbeat, from: IpAddr, now: Instant) {
        let node = self.election.nodes().get(&*heartbeat.node);
        if !node.is_some_and(|node| node.addresses.contains(&from)) {
            tracing::debug!(node = &*heartbeat.node, %from, "not a node of ours");
            return;
        }
        self.members.heard(heartbeat, now);
        self.decide(now, false);
    }

    async fn time(&mut self, socket: &UdpSocket, now: Instant) {
        if self.speak_at <= now {
            self.speak_at = now + self.options.timing.interval;
            self.speak(socket, now).await;
        }
        self.decide(now, false);
        self.part.time(&self.options, now, &ALWAYS);
    }

    /// Tells every other node that this one is there.
    async fn speak(&self, socket: &UdpSocket, now: Instant) {
        let message = self.members.heartbeat(now).encode();
        for (name, node) in self.election.nodes() {
            let address = IpFamily::ALL.into_iter().find_map(|f| node.address(f));
            if *name == self.options.node {
                continue;
            }
            if let Some(address) = address {
                let to = SocketAddr::new(mapped(socket, address), self.options.port);
                // A node that cannot be reached does not hear us: that is what counts.
                if let Err(error) = socket.send_to(&message, to).await {
                    tracing::trace!(%to, %error, "heartbeat");
                }
            }
        }
    }

    /// Finds out what this node's part is, if that may have changed.
    fn decide(&mut self, now: Instant, changed: bool) {
        let taking = self.members.taking(now);
        if taking == self.taking && !changed {
            return;
        }
        if taking != self.taking {
            let names: Vec<&str> = taking.iter().map(|name| &**name).collect();
            tracing::info!(nodes = names.join(" "), "nodes that announce");
            if taking.contains(&self.options.node) != self.taking.contains(&self.options.node) {
                // Others are to know at once.
                self.speak_at = now;
            }
            self.taking = taking;
        }
        self.part.set(self.election.part(&self.taking), now);
    }

    /// Others take what is ours at once; until they have, it is answered for.
    async fn hand_over(&mut self, socket: &UdpSocket) {
        self.members.leave();
        let end = Instant::now() + HANDOVER;
        while Instant::now() < end {
            self.speak(socket, Instant::now()).await;
            let wait = tokio::time::sleep(HANDOVER / 6);
            tokio::pin!(wait);
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    () = question(&self.part.links.open) => self.part.answer(&ALWAYS),
                }
            }
        }
    }
}

/// Both families on one socket, where there are both.
fn bind(port: u16) -> io::Result<StdUdpSocket> {
    let both = || -> io::Result<StdUdpSocket> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        Ok(socket.into())
    };
    let socket = both().or_else(|_| StdUdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// An address as the socket takes it.
fn mapped(socket: &UdpSocket, address: IpAddr) -> IpAddr {
    let is_v6 = socket.local_addr().is_ok_and(|own| own.is_ipv6());
    match address {
        IpAddr::V4(v4) if is_v6 => v4.to_ipv6_mapped().into(),
        address => address,
    }
}

/// The next heartbeat. Anything else that comes is nothing.
async fn hear(socket: &UdpSocket) -> (Heartbeat, IpAddr) {
    let mut buffer = [0; 512];
    loop {
        // An error is an ICMP message about a node that was spoken to.
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await
            && let Some(heartbeat) = Heartbeat::decode(buffer.get(..length).unwrap_or_default())
        {
            return (heartbeat, from.ip().to_canonical());
        }
    }
}

/// Waits for a question on any link; for ever if there is none.
pub(super) async fn question(links: &[Answering]) {
    let waits = links.iter().flat_map(|link| &link.readiness);
    let mut waits: Vec<_> = waits.map(|readiness| Box::pin(readiness.wait())).collect();
    let first = poll_fn(|context| {
        let mut ready = waits.iter_mut().map(|wait| wait.as_mut().poll(context));
        ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
    });
    if let Err(error) = first.await {
        tracing::debug!(%error, "waiting for questions");
        std::future::pending::<()>().await;
    }
}
