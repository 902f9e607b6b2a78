//! Who says on the client's link that an address is theirs: every frame, in the order they came.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};

use crate::bed::VIPS;

/// A node said that an address is its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) at: Timestamp,
    /// Of [`VIPS`].
    pub(crate) vip: &'static str,
    pub(crate) node: usize,
}

/// A packet socket, and a client that asks ten times a second.
pub(crate) struct Frames {
    said: Arc<Mutex<Vec<Said>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Frames {
    /// `macs` is the Ethernet address of each node, as `ip` shows it.
    pub(crate) fn listen(namespace: &Path, macs: Vec<String>) -> Self {
        let (said, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let inside = |work: Box<dyn FnOnce() + Send>| {
            let namespace: PathBuf = namespace.to_owned();
            std::thread::spawn(move || {
                setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                work();
            })
        };
        let (record, ending) = (Arc::clone(&said), Arc::clone(&stop));
        let hearing = inside(Box::new(move || hear(&record, &macs, &ending)));
        let ending = Arc::clone(&stop);
        let asking = inside(Box::new(move || ask(&ending)));
        Self {
            said,
            stop,
            threads: vec![hearing, asking],
        }
    }

    /// All so far, of both addresses.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.said.lock().unwrap().clone()
    }

    /// Whether a node that does is heard for both addresses.
    pub(crate) fn both(&self, does: impl Fn(usize) -> bool) -> bool {
        let said = self.said();
        let heard = |vip| said.iter().any(|one| one.vip == vip && does(one.node));
        VIPS.into_iter().all(heard)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "a listener failed"
            );
        }
    }
}

/// Not bound to a link: there is one besides the loopback.
fn hear(said: &Mutex<Vec<Said>>, macs: &[String], stop: &AtomicBool) {
    let all = Protocol::from(i32::from(0x0003_u16.to_be()));
    let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).unwrap();
    let timeout = Some(Duration::from_millis(50));
    socket.set_read_timeout(timeout).unwrap();
    let mut frame = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = socket.read(&mut frame) else {
            continue;
        };
        let Some((vip, mac)) = claim(&frame[..length]) else {
            continue;
        };
        let node = macs.iter().position(|known| *known == mac);
        said.lock().unwrap().push(Said {
            at: Timestamp::now(),
            vip,
            node: node.unwrap_or_else(|| panic!("{vip} is at {mac}, which is no node")),
        });
    }
}

/// An ARP packet with the address as its sender's, or an advertisement of it as a neighbour's; and
/// where the frame comes from.
fn claim(frame: &[u8]) -> Option<(&'static str, String)> {
    let address: IpAddr = match frame.get(12..14)? {
        [0x08, 0x06] => <[u8; 4]>::try_from(frame.get(28..32)?).ok()?.into(),
        [0x86, 0xdd] if frame.get(20) == Some(&58) && frame.get(54) == Some(&136) => {
            <[u8; 16]>::try_from(frame.get(62..78)?).ok()?.into()
        }
        _ => return None,
    };
    let mut vips = VIPS.into_iter();
    let vip = vips.find(|vip| vip.parse() == Ok(address))?;
    let mac: Vec<String> = frame
        .get(6..12)?
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    Some((vip, mac.join(":")))
}

/// The kernel asks everybody for an address that it knows no neighbour for.
fn ask(stop: &AtomicBool) {
    let sockets = ["0.0.0.0:0", "[::]:0"].map(|any| UdpSocket::bind(any).unwrap());
    while !stop.load(Ordering::Relaxed) {
        for (vip, socket) in VIPS.iter().zip(&sockets) {
            let arguments = ["neigh", "del", vip, "dev", "eth0"];
            let _ = Command::new("ip").args(arguments).output().unwrap();
            let address: IpAddr = vip.parse().unwrap();
            let _ = socket.send_to(b"?", SocketAddr::new(address, 9));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
