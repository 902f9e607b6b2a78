//! What runs in a pod: a server that says who it is, where it is, and whom it sees, over HTTP, TCP
//! and UDP.
//!
//! On a TCP port, whoever speaks HTTP is answered in HTTP, and whoever sends a line, or ends, in a
//! line. Every answer ends its connection: a client that asks again connects again, and the spread
//! over pods can be seen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// The longest head of a request.
const MAX_HEAD: usize = 16 << 10;
/// How long a client may take to say something.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Who serves, and where.
#[derive(Clone, Debug)]
pub struct PodServer {
    /// What answers begin with: `mydp-k4w2z on n1`.
    pub identity: String,
    /// Ports for TCP and HTTP.
    pub tcp: Vec<u16>,
    /// Ports for UDP.
    pub udp: Vec<u16>,
}

/// Serves until SIGTERM.
///
/// # Errors
/// A port cannot be had.
pub fn serve(server: &PodServer) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut end = signal(SignalKind::terminate())?;
        server.start()?;
        sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
        end.recv().await;
        Ok(())
    })
}

impl PodServer {
    /// Opens all ports and starts to answer. To be called within a runtime.
    pub(super) fn start(&self) -> anyhow::Result<()> {
        let identity: Arc<str> = self.identity.as_str().into();
        for port in &self.tcp {
            let listener = listen(*port)
                .map_err(|error| anyhow::anyhow!("cannot listen on TCP port {port}: {error}"))?;
            tokio::spawn(accept(listener, Arc::clone(&identity)));
        }
        for port in &self.udp {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port))
                .map_err(|error| anyhow::anyhow!("cannot listen on UDP port {port}: {error}"))?;
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            tokio::spawn(answer_datagrams(socket, Arc::clone(&identity)));
        }
        Ok(())
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, identity: Arc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let identity = Arc::clone(&identity);
                tokio::spawn(async move {
                    let answered = answer(stream, client, &identity);
                    // A client that leaves early has had what it wanted.
                    let _ = tokio::time::timeout(PATIENCE, answered).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, client: SocketAddr, identity: &str) -> io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !is_complete(&head) && head.len() < MAX_HEAD {
        match stream.read(&mut piece).await? {
            0 => break,
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    let line = format!("{identity} sees {client}\n");
    let reply = if is_http(&head) {
        let body = if head.starts_with(b"HEAD ") {
            ""
        } else {
            &line
        };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\
             \r\n{body}",
            line.len()
        )
    } else {
        line
    };
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

fn is_http(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

/// A whole head of HTTP, or one line of anything else.
fn is_complete(head: &[u8]) -> bool {
    if is_http(head) {
        return head.windows(4).any(|four| four == b"\r\n\r\n");
    }
    head.contains(&b'\n')
}

async fn answer_datagrams(socket: UdpSocket, identity: Arc<str>) {
    let mut datagram = [0; 2048];
    loop {
        // What went wrong with one datagram, such as an earlier answer that was refused, is nothing
        // to the next.
        if let Ok((_, client)) = socket.recv_from(&mut datagram).await {
            let line = format!("{identity} sees {client}\n");
            let _ = socket.send_to(line.as_bytes(), client).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};

    use super::*;

    /// A server on a port of the kernel's choice.
    fn started(work: impl FnOnce(SocketAddr) + Send + 'static) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(accept(listener, "p on n1".into()));
            tokio::task::spawn_blocking(move || work(address))
                .await
                .unwrap();
        });
    }

    fn asked(address: SocketAddr, words: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        if words.is_empty() {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn http_is_answered_in_http_and_everything_else_in_a_line() {
        started(|address| {
            let http = asked(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(http.starts_with("HTTP/1.1 200 OK\r\n"), "{http}");
            assert!(http.contains("\r\n\r\np on n1 sees 127.0.0.1:"), "{http}");
            let head = asked(address, "HEAD / HTTP/1.1\r\n\r\n");
            assert!(head.ends_with("\r\n\r\n"), "{head}");
            for words in ["hello\n", ""] {
                assert!(asked(address, words).starts_with("p on n1 sees 127.0.0.1:"));
            }
        });
    }
}
