//! The wire: bytes between client and server pass, stop, trickle, or find nobody.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// They arrive.
    Pass,
    /// They do not, in neither direction, on connections that stay open: as if a firewall had
    /// forgotten them. New connections are accepted and get no answer either.
    Frozen,
    /// Connections that were open are frozen for ever; new ones work.
    HalfOpen,
    /// Connections are reset once; new ones work.
    Cut,
    /// So many bytes a tick of 10 ms.
    Slow(usize),
    /// Nobody listens, and connections are reset.
    Down,
}

/// What happens to bytes now, and how often connections were reset or forgotten so far.
#[derive(Clone, Copy, Debug)]
struct State {
    wire: Wire,
    resets: u64,
    forgotten: u64,
}

/// Accepts for the server.
pub(super) struct Gate {
    address: SocketAddr,
    inner: SocketAddr,
    state: watch::Sender<State>,
    accepting: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Gate {
    pub(super) async fn open(inner: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        let (state, states) = watch::channel(State {
            wire: Wire::Pass,
            resets: 0,
            forgotten: 0,
        });
        let accepting = tokio::spawn(accept(listener, inner, states));
        Self {
            address,
            inner,
            state,
            accepting: tokio::sync::Mutex::new(Some(accepting)),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn set(&self, wire: Wire) {
        let mut accepting = self.accepting.lock().await;
        if wire == Wire::Down
            && let Some(task) = accepting.take()
        {
            task.abort();
            let _ = task.await;
        }
        self.state.send_modify(|state| {
            state.wire = wire;
            state.resets += u64::from(matches!(wire, Wire::Cut | Wire::Down));
            state.forgotten += u64::from(wire == Wire::HalfOpen);
        });
        if wire != Wire::Down && accepting.is_none() {
            let socket = TcpSocket::new_v4().expect("socket");
            socket.set_reuseaddr(true).expect("SO_REUSEADDR");
            socket.bind(self.address).expect("the same port");
            let listener = socket.listen(64).expect("listen");
            *accepting = Some(tokio::spawn(accept(
                listener,
                self.inner,
                self.state.subscribe(),
            )));
        }
    }
}

async fn accept(listener: TcpListener, inner: SocketAddr, states: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, inner, states.clone()));
    }
}

async fn connect(client: TcpStream, inner: SocketAddr, states: watch::Receiver<State>) {
    // A reset in place of a polite end, when dropped.
    client.set_zero_linger().expect("SO_LINGER");
    let Ok(server) = TcpStream::connect(inner).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let born = *states.borrow();
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let up = copy(client_read, server_write, states.clone(), born);
    let down = copy(server_read, client_write, states, born);
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Copies until either end closes or the connection is to be reset.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut states: watch::Receiver<State>,
    born: State,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let state = *states.borrow_and_update();
        if state.resets != born.resets {
            return;
        }
        let frozen = state.wire == Wire::Frozen || state.forgotten != born.forgotten;
        if frozen {
            if states.changed().await.is_err() {
                return;
            }
            continue;
        }
        let room = match state.wire {
            Wire::Slow(bytes) => bytes,
            _ => buffer.len(),
        };
        tokio::select! {
            changed = states.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            read = from.read(&mut buffer[..room]) => {
                let Ok(count @ 1..) = read else { return };
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
                if matches!(state.wire, Wire::Slow(_)) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}
