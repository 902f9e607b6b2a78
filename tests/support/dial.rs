//! The client's side: connect, ask, and say in one word how it ended.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::netns::Namespace;
use super::program::is_userspace_tested;
use super::tally::Tally;

/// How long a client waits where an answer is expected: far longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long silence has to last to count as silence where nothing else is expected. A refused
/// connection is refused within a millisecond.
pub(crate) const SILENCE: Duration = Duration::from_millis(700);

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// A socket of this protocol; SCTP in its one-to-one form, which is used like TCP (RFC 6458 §4).
    pub(crate) fn socket(self, domain: Domain) -> io::Result<Socket> {
        match self {
            Self::Tcp => Socket::new(domain, Type::STREAM, Some(socket2::Protocol::TCP)),
            Self::Udp => Socket::new(domain, Type::DGRAM, Some(socket2::Protocol::UDP)),
            Self::Sctp => Socket::new(domain, Type::STREAM, Some(socket2::Protocol::SCTP)),
        }
    }

    /// Whether this kernel has it. Only SCTP is ever missing.
    pub(crate) fn is_supported(self) -> bool {
        self.socket(Domain::IPV4).is_ok()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A server answered.
    Answered(Answer),
    /// The other side said no at once: a reset or an ICMP error.
    Refused,
    /// Nobody said anything.
    TimedOut,
    /// Something else, in the kernel's words.
    Failed(String),
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Which one.
    pub(crate) server: String,
    /// The client's address as the server saw it.
    pub(crate) seen: SocketAddr,
    /// The client's address as the client saw it.
    pub(crate) own: SocketAddr,
}

impl Answer {
    /// Whether the source address was changed on the way.
    pub(crate) fn is_masqueraded(&self) -> bool {
        self.seen.ip() != self.own.ip()
    }

    /// Whether the server saw what it must see where rules leave the client's address alone: the
    /// client, or in userspace mode this node, whose connection it is.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.is_masqueraded() == is_userspace_tested()
    }
}

impl Outcome {
    /// The answer that there must be.
    #[track_caller]
    pub(crate) fn answer(self) -> Answer {
        match self {
            Self::Answered(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            // What sending a datagram says that the machine's own rules reject.
            ErrorKind::PermissionDenied => Self::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// A connection to be made, as a builder: where from, where to, how patient.
#[derive(Clone, Debug)]
pub(crate) struct Dial<'a> {
    namespace: &'a Namespace,
    target: SocketAddr,
    protocol: Protocol,
    source: Option<IpAddr>,
    patience: Duration,
}

impl<'a> Dial<'a> {
    /// To `target` (`address:port`), over TCP unless said otherwise.
    #[track_caller]
    pub(crate) fn new(namespace: &'a Namespace, target: &str) -> Self {
        Self {
            namespace,
            target: target
                .parse()
                .unwrap_or_else(|_| panic!("not an address: {target}")),
            protocol: Protocol::Tcp,
            source: None,
            patience: PATIENCE,
        }
    }

    /// Over another protocol.
    pub(crate) fn over(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// From this address of the client instead of the one that the kernel picks.
    pub(crate) fn from(self, source: &str) -> Self {
        let source = Some(source.parse().expect("source address"));
        Self { source, ..self }
    }

    /// Takes [`SILENCE`] for a timeout: for connections that must not be answered.
    pub(crate) fn impatiently(self) -> Self {
        Self {
            patience: SILENCE,
            ..self
        }
    }

    /// One attempt.
    pub(crate) fn once(&self) -> Outcome {
        self.namespace.enter(|| self.attempt())
    }

    /// The answer that one attempt must get.
    #[track_caller]
    pub(crate) fn answer(&self) -> Answer {
        self.once().answer()
    }

    /// Attempts one after the other, counted by how they ended. Stops early when answers that are
    /// patiently waited for do not come: nothing more would be learnt.
    pub(crate) fn times(&self, attempts: usize) -> Tally {
        let mut tally = Tally::default();
        self.namespace.enter(|| {
            for _ in 0..attempts {
                tally.extend([self.attempt()]);
                if self.patience == PATIENCE && tally.timed_out > 1 {
                    break;
                }
            }
        });
        tally
    }

    /// Attempts until `enough` says so, counted by how they ended.
    pub(crate) fn until(&self, enough: impl Fn() -> bool + Sync) -> Tally {
        self.namespace
            .enter(|| std::iter::from_fn(|| (!enough()).then(|| self.attempt())).collect())
    }

    /// Opens a connection that stays.
    #[track_caller]
    pub(crate) fn converse(&self) -> Conversation {
        let stream = self
            .namespace
            .enter(|| self.connect())
            .expect("a connection");
        let stream = TcpStream::from(stream);
        Conversation {
            reader: BufReader::new(stream),
        }
    }

    /// One attempt on a thread that is in the namespace.
    fn attempt(&self) -> Outcome {
        self.connect()
            .and_then(|socket| ask(socket, self.protocol))
            .unwrap_or_else(|error| Outcome::of_error(&error))
    }

    fn connect(&self) -> io::Result<Socket> {
        let socket = self.protocol.socket(Domain::for_address(self.target))?;
        socket.set_read_timeout(Some(self.patience))?;
        socket.set_write_timeout(Some(self.patience))?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&self.target.into(), self.patience)?;
        Ok(socket)
    }
}

/// Sends the request and reads who answered.
fn ask(socket: Socket, protocol: Protocol) -> io::Result<Outcome> {
    let own = socket.local_addr()?.as_socket().expect("an IP address");
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    if protocol == Protocol::Udp {
        let mut buffer = [0; 2048];
        let length = stream.read(&mut buffer)?;
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    } else {
        stream.read_to_string(&mut text)?;
    }
    Ok(parse(&text, own).unwrap_or_else(|| Outcome::Failed(format!("not an answer: {text:?}"))))
}

fn parse(text: &str, own: SocketAddr) -> Option<Outcome> {
    let body = text.rsplit("\r\n\r\n").next()?;
    let (server, seen) = body.trim_end().split_once(" from ")?;
    Some(Outcome::Answered(Answer {
        server: server.to_owned(),
        seen: seen.parse().ok()?,
        own,
    }))
}

/// A connection that stays open.
#[derive(Debug)]
pub(crate) struct Conversation {
    reader: BufReader<TcpStream>,
}

impl Conversation {
    /// Says a line and gives the name of the server that echoed it.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<String> {
        self.reader
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())?;
        let mut reply = String::new();
        self.reader.read_line(&mut reply)?;
        reply
            .trim_end()
            .strip_suffix(line)
            .map(|name| name.trim_end().to_owned())
            .ok_or_else(|| io::Error::other(format!("not an echo of {line:?}: {reply:?}")))
    }
}
