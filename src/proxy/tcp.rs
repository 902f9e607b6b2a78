//! Connections: accepted, sent on to an endpoint that takes them, relayed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::forwarder::Shared;
use super::pool::Pool;
use super::relay::{relay, reset};

/// How long an endpoint may take to accept before the next one is tried. One lost SYN is sent
/// again after a second.
const CONNECT: Duration = Duration::from_secs(3);
/// Endpoints that are tried for one connection.
const TRIES: usize = 8;
/// Before accepting is tried again where no more files may be open.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until aborted.
pub(super) async fn serve(
    listener: TcpListener,
    name: Arc<str>,
    pool: Arc<Pool>,
    shared: Arc<Shared>,
) {
    loop {
        match listener.accept().await {
            Ok((client, from)) => {
                let (name, pool) = (Arc::clone(&name), Arc::clone(&pool));
                let shared = Arc::clone(&shared);
                let open = shared.open();
                tokio::spawn(async move {
                    forward(&client, from.ip(), &name, &pool, &shared).await;
                    drop(open);
                });
            }
            // The client went away while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                shared.troubled(&format!("{name}: cannot accept a connection: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn forward(client: &TcpStream, from: IpAddr, name: &str, pool: &Pool, shared: &Shared) {
    if shared.settings.only_redirected && !was_redirected(client) {
        tracing::debug!(name, %from, "not sent here by a rule");
        reset(client);
        return;
    }
    if let Some(announce) = shared.settings.announce
        && let Ok(own) = client.local_addr()
    {
        announce(own);
    }
    let Some((server, endpoint)) = dial(from, name, pool, shared).await else {
        shared.troubled(&format!(
            "{name}: no endpoint takes the connection of {from}"
        ));
        reset(client);
        return;
    };
    let _ = client.set_nodelay(true);
    for side in [client, &server] {
        // A peer that is gone without a word is noticed within the kernel's two hours.
        let _ = SockRef::from(side).set_keepalive(true);
    }
    match relay(client, &server, shared.settings.tcp_idle).await {
        Ok((sent, received)) => {
            tracing::trace!(name, %from, %endpoint, sent, received, "ended");
        }
        Err(error) => tracing::debug!(name, %from, %endpoint, %error, "ended"),
    }
}

/// Connects to the endpoint whose turn it is, or to the next that accepts.
async fn dial(
    client: IpAddr,
    name: &str,
    pool: &Pool,
    shared: &Shared,
) -> Option<(TcpStream, SocketAddr)> {
    let mut tried = Vec::new();
    while tried.len() < TRIES
        && let Some(endpoint) = pool.next(client, &tried, Instant::now())
    {
        let origin = shared.origin();
        let connect = origin.connect(endpoint);
        let outcome = timeout(CONNECT, connect).await;
        match outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(server) => {
                pool.reached(client, endpoint, Instant::now());
                return Some((server, endpoint));
            }
            Err(error) => {
                tracing::debug!(name, %client, %endpoint, %error, "trying another endpoint");
                tried.push(endpoint);
            }
        }
    }
    None
}

/// The connection was to another address than that of the socket: a rule sent it here. Who comes
/// directly would get past source ranges and policies.
fn was_redirected(client: &TcpStream) -> bool {
    let Ok(own) = client.local_addr() else {
        return false;
    };
    let socket = SockRef::from(client);
    let original = match own {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    let original = original.ok().and_then(|address| address.as_socket());
    original.is_some_and(|original| (original.ip(), original.port()) != (own.ip(), own.port()))
}
