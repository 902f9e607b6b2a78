//! A UDP client that keeps its source port, and ways to bring Services into force.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::support::{Namespace, Outcome, Service, Testbed};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A pod answers within a millisecond; what it does not answer, nobody does.
const SILENCE: Duration = Duration::from_millis(500);

/// How Services come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Apply,
    Run,
}

impl By {
    pub(crate) const ALL: [Self; 2] = [Self::Apply, Self::Run];

    /// Brings Services into force.
    #[track_caller]
    pub(crate) fn program(self, bed: &Testbed, services: &[Service]) {
        match self {
            Self::Apply => bed.verb("apply", services, &[]).exits(0),
            Self::Run => bed.follow(services, &[]),
        };
    }
}

/// One socket for all that it sends.
pub(crate) struct Client {
    socket: UdpSocket,
}

impl Client {
    /// A client with this source port.
    pub(crate) fn new(namespace: &Namespace, port: u16, target: &str) -> Self {
        let target: SocketAddr = target.parse().unwrap();
        let own = if target.is_ipv4() { "0.0.0.0" } else { "::" };
        let own = SocketAddr::new(own.parse().unwrap(), port);
        let socket = namespace.enter(|| UdpSocket::bind(own)).unwrap();
        socket.connect(target).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        Self { socket }
    }

    /// Sends a datagram; says who answered it.
    pub(crate) fn ask(&self) -> Result<String, Outcome> {
        let refused = |kind| match kind {
            ErrorKind::ConnectionRefused => Outcome::Refused,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Outcome::TimedOut,
            other => Outcome::Failed(other.to_string()),
        };
        self.socket.send(b"?").map_err(|e| refused(e.kind()))?;
        let mut buffer = [0; 2048];
        let length = self
            .socket
            .recv(&mut buffer)
            .map_err(|e| refused(e.kind()))?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        Ok(text.split(' ').next().unwrap().to_owned())
    }

    /// Asks until this is the outcome. Datagrams go on all the time, as those of a client that has
    /// never heard of the change.
    #[track_caller]
    pub(crate) fn eventually(&self, expected: Result<&str, &Outcome>) {
        let end = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < end {
            let outcome = self.ask();
            if outcome.as_ref().map(String::as_str) == expected {
                return;
            }
            last = Some(outcome);
        }
        panic!("{expected:?} was expected, {last:?} came");
    }
}

/// Entries of the node's connection table that `conntrack -L` shows for these arguments.
pub(crate) fn flows(bed: &Testbed, args: &[&str]) -> Vec<String> {
    let args = [&["-L", "-o", "id"], args].concat();
    let output = bed.node.namespace.output("conntrack", &args);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
