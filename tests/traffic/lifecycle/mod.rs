//! What happens around the rules: applying again, repairing, removing, other programs at the same
//! tables, being killed.

mod again;
mod cleanup;
mod connections;
mod kill;
mod neighbours;
mod stop;

pub(crate) use stop::Stop;

use crate::support::{Service, Testbed};

/// Two services over two pods, with every kind of frontend.
pub(crate) fn services(bed: &Testbed) -> Vec<Service> {
    vec![
        Service::new("web", "10.233.10.10")
            .load_balancer("203.0.113.10")
            .node_port(30080)
            .to(&bed.pods[..2]),
        Service::new("empty", "10.233.10.11"),
    ]
}
