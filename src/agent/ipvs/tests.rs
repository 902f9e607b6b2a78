//! Commits against a kernel in memory that refuses things.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a failure is a failed test"
)]

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Drains;
use super::backend::Ipvs;
use super::records::written_down;
use super::settings::Settings;
use crate::agent::backend::Backend as _;
use crate::agent::facts::NodeFacts;
use crate::agent::nftables::read::read_table;
use crate::agent::sync::SyncError;
use crate::config::{ProxyConfig, ProxyFlags};
use crate::kernel::ipvs::fake::FakeIpvs;
use crate::kernel::nft::fake::FakeKernel;
use crate::model::{
    IpFamily, NamespacedName, Protocol, Service, ServicePort, Snapshot, TargetPort,
};
use crate::plan::nftables::{IPVS_TABLE, TableState};
use crate::plan::op::TableRef;
use crate::translate::ipvs::IpvsSet;

/// A node in memory.
#[derive(Default)]
struct Bench {
    nft: FakeKernel,
    ipvs: FakeIpvs,
}

impl Bench {
    /// Brings the node to Services by the last byte of their address.
    fn sync(&mut self, services: &[u8]) -> Result<(), SyncError> {
        let config = ProxyConfig::from_flags(&ProxyFlags::on_node("n0"), "n0").unwrap();
        let snapshot = snapshot(services);
        let facts = NodeFacts::assumed(&[], false);
        let backend = Ipvs::new(&snapshot, &config, &facts);
        let comparison = backend.compare_with(
            &mut self.nft,
            &mut self.ipvs,
            &snapshot,
            false,
            Settings::new(),
        )?;
        let mut drains = Drains::new(config.ipvs.drain_timeout);
        let (nft, ipvs) = (&mut self.nft, &mut self.ipvs);
        let done = backend.commit_with(nft, ipvs, &snapshot, comparison, &mut drains);
        done.map(drop)
    }

    fn table(&mut self) -> Option<TableState> {
        let table = TableRef {
            family: IpFamily::V4,
            name: IPVS_TABLE.into(),
        };
        read_table(&mut self.nft, &TableState::new(table)).unwrap()
    }

    /// The addresses of virtual servers that the table says are ours.
    fn recorded(&mut self) -> BTreeSet<IpAddr> {
        let table = self.table();
        let servers = written_down(&[table]);
        servers.into_iter().map(|key| key.address).collect()
    }

    /// How many addresses of the device the table knows.
    fn addresses(&mut self) -> usize {
        let table = self.table().unwrap();
        table.sets[&*IpvsSet::Addresses.name()].elements.len()
    }

    fn servers(&self) -> BTreeSet<IpAddr> {
        let servers = self.ipvs.present.servers.keys();
        servers.map(|key| key.address).collect()
    }
}

fn ip(number: u8) -> IpAddr {
    IpAddr::from([10, 233, 0, number])
}

fn ips(numbers: &[u8]) -> BTreeSet<IpAddr> {
    numbers.iter().map(|number| ip(*number)).collect()
}

fn snapshot(services: &[u8]) -> Snapshot {
    let service = |number: &u8| {
        let name = NamespacedName::new("default", format!("s{number}"));
        let port = ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: TargetPort::Number(80),
            node_port: None,
        };
        let service = Service {
            cluster_ips: vec![ip(*number)],
            ip_families: vec![IpFamily::V4],
            ports: vec![port],
            ..Service::new(name.clone())
        };
        (name, service)
    };
    Snapshot {
        services: services.iter().map(service).collect(),
        ..Snapshot::default()
    }
}

#[track_caller]
fn assert_refused(outcome: &Result<(), SyncError>) {
    assert!(
        matches!(outcome, Err(SyncError::Steps { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_virtual_server_that_went_loses_its_record_whatever_else_is_refused() {
    let mut bench = Bench::default();
    bench.sync(&[1, 2]).unwrap();
    assert_eq!(bench.recorded(), ips(&[1, 2]));
    // Service 3 is refused for as long as it is asked for.
    bench.ipvs.refuses = vec!["virtual server TCP 10.233.0.3:80 with scheduler rr".to_owned()];
    assert_refused(&bench.sync(&[2, 3]));
    assert_eq!(bench.servers(), ips(&[2]));
    // What may yet be made is written, what went is not.
    assert_eq!(bench.recorded(), ips(&[2, 3]));
    assert_eq!(bench.addresses(), 2);
    // Somebody else may have the place now, and it is not taken for ours.
    assert_refused(&bench.sync(&[2, 3]));
    assert_eq!(bench.recorded(), ips(&[2, 3]));
    bench.ipvs.refuses.clear();
    bench.sync(&[2, 3]).unwrap();
    assert_eq!(bench.servers(), ips(&[2, 3]));
}

#[test]
fn a_virtual_server_that_cannot_be_deleted_keeps_its_record_until_it_can() {
    let mut bench = Bench::default();
    bench.sync(&[1, 2, 3]).unwrap();
    bench.ipvs.refuses = vec![
        "virtual server TCP 10.233.0.1:80".to_owned(),
        "address 10.233.0.2 on kube-ipvs0".to_owned(),
    ];
    for _ in 0..2 {
        assert_refused(&bench.sync(&[3]));
        assert_eq!(bench.servers(), ips(&[1, 3]));
        assert_eq!(bench.recorded(), ips(&[1, 3]));
        // That of 2, which stays on the device, and that of 3.
        assert_eq!(bench.addresses(), 2);
    }
    bench.ipvs.refuses.clear();
    bench.sync(&[3]).unwrap();
    assert_eq!(bench.servers(), ips(&[3]));
    assert_eq!(bench.recorded(), ips(&[3]));
    assert_eq!(bench.addresses(), 1);
}
