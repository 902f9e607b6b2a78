//! Addresses that a process holds for as long as it lives: the kernel takes them back by itself when
//! they are no longer renewed.
//!
//! Owns their lifetime. Must not know what is served at them.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressScope, CacheInfo,
};
use rtnetlink::{AddressMessageBuilder, Handle};
use tokio::runtime::{Builder, Runtime};

/// `LOOPBACK_IFINDEX`: the loopback device of every namespace.
const LOOPBACK: u32 = 1;
/// Seconds until an address goes that is not renewed.
pub const LIFETIME: u32 = 10;
/// How often it is renewed: a process that does not run for two of these keeps its addresses.
const RENEW: Duration = Duration::from_secs(3);

/// An address could not be put on the loopback device.
#[derive(Debug, thiserror::Error)]
#[error("cannot give the loopback device the address {address}: {reason}")]
pub struct AddressError {
    address: IpAddr,
    /// The kernel's words.
    reason: String,
}

/// Addresses of the loopback device, renewed on a thread of its own. Dropping it removes them;
/// without that, a process that is killed included, they go within [`LIFETIME`] seconds.
pub struct LeasedAddresses {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for LeasedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedAddresses").finish_non_exhaustive()
    }
}

impl LeasedAddresses {
    /// Puts the addresses on the loopback device of the calling thread's network namespace. They
    /// are never chosen as the source of a connection to elsewhere.
    ///
    /// # Errors
    /// The kernel refuses one of them; none stays.
    pub fn add(addresses: Vec<IpAddr>) -> Result<Self, AddressError> {
        let loopback = Loopback::open(addresses)?;
        loopback.renew().inspect_err(|_| loopback.remove())?;
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("addresses".to_owned());
        let any = loopback.any();
        let thread = thread.spawn(move || loopback.keep(&stopped));
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread.map_err(|error| AddressError::new(any, error))?),
        })
    }
}

impl Drop for LeasedAddresses {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl AddressError {
    fn new(address: IpAddr, reason: impl fmt::Display) -> Self {
        Self {
            address,
            reason: reason.to_string(),
        }
    }
}

/// An rtnetlink socket of one namespace.
struct Loopback {
    addresses: Vec<IpAddr>,
    runtime: Runtime,
    handle: Handle,
}

impl Loopback {
    fn open(addresses: Vec<IpAddr>) -> Result<Self, AddressError> {
        let any = addresses.first().copied();
        let any = any.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let failed = |error: io::Error| AddressError::new(any, error);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let connected = runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            Ok(handle)
        });
        Ok(Self {
            addresses,
            handle: connected.map_err(failed)?,
            runtime,
        })
    }

    /// One of them, for errors that are about none.
    fn any(&self) -> IpAddr {
        let first = self.addresses.first().copied();
        first.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }

    /// Adds what is missing, and gives each its full lifetime.
    fn renew(&self) -> Result<(), AddressError> {
        for &address in &self.addresses {
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            let mut request = self.handle.address().add(LOOPBACK, address, prefix);
            let request = {
                let message = request.message_mut();
                if address.is_ipv4() {
                    message.header.scope = AddressScope::Host;
                } else {
                    // Nobody else can have it on this device: it may be used at once.
                    message.header.flags |= AddressHeaderFlags::Nodad;
                }
                let mut lifetime = CacheInfo::default();
                lifetime.ifa_valid = LIFETIME;
                // Deprecated from the start: IPv6 does not choose it as a source then.
                lifetime.ifa_preferred = 0;
                message
                    .attributes
                    .push(AddressAttribute::CacheInfo(lifetime));
                request.replace()
            };
            let done = self.runtime.block_on(request.execute());
            done.map_err(|error| AddressError::new(address, words(error)))?;
        }
        Ok(())
    }

    /// Renews until told to stop, then removes.
    fn keep(&self, stopped: &Receiver<()>) {
        let mut failing = false;
        while stopped.recv_timeout(RENEW) == Err(RecvTimeoutError::Timeout) {
            match self.renew() {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!("{error}");
                    failing = true;
                }
                Err(_) => {}
            }
        }
        self.remove();
    }

    fn remove(&self) {
        for &address in &self.addresses {
            let message = match address {
                IpAddr::V4(v4) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
                    .index(LOOPBACK)
                    .address(v4, 32)
                    .build(),
                IpAddr::V6(v6) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
                    .index(LOOPBACK)
                    .address(v6, 128)
                    .build(),
            };
            let done = self.handle.address().del(message).execute();
            if let Err(error) = self.runtime.block_on(done) {
                // It goes by itself soon.
                tracing::debug!(%address, "removing an address: {}", words(error));
            }
        }
    }
}

fn words(error: rtnetlink::Error) -> String {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
        other => other.to_string(),
    }
}
