//! Where the objects come from: manifests, a lab, or a cluster.

use std::net::IpAddr;

use super::objects::Objects;
use crate::kernel::netns::NetnsRef;
use crate::lab::place::{self, Place};
use crate::lab::{Lab, PodState, State};
use crate::model::{PodIndex, slices_for_service};
use crate::proxy::Origin;
use crate::source::kubernetes::ApiAccess;
use crate::source::manifest::workloads::load_objects;
use crate::source::manifest::{ManifestInput, load};

/// Where Services and Pods are looked up, and how they are reached.
#[derive(Clone, Debug)]
pub enum Source {
    /// On this machine, from a network namespace.
    Direct(Direct),
    /// In a cluster, through its API server.
    Cluster(ApiAccess),
}

/// Services and Pods that a network namespace of this machine reaches.
#[derive(Clone, Debug)]
pub enum Direct {
    /// In manifests; endpoints are reached from a network namespace.
    Manifests {
        /// The manifests.
        input: ManifestInput,
        /// The namespace, the node's.
        netns: NetnsRef,
    },
    /// In a lab, from one of its nodes.
    Lab {
        /// Its name.
        name: String,
    },
}

impl Direct {
    /// The files that tell of changes.
    pub(super) fn watched(&self) -> Option<&ManifestInput> {
        match self {
            Self::Manifests { input, .. } => Some(input),
            Self::Lab { .. } => None,
        }
    }

    /// Where connections are made from.
    pub(super) fn origin(&self) -> anyhow::Result<Origin> {
        match self {
            Self::Manifests { netns, .. } => Ok(match netns {
                NetnsRef::Current => Origin::Here,
                other => Origin::Netns(other.clone()),
            }),
            Self::Lab { name } => {
                let lab = Lab::open(name)?;
                let node = lab.state.working().next();
                let node = node.ok_or_else(|| anyhow::anyhow!("no node of lab {name} works"))?;
                let machine = lab.place.machine(&node.name);
                Ok(Origin::Netns(place::netns(&machine)))
            }
        }
    }

    /// Reads the objects as they are now.
    pub(super) fn objects(&self) -> anyhow::Result<Objects> {
        match self {
            Self::Manifests { input, .. } => {
                let manifests = load(input)?;
                let pods = manifests.pods.clone();
                let workloads = load_objects(input)?.workloads;
                Ok(Objects {
                    snapshot: manifests.into_snapshot(),
                    pods,
                    workloads,
                })
            }
            Self::Lab { name } => of_lab(name),
        }
    }

    /// Something that is another value when objects may have changed, for a source whose files
    /// are not watched.
    pub(super) fn revision(&self) -> Option<String> {
        let Self::Lab { name } = self else {
            return None;
        };
        let place = Place::new(name).ok()?;
        let state = State::read(&place).ok()??;
        Some(format!("{:?} {:?}", state.revision, state.pods.len()))
    }
}

fn of_lab(name: &str) -> anyhow::Result<Objects> {
    let lab = Lab::open(name)?;
    let pods: Vec<_> = lab.state.pods.iter().map(PodState::pod).collect();
    let mut snapshot = lab.snapshot.clone();
    let index = PodIndex::new(&pods);
    for service in lab.snapshot.services.values() {
        let made = slices_for_service(service, &index, &snapshot.nodes);
        if !made.is_empty() {
            snapshot.slices.insert(service.name.clone(), made);
        }
    }
    drop(index);
    let workloads = lab.workloads().to_vec();
    Ok(Objects {
        snapshot,
        pods,
        workloads,
    })
}

/// Addresses of `--address`: `localhost` is both loopback addresses.
///
/// # Errors
/// Something that is no address.
pub fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part {
            "localhost" => all.extend([
                IpAddr::from(std::net::Ipv4Addr::LOCALHOST),
                std::net::Ipv6Addr::LOCALHOST.into(),
            ]),
            _ => all.push(
                part.parse()
                    .map_err(|_| format!("\"{part}\" is neither an IP address nor localhost"))?,
            ),
        }
    }
    Ok(all)
}
