//! What happens around the rules: applying again, repairing, removing, other programs at the same
//! tables, being killed.

mod again;
mod cleanup;
mod connections;
mod kill;
mod neighbours;

use std::sync::atomic::{AtomicBool, Ordering};

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

/// Tells what works in the background to end, also when the test fails.
#[derive(Default)]
pub(crate) struct Stop(AtomicBool);

/// Says so at the end of a scope.
pub(crate) struct StopAtEnd<'a>(&'a Stop);

impl Stop {
    pub(crate) fn at_end(&self) -> StopAtEnd<'_> {
        StopAtEnd(self)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
