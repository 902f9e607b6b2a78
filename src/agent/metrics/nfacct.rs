//! Packet counters of nfacct objects, read when they are asked for: kube-proxy's two of the
//! iptables mode.

use std::sync::{Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, Registry};

use crate::kernel::{Socket, nfacct};
use crate::translate::iptables::NfacctObjects;

/// Counters and the objects that they show.
pub(super) struct NfacctCollector {
    /// Of the network namespace that is programmed; scrapes come from any thread.
    socket: Mutex<Socket>,
    counters: [(IntCounter, &'static str); 2],
}

impl NfacctCollector {
    /// Registers the counters if the kernel has nfacct, as kube-proxy does. To be called in the
    /// network namespace.
    pub(super) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
        let Ok(mut socket) = Socket::open() else {
            return Ok(());
        };
        if !nfacct::available(&mut socket).unwrap_or(false) {
            return Ok(());
        }
        let invalid = IntCounter::new(
            "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
            "packets dropped by iptables to work around conntrack problems",
        )?;
        let localhost = IntCounter::new(
            "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
            "Number of packets accepted on nodeports of loopback interface",
        )?;
        registry.register(Box::new(Self {
            socket: Mutex::new(socket),
            counters: [
                (invalid, NfacctObjects::CT_STATE_INVALID),
                (localhost, NfacctObjects::LOCALHOST_NODE_PORTS),
            ],
        }))
    }

    /// What cannot be read keeps its last value. Somebody may have made an object anew: counters
    /// begin again then, as every client of Prometheus expects of them.
    fn read(&self) {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        for (counter, name) in &self.counters {
            if let Ok(Some(packets)) = nfacct::packets(&mut socket, name) {
                counter.reset();
                counter.inc_by(packets);
            }
        }
    }
}

impl Collector for NfacctCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.counters
            .iter()
            .flat_map(|(counter, _)| counter.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        let counters = self.counters.iter();
        counters
            .flat_map(|(counter, _)| counter.collect())
            .collect()
    }
}
