//! The one node of each Service.
//!
//! By the highest hash of Service and node (rendezvous hashing, Thaler and Ravishankar 1998): every
//! node comes to the same result without a word about it, Services spread over nodes, and a node
//! that comes or goes moves its own part only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::claim::{Claim, Where};
use crate::model::allocate::stable_hash;
use crate::model::{NamespacedName, Node};

/// What the manifests say of nodes.
pub type Nodes = BTreeMap<Arc<str>, Node>;

/// All Services with addresses, and the part of this node.
#[derive(Debug)]
pub struct Election {
    own: Arc<str>,
    claims: BTreeMap<NamespacedName, Claim>,
    nodes: Nodes,
}

impl Election {
    /// Nobody asks for anything.
    #[must_use]
    pub fn new(own: Arc<str>) -> Self {
        Self {
            own,
            claims: BTreeMap::new(),
            nodes: Nodes::new(),
        }
    }

    /// Takes in what changed: Services that ask for something, or (`None`) no longer.
    pub fn change(&mut self, claims: BTreeMap<NamespacedName, Option<Claim>>) {
        for (service, claim) in claims {
            match claim {
                Some(claim) => self.claims.insert(service, claim),
                None => self.claims.remove(&service),
            };
        }
    }

    /// The nodes are these now.
    pub fn set_nodes(&mut self, nodes: Nodes) {
        self.nodes = nodes;
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The addresses this node is to answer for, with their Service, where these nodes answer.
    #[must_use]
    pub fn part(&self, taking: &BTreeSet<Arc<str>>) -> BTreeMap<IpAddr, NamespacedName> {
        let candidates: Vec<&Arc<str>> = taking.iter().filter(|n| self.may_take(n)).collect();
        let mut part = BTreeMap::new();
        for (service, claim) in &self.claims {
            let winner = winner(service, claim, &candidates);
            if winner.is_some_and(|winner| *winner == self.own) {
                let addresses = claim.addresses.iter();
                part.extend(addresses.map(|address| (*address, service.clone())));
            }
        }
        part
    }

    /// The Services that ask for something.
    pub fn services(&self) -> impl Iterator<Item = &NamespacedName> {
        self.claims.keys()
    }

    /// The Services that this node would do for, whoever else would.
    #[must_use]
    pub fn fit(&self) -> BTreeSet<NamespacedName> {
        let fit = |claim: &Claim| would_do(claim, &self.own);
        let may = self.may_take(&self.own);
        let claims = self.claims.iter().filter(|(_, claim)| may && fit(claim));
        claims.map(|(service, _)| service.clone()).collect()
    }

    /// The addresses of these Services, of those of them that ask for something.
    #[must_use]
    pub fn addresses(
        &self,
        services: &BTreeSet<NamespacedName>,
    ) -> BTreeMap<IpAddr, NamespacedName> {
        let claims = services
            .iter()
            .filter_map(|s| Some((s, self.claims.get(s)?)));
        let addresses = claims.flat_map(|(service, claim)| {
            let addresses = claim.addresses.iter();
            addresses.map(|address| (*address, service.clone()))
        });
        addresses.collect()
    }

    /// A node that nobody describes is one: manifests need not have Nodes.
    fn may_take(&self, node: &Arc<str>) -> bool {
        self.nodes
            .get(node)
            .is_none_or(|node| !node.no_balancer && !node.leaving)
    }
}

fn winner<'n>(
    service: &NamespacedName,
    claim: &Claim,
    candidates: &[&'n Arc<str>],
) -> Option<&'n Arc<str>> {
    candidates
        .iter()
        .filter(|node| would_do(claim, node))
        .max_by_key(|node| stable_hash(&format!("{service} {node}")))
        .copied()
}

fn would_do(claim: &Claim, node: &Arc<str>) -> bool {
    match &claim.nodes {
        Where::Anywhere => true,
        Where::On(nodes) => nodes.contains(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [&str; 3] = ["n1", "n2", "n3"];

    fn name(number: u8) -> NamespacedName {
        NamespacedName::new("default", format!("svc-{number}"))
    }

    fn claim(number: u8, nodes: Where) -> (NamespacedName, Option<Claim>) {
        let claim = Claim {
            addresses: vec![[192, 0, 2, number].into()],
            nodes,
        };
        (name(number), Some(claim))
    }

    fn set(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    /// The node of each of the Services; every address has one at most.
    fn owners(
        claims: &BTreeMap<NamespacedName, Option<Claim>>,
        nodes: &Nodes,
        taking: &[&str],
    ) -> BTreeMap<IpAddr, &'static str> {
        let mut owners = BTreeMap::new();
        for own in NODES {
            let mut election = Election::new(own.into());
            election.change(claims.clone());
            election.set_nodes(nodes.clone());
            for address in election.part(&set(taking)).into_keys() {
                assert_eq!(owners.insert(address, own), None, "two nodes for {address}");
            }
        }
        owners
    }

    #[test]
    fn every_address_has_one_node_and_a_node_that_goes_moves_its_own_only() {
        let claims = (0..60).map(|n| claim(n, Where::Anywhere)).collect();
        let all = owners(&claims, &Nodes::new(), &NODES);
        assert_eq!(all.len(), 60);
        for node in NODES {
            let part = all.values().filter(|owner| **owner == node).count();
            assert!(part >= 10, "{node} has {part} of 60");
        }
        let two = owners(&claims, &Nodes::new(), &["n1", "n3"]);
        assert_eq!(two.len(), 60);
        for (address, owner) in all {
            assert!(owner == "n2" || two[&address] == owner, "{address} moved");
        }
    }

    #[test]
    fn local_endpoints_and_unfit_nodes_decide_who_may() {
        let on = |nodes: &[&str]| Where::On(set(nodes));
        let claims = [
            claim(1, on(&["n2"])),
            claim(2, on(&["n9"])),
            claim(3, on(&["n1", "n2"])),
        ];
        let claims = claims.into();
        let all = owners(&claims, &Nodes::new(), &NODES);
        assert_eq!(all.len(), 2, "nobody is where the second has its endpoints");
        assert_eq!(all[&IpAddr::from([192, 0, 2, 1])], "n2");
        let drained = Node {
            name: "n2".into(),
            no_balancer: true,
            ..Node::default()
        };
        let nodes = [("n2".into(), drained)].into();
        let rest = owners(&claims, &nodes, &NODES);
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[&IpAddr::from([192, 0, 2, 3])], "n1");
    }
}
