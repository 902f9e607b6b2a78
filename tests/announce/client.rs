//! What a client sees that connects to the addresses.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bed::VIPS;

/// A SYN that is lost is sent again after a second, and after two more.
const CONNECT: Duration = Duration::from_millis(3500);

/// What a client saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) failures: usize,
    /// The longest from the beginning of an attempt to the next connection. An attempt sends its
    /// SYN again after one second and after two more.
    pub(crate) outage: Duration,
}

pub(crate) fn connect(vip: &str) -> Result<(), String> {
    let address = SocketAddr::new(vip.parse().unwrap(), 80);
    let mut stream =
        TcpStream::connect_timeout(&address, CONNECT).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(CONNECT)).unwrap();
    let end = stream.read(&mut [0]).map_err(|error| error.to_string())?;
    assert_eq!(end, 0, "the pod closes");
    Ok(())
}

pub(crate) fn connect_until(stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut down_since: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        for vip in VIPS {
            let began = Instant::now();
            let outcome = connect(vip);
            let since = *down_since.get_or_insert(began);
            if outcome.is_ok() {
                seen.connections += 1;
                seen.outage = seen.outage.max(since.elapsed());
                down_since = None;
            } else {
                seen.failures += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if let Some(since) = down_since {
        seen.outage = seen.outage.max(since.elapsed());
    }
    seen
}
