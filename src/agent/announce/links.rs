//! The links that addresses are answered for on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::AnnounceOptions;
use crate::kernel::neighbours::{EthernetLink, NeighbourResponder, ethernet_links};
use crate::kernel::readiness::Readiness;

/// A link that is answered on, and what wakes for it.
pub(super) struct Answering {
    pub(super) responder: NeighbourResponder,
    pub(super) readiness: [Readiness; 2],
}

/// All of them.
#[derive(Default)]
pub(super) struct Links {
    pub(super) open: Vec<Answering>,
    /// There was none when it was last looked.
    told: bool,
}

impl Links {
    /// Opens links that came and drops those that went. `part` is what is answered for already.
    pub(super) fn refresh(&mut self, options: &AnnounceOptions, part: &BTreeSet<IpAddr>) {
        let wanted = match ethernet_links() {
            Ok(links) => links.into_iter().filter(|link| is_wanted(options, link)),
            Err(error) => {
                tracing::warn!(%error, "cannot list the links");
                return;
            }
        };
        let wanted: Vec<EthernetLink> = wanted.collect();
        let same = |a: &EthernetLink, b: &EthernetLink| (a.index, a.mac) == (b.index, b.mac);
        let keep = |open: &Answering| wanted.iter().any(|link| same(link, open.responder.link()));
        self.open.retain(keep);
        for link in wanted {
            let is_open = |open: &Answering| same(&link, open.responder.link());
            if !self.open.iter().any(is_open) {
                self.add(link, part);
            }
        }
        let none = self.open.is_empty();
        if none && !self.told {
            tracing::warn!(
                "no link has a network with an address of --lb-pool: nothing is announced \
                 (--announce-interface names links)"
            );
        }
        self.told = none;
    }

    fn add(&mut self, link: EthernetLink, part: &BTreeSet<IpAddr>) {
        let name = link.name.clone();
        let opened = NeighbourResponder::open(link).and_then(|responder| {
            let [arp, ndp] = responder.descriptors()?;
            let readiness = [Readiness::of(arp)?, Readiness::of(ndp)?];
            Ok(Answering {
                responder,
                readiness,
            })
        });
        match opened {
            Ok(answering) => {
                tracing::info!(link = name, "announcing addresses of load balancers");
                self.open.push(answering);
                for address in part {
                    self.take(*address);
                }
            }
            Err(error) => tracing::warn!(link = name, %error, "cannot announce addresses"),
        }
    }

    /// Answers for an address from now on, and says so.
    pub(super) fn take(&self, address: IpAddr) {
        for open in &self.open {
            // Joined twice, or on a link that just went: not worth a word.
            let _ = open.responder.join(address);
        }
        self.announce(address);
    }

    pub(super) fn announce(&self, address: IpAddr) {
        for open in &self.open {
            if let Err(error) = open.responder.announce(address) {
                let link = &open.responder.link().name;
                tracing::debug!(link, %address, %error, "announcing");
            }
        }
    }

    pub(super) fn leave(&self, address: IpAddr) {
        for open in &self.open {
            open.responder.leave(address);
        }
    }

    /// Answers the questions that wait, each if the address is this node's at that moment.
    pub(super) fn answer(&self, is_ours: impl Fn(IpAddr) -> bool) {
        for open in &self.open {
            if let Err(error) = open.responder.answer(&is_ours) {
                let link = &open.responder.link().name;
                tracing::debug!(link, %error, "answering");
            }
        }
    }
}

fn is_wanted(options: &AnnounceOptions, link: &EthernetLink) -> bool {
    if !options.interfaces.is_empty() {
        return options.interfaces.contains(&link.name);
    }
    let near = |network: &IpNet| options.pool.iter().any(|range| range.meets(network));
    link.networks.iter().any(near)
}
