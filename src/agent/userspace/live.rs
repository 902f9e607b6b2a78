//! Following changes: sockets first, then the rules that lead to them, then the end of sockets
//! that no rule leads to.
//!
//! Most changes of endpoints touch no rule at all: they change what a socket forwards to. Must not
//! decide when to program: the loop does.

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use super::sockets::{Open, Sockets};
use super::{Addresses, UserspaceOptions};
use crate::agent::facts::FactsError;
use crate::agent::nftables::live::LiveSync as Rules;
use crate::agent::node::own_node;
use crate::agent::run::programmer::{Foreign, ProgramError, Programmed, Programmer, Resync};
use crate::config::ProxyConfig;
use crate::kernel::{Socket, limits, link};
use crate::model::{IpFamily, NamespacedName, Node, Protocol, Snapshot, Touched};
use crate::proxy::{Forwarder, Origin, Settings};
use crate::translate::userspace;

/// Forwards for the Services of a snapshot, in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct LiveSync {
    rules: Rules,
    config: ProxyConfig,
    options: UserspaceOptions,
    /// `None` once it has ended.
    forwarder: Option<Forwarder>,
    sockets: Sockets,
    /// Sockets that rules may lead to still.
    closing: Vec<Open>,
    /// The cluster as the rules see it.
    stand_in: Snapshot,
    node: Node,
    addresses: Addresses,
    /// Services whose SCTP ports were warned of.
    warned: Vec<NamespacedName>,
}

impl LiveSync {
    /// A programmer for the network namespace that the calling thread is in, from then on. With
    /// `take_over`, rules of another proxy go in the transaction that brings ours.
    ///
    /// # Errors
    /// No permission, no threads, or a question the kernel does not answer.
    pub fn new(
        socket: Socket,
        config: &ProxyConfig,
        take_over: bool,
        options: UserspaceOptions,
    ) -> Result<Self, ProgramError> {
        match limits::raise_open_files() {
            Ok(open_files) => tracing::info!(open_files, "forwarding in user space"),
            Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
        }
        let settings = Settings {
            only_redirected: true,
            tcp_idle: options.tcp_idle,
            udp_idle: options.udp_idle,
            announce: None,
        };
        let forwarder = Forwarder::new(Origin::Here, settings);
        let nothing = Snapshot::default();
        Ok(Self {
            rules: Rules::new(socket, config, take_over)?,
            config: config.clone(),
            options,
            forwarder: Some(forwarder.map_err(other)?),
            sockets: Sockets::new(config.node_ports.clone()),
            closing: Vec::new(),
            node: own_node(&nothing, config, &[]),
            addresses: Addresses::choose(&nothing, config, &[]),
            stand_in: nothing,
            warned: Vec::new(),
        })
    }

    /// Has the sockets and the stand-ins of all Services follow.
    fn follow_all(&mut self, snapshot: &Snapshot) -> Result<(), ProgramError> {
        let local = local_addresses()?;
        self.node = own_node(snapshot, &self.config, &local);
        self.addresses = Addresses::choose(snapshot, &self.config, &local);
        let own = snapshot.nodes.get_key_value(&self.config.node_name);
        let own = own.map(|(name, node)| (name.clone(), node.clone()));
        self.stand_in.nodes = own.into_iter().collect();
        let services = snapshot.services.keys().cloned();
        let gone = self.sockets.services().into_iter();
        let gone = gone.filter(|name| !snapshot.services.contains_key(name));
        let gone = gone.chain(self.stand_in.services.keys().cloned());
        let all: std::collections::BTreeSet<_> = services.chain(gone).collect();
        self.follow(snapshot, all.iter())?;
        tracing::debug!(sockets = self.sockets.len(), "listening");
        Ok(())
    }

