//! What runs in a pod: one small server a protocol that says who it is and who it thinks asked.
//!
//! The first line of a TCP or SCTP connection decides: `GET …` is answered as HTTP/1.0 with
//! `pod-1 from 192.168.10.1:1234` and closed, so that curl works; anything else is echoed line by
//! line as `pod-1 LINE` until the client closes, for tests of long connections. A UDP datagram is
//! answered with the same text as a `GET`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use socket2::{Domain, Socket};

use super::dial::Protocol;
use super::netns::Namespace;

/// Runs until dropped. Its threads outlive it by the time they take to notice.
#[derive(Debug)]
pub(crate) struct Server {
    socket: Socket,
}

impl Server {
    /// Binds in the namespace, on every address of both families, and serves from then on.
    pub(crate) fn start(namespace: &Namespace, name: &str, protocol: Protocol, port: u16) -> Self {
        let socket = namespace
            .enter(|| bind(protocol, port))
            .unwrap_or_else(|error| panic!("{name}: cannot serve {protocol} {port}: {error}"));
        let ours = socket.try_clone().expect("dup");
        let name = Name::Fixed(name.to_owned());
        match protocol {
            Protocol::Udp => thread::spawn(move || serve_datagrams(&ours.into(), &name)),
            Protocol::Tcp | Protocol::Sctp => {
                thread::spawn(move || serve_connections(&ours.into(), &name))
            }
        };
        Self { socket }
    }

    /// Serves TCP on every address of a host with many, and says which one was called.
    pub(crate) fn start_for_every_address(namespace: &Namespace, port: u16) -> Self {
        let socket = namespace
            .enter(|| bind(Protocol::Tcp, port))
            .unwrap_or_else(|error| panic!("cannot serve {port}: {error}"));
        let ours = socket.try_clone().expect("dup");
        thread::spawn(move || serve_connections(&ours.into(), &Name::Address));
        Self { socket }
    }
}

/// What a server calls itself.
#[derive(Clone, Debug)]
enum Name {
    Fixed(String),
    /// By the address that was called.
    Address,
}

impl Name {
    fn for_connection(&self, connection: &TcpStream) -> String {
        match (self, connection.local_addr()) {
            (Self::Fixed(name), _) => name.clone(),
            (Self::Address, Ok(own)) => own.ip().to_canonical().to_string(),
            (Self::Address, Err(error)) => error.to_string(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the thread that waits on it. ENOTCONN for datagrams means "done", too.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn bind(protocol: Protocol, port: u16) -> std::io::Result<Socket> {
    let socket = protocol.socket(Domain::IPV6)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    if protocol != Protocol::Udp {
        socket.listen(1024)?;
    }
    Ok(socket)
}

fn serve_connections(listener: &TcpListener, name: &Name) {
    while let Ok((connection, peer)) = listener.accept() {
        let name = name.for_connection(&connection);
        // A client that goes away in the middle is the test's business, not the server's.
        thread::spawn(move || serve_connection(connection, &greeting(&name, peer), &name));
    }
}

fn serve_connection(mut connection: TcpStream, greeting: &str, name: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    while let Some(line) = lines.next().transpose()? {
        if !line.starts_with("GET ") {
            connection.write_all(format!("{name} {line}\n").as_bytes())?;
            continue;
        }
        // Read the whole request: closing with unread data would reset the connection.
        while lines
            .next()
            .transpose()?
            .is_some_and(|header| !header.is_empty())
        {}
        let length = greeting.len();
        return connection.write_all(
            format!(
                "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{greeting}"
            )
            .as_bytes(),
        );
    }
    Ok(())
}

fn serve_datagrams(socket: &UdpSocket, name: &Name) {
    let Name::Fixed(name) = name else { return };
    let mut buffer = [0; 2048];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        if length == 0 {
            return; // What a socket that was shut down keeps saying; our clients send text.
        }
        let _ = socket.send_to(greeting(name, peer).as_bytes(), peer);
    }
}

fn greeting(name: &str, peer: SocketAddr) -> String {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    format!("{name} from {peer}\n")
}
