//! Listening sockets, made in one network namespace and served from another.
//!
//! A socket stays in the namespace it was made in: threads that serve it need not be there.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Connections that wait to be accepted, as Go's `net/http` leaves it to the system.
const BACKLOG: i32 = 1024;
/// How long closing waits for the port to be free again.
const CLOSING: Duration = Duration::from_secs(1);

/// Whether `[::]` takes IPv4 as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// As the system is set up, which is yes by default.
    AsSystem,
    /// The family of the address alone.
    OfAddress,
}

/// Binds a port in the network namespace of the calling thread.
///
/// # Errors
/// The address is in use or not there.
pub fn bind(address: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a process before this one may still be closing.
    socket.set_reuse_address(true)?;
    if families == Families::OfAddress && address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A server on one socket. Dropping it closes the port; requests under way are answered.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    closed: mpsc::Receiver<()>,
    done: mpsc::Receiver<()>,
}

impl Server {
    /// Serves a socket until dropped.
    ///
    /// # Errors
    /// The runtime cannot take the socket.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        listener: TcpListener,
        router: Router,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (still_open, closed) = mpsc::channel();
        let (at_work, done) = mpsc::channel();
        let inner = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let listener = Open {
            inner,
            _open: still_open,
        };
        let server = axum::serve(listener, router).with_graceful_shutdown(async move {
            // Either way the server is over.
            let _ = stopped.await;
        });
        runtime.spawn(async move {
            let _at_work: mpsc::Sender<()> = at_work;
            // It ends well, whatever its connections did.
            let _ = server.await;
        });
        Ok(Self {
            stop: Some(stop),
            closed,
            done,
        })
    }

    /// Closes the ports of all of them, and waits until the requests under way are answered, but
    /// not for longer than [`CLOSING`].
    pub fn finish(mut servers: Vec<Self>) {
        for server in &mut servers {
            drop(server.stop.take());
        }
        let end = Instant::now() + CLOSING;
        for server in &servers {
            let left = end.saturating_duration_since(Instant::now());
            let _ = server.done.recv_timeout(left);
        }
    }
}

/// Waits until the port is free: whoever binds it next must not find it taken by us.
impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.closed.recv_timeout(CLOSING);
    }
}

/// A listener that tells, by letting go of a channel, that it was closed.
struct Open {
    inner: tokio::net::TcpListener,
    _open: mpsc::Sender<()>,
}

impl Listener for Open {
    type Io = TcpStream;
    type Addr = SocketAddr;

    fn accept(&mut self) -> impl Future<Output = (Self::Io, Self::Addr)> + Send {
        Listener::accept(&mut self.inner)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_before_the_end_is_answered() {
        use std::io::{Read, Write};
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let slow = axum::routing::any(|| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            "answer"
        });
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = bind(any, Families::AsSystem).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", slow);
        let server = Server::start(runtime.handle(), listener, router).unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        Server::finish(vec![server]);
        runtime.shutdown_background();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("answer"), "{text:?}");
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_port_is_free_as_soon_as_its_server_is_gone() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let address = bind(any, Families::AsSystem).unwrap().local_addr().unwrap();
        for round in 0..50 {
            let listener = bind(address, Families::AsSystem)
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
            let taken = bind(address, Families::AsSystem).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            let server = Server::start(runtime.handle(), listener, Router::new()).unwrap();
            std::net::TcpStream::connect(address).unwrap();
            drop(server);
        }
    }
}