    /// Has the sockets and the stand-ins of some Services follow.
    fn follow<'a>(
        &mut self,
        snapshot: &Snapshot,
        services: impl Iterator<Item = &'a NamespacedName>,
    ) -> Result<(), ProgramError> {
        let Some(forwarder) = &self.forwarder else {
            return Ok(());
        };
        for name in services {
            let service = snapshot.services.get(name);
            let slices = snapshot.slices_of(name);
            let families = self.rules.families();
            let wanted = service.map(|s| userspace::fronts(s, slices, &self.node, families));
            let wanted = wanted.unwrap_or_default();
            let closing = self
                .sockets
                .follow(name, wanted, &self.addresses, forwarder)
                .map_err(other)?;
            self.closing.extend(closing);
            let sockets = self.sockets.addresses(name);
            let slices = userspace::slices(name, &self.node.name, sockets);
            let stand_in = &mut self.stand_in;
            if slices.is_empty() {
                stand_in.slices.remove(name);
            } else {
                stand_in.slices.insert(name.clone(), slices);
            }
            let Some(service) = service else {
                stand_in.services.remove(name);
                continue;
            };
            let seen = userspace::service(service);
            stand_in.services.insert(name.clone(), seen);
            let sctp = service.ports.iter().any(|p| p.protocol == Protocol::Sctp);
            if sctp && !self.warned.contains(name) {
                tracing::warn!("{name}: SCTP is not forwarded in userspace mode: refused");
                self.warned.push(name.clone());
            }
        }
        Ok(())
    }

    /// No rule leads to sockets that were given up.
    fn close(
        &mut self,
        outcome: Result<Programmed, ProgramError>,
    ) -> Result<Programmed, ProgramError> {
        if outcome.is_ok() {
            self.closing.clear();
        }
        outcome
    }
}

impl Programmer for LiveSync {
    fn families(&self) -> &[IpFamily] {
        self.rules.families()
    }

    fn start(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.follow_all(snapshot)?;
        let outcome = self.rules.start(&self.stand_in);
        self.close(outcome)
    }

    fn update(
        &mut self,
        snapshot: &Snapshot,
        touched: &Touched,
    ) -> Result<Programmed, ProgramError> {
        if touched.nodes.contains(&self.config.node_name) {
            return self.resync(snapshot, Resync::Disturbed);
        }
        self.follow(snapshot, touched.services.iter())?;
        let outcome = self.rules.update(&self.stand_in, touched);
        self.close(outcome)
    }

    fn resync(&mut self, snapshot: &Snapshot, why: Resync) -> Result<Programmed, ProgramError> {
        self.follow_all(snapshot)?;
        let outcome = self.rules.resync(&self.stand_in, why);
        self.close(outcome)
    }

    fn wakes(&self) -> Option<io::Result<OwnedFd>> {
        self.rules.wakes()
    }

    fn listen(&mut self) -> Result<Vec<Foreign>, ProgramError> {
        self.rules.listen()
    }

    fn disturbed(&mut self) -> Result<bool, ProgramError> {
        let now = Addresses::choose(&self.stand_in, &self.config, &local_addresses()?);
        Ok(now != self.addresses || self.rules.disturbed()?)
    }

    fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        self.rules.cleanup()
    }
}

impl Drop for LiveSync {
    /// New connections are refused from here on; those under way may end.
    fn drop(&mut self) {
        self.closing.clear();
        self.sockets = Sockets::new(self.config.node_ports.clone());
        let Some(forwarder) = mem::take(&mut self.forwarder) else {
            return;
        };
        let (open, total) = (forwarder.open(), forwarder.total());
        tracing::info!(open, total, "no longer forwarding in user space");
        let cut = forwarder.stop(self.options.grace);
        if cut > 0 {
            tracing::warn!(cut, grace = ?self.options.grace, "connections were cut");
        }
    }
}

fn local_addresses() -> Result<Vec<IpAddr>, ProgramError> {
    let addresses = link::local_addresses().map_err(FactsError::from)?;
    Ok(addresses.into_iter().map(|local| local.address).collect())
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> ProgramError {
    ProgramError::Other(Box::new(error))
}
