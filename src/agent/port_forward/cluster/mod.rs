//! Forwarding through an API server, as kubectl does: each connection is one to the `portforward`
//! subresource of a Pod.
//!
//! * `lookup`: asks what there is, and which Pods and ports that makes
//! * `tunnel`: one connection through the server; `spdy`: what is spoken in it (pure)

mod lookup;
mod spdy;
mod tunnel;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::resolve::Way;
use super::{ForwardOptions, PortSpec, Signals, announce, listen};
use crate::model::Protocol;
use crate::proxy::Bound;
use crate::source::kubernetes::ApiAccess;
use crate::source::kubernetes::client::Renewed;
use crate::source::with_causes;
use lookup::{Lookup, Place};
use tunnel::{Tunnel, TunnelError};

/// Pods that are tried for a connection.
const TRIES: usize = 3;
/// Until a listener that cannot accept tries again.
const PAUSE: Duration = Duration::from_millis(100);

/// One asked-for port.
struct Port {
    lookup: Arc<Lookup>,
    spec: PortSpec,
    /// What was found last.
    last: Mutex<Way<Place>>,
    turn: AtomicUsize,
}

/// Forwards until a signal.
pub(super) fn run(
    options: &ForwardOptions,
    access: &ApiAccess,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if let Some(spec) = options.ports.iter().find(|s| s.protocol != Protocol::Tcp) {
        anyhow::bail!(
            "port {} cannot be forwarded: an API server forwards TCP only, not {}",
            spec.remote,
            spec.protocol
        );
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options, access, out))
}

async fn serve(
    options: &ForwardOptions,
    access: &ApiAccess,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let access = Renewed::new(access.clone()).await?;
    let given = options.namespace.clone();
    let namespace = match given {
        Some(namespace) => namespace,
        None => access.client().await.default_namespace().to_owned(),
    };
    let lookup = Arc::new(Lookup {
        access,
        namespace,
        target: options.target.clone(),
    });
    let mut ports = Vec::new();
    for spec in &options.ports {
        ports.push(Arc::new(Port::found(Arc::clone(&lookup), spec).await?));
    }
    if let Some(port) = ports.first() {
        port.probe().await?;
    }
    // Until now a signal ends the process at once, whatever the server is asked.
    let mut signals = Signals::catch()?;
    for port in ports {
        let asked = port.last().asked;
        for bound in listen::bind(&options.addresses, &port.spec, asked, out)? {
            if let Bound::Tcp(listener) = bound {
                let listener = TcpListener::from_std(listener)?;
                tokio::spawn(accept(listener, Arc::clone(&port)));
            }
        }
    }
    out.flush()?;
    signals.one().await;
    Ok(())
}

async fn accept(listener: TcpListener, port: Arc<Port>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let port = Arc::clone(&port);
                tokio::spawn(async move { port.connection(client).await });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Port {
    async fn found(lookup: Arc<Lookup>, spec: &PortSpec) -> anyhow::Result<Self> {
        let way = lookup.way(spec).await?;
        Ok(Self {
            lookup,
            spec: spec.clone(),
            last: Mutex::new(way),
            turn: AtomicUsize::new(0),
        })
    }

    fn last(&self) -> Way<Place> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    /// Opens a tunnel and leaves it, so that who may not forward is told at once.
    async fn probe(&self) -> anyhow::Result<()> {
        let places = self.last().places;
        let Some(place) = places.first() else {
            tracing::warn!("no Pod of {} runs and is ready yet", self.lookup.target);
            return Ok(());
        };
        match self.open(place).await {
            Err(error) if !error.may_try_another() => {
                Err(error).with_context(|| format!("cannot forward to pod/{}", place.pod))
            }
            Err(_) => Ok(()),
            Ok(tunnel) => {
                tunnel.close().await;
                Ok(())
            }
        }
    }

    async fn open(&self, place: &Place) -> Result<Tunnel, TunnelError> {
        let Lookup {
            access, namespace, ..
        } = &*self.lookup;
        let opened = Tunnel::open(&access.client().await, namespace, &place.pod).await;
        if let Err(error) = &opened
            && error.is_unauthorized()
        {
            access.refused();
        }
        opened
    }

    /// Forwards a client's connection.
    async fn connection(&self, mut client: TcpStream) {
        let own = client.local_addr();
        if let Ok(own) = own {
            announce(own);
        }
        let _ = client.set_nodelay(true);
        if let Err(error) = self.forward(&mut client).await {
            let local = own.map_or(0, |own| own.port());
            tracing::warn!(
                "an error occurred forwarding {local} -> {}: {error}",
                self.spec.remote
            );
            // The client sees that it was no end.
            let _ = client.set_zero_linger();
        }
    }

    async fn forward(&self, client: &mut TcpStream) -> Result<(), String> {
        let places = self.places().await?;
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = places.len();
        let turns = places.iter().cycle().skip(first % count.max(1));
        let mut reason = format!("no Pod of {} runs and is ready", self.lookup.target);
        for place in turns.take(count.min(TRIES)) {
            let told = |error: TunnelError| format!("pod/{}: {}", place.pod, with_causes(&error));
            match self.open(place).await {
                Ok(tunnel) => return tunnel.forward(client, place.port).await.map_err(told),
                Err(error) => {
                    let again = error.may_try_another();
                    reason = told(error);
                    if !again {
                        break;
                    }
                }
            }
        }
        Err(reason)
    }

    /// Where a connection may go now.
    async fn places(&self) -> Result<Vec<Place>, String> {
        match self.lookup.way(&self.spec).await {
            Ok(way) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                last.places.clone_from(&way.places);
                Ok(way.places)
            }
            Err(error) if error.may_pass() => {
                tracing::warn!("Pods are taken to be as they were: {}", with_causes(&error));
                Ok(self.last().places)
            }
            Err(error) => Err(with_causes(&error)),
        }
    }
}
