//! What is read and set belongs to the namespace it was asked in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;

use std::net::IpAddr;
use std::process::Command;

use kernel_support::*;
use portolan::kernel::netns::{NetnsRef, open_socket, run_in};
use portolan::kernel::nft::{NftKernel, TableView};
use portolan::kernel::{Socket, link, nfacct, sysctl};
use portolan::model::IpFamily::V4;
use portolan::plan::op::Op;

/// A namespace of `ip netns`, removed when dropped.
struct Named(String);

impl Named {
    fn new(what: &str) -> Option<Self> {
        let name = format!("portolan-test-{what}-{}", std::process::id());
        let status = Command::new("ip").args(["netns", "add", &name]).status();
        if status.is_ok_and(|status| status.success()) {
            Some(Self(name))
        } else {
            skipped(&format!(
                "cannot add network namespace {name} (root is needed)"
            ));
            None
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn table_names(socket: &mut Socket) -> Vec<String> {
    let mut names = Vec::new();
    let visit = &mut |table: TableView<'_>| names.push(table.name.to_owned());
    socket.dump_tables(V4, visit).unwrap();
    names
}

#[test]
fn a_socket_opened_in_a_namespace_stays_in_it() {
    let Some(named) = Named::new("socket") else {
        return;
    };
    in_new_netns(|| {
        let namespace: NetnsRef = named.0.parse().unwrap();
        let mut there = open_socket(&namespace).unwrap();
        let mut batch = there.batch(None);
        batch.push(&Op::AddTable(table(V4, "nat"))).unwrap();
        there.commit(batch).unwrap();
        assert_eq!(table_names(&mut there), ["nat"]);
        assert!(table_names(&mut socket()).is_empty());
        let path = NetnsRef::Path(format!("/run/netns/{}", named.0).into());
        let names = run_in(&path, || table_names(&mut socket())).unwrap();
        assert_eq!(names, ["nat"]);
    });
}

#[test]
fn a_thread_that_entered_a_namespace_does_not_move_the_caller() {
    let Some(named) = Named::new("thread") else {
        return;
    };
    let own = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let namespace: NetnsRef = named.0.parse().unwrap();
    let before = own();
    let inside = run_in(&namespace, own).unwrap();
    assert_ne!(inside, before);
    assert_eq!(own(), before);
}

#[test]
fn settings_are_those_of_the_namespace() {
    let name = "net/ipv4/conf/all/route_localnet";
    in_new_netns(|| {
        assert_eq!(sysctl::get(name).unwrap(), 0);
        assert!(sysctl::set(name, 1).unwrap());
        assert!(!sysctl::set(name, 1).unwrap());
        assert_eq!(sysctl::get(name).unwrap(), 1);
    });
    in_new_netns(|| assert_eq!(sysctl::get(name).unwrap(), 0));
}

#[test]
fn addresses_of_all_interfaces_are_listed() {
    in_new_netns(|| {
        assert!(link::local_addresses().unwrap().is_empty());
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["link", "add", "d0", "type", "veth"]);
        run("ip", &["address", "add", "192.168.10.100/24", "dev", "d0"]);
        run(
            "ip",
            &["address", "add", "fd00:192:168:10::100/64", "dev", "d0"],
        );
        let mut seen = link::local_addresses().unwrap();
        seen.sort();
        let seen: Vec<_> = seen
            .iter()
            .map(|local| (local.address.to_string(), local.interface.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("127.0.0.1".to_owned(), "lo"),
                ("192.168.10.100".to_owned(), "d0"),
                ("::1".to_owned(), "lo"),
                ("fd00:192:168:10::100".to_owned(), "d0"),
            ]
        );
        assert!(seen.iter().all(|(text, _)| text.parse::<IpAddr>().is_ok()));
    });
}

#[test]
fn a_counter_is_made_once_and_per_namespace() {
    for _ in 0..2 {
        in_new_netns(|| {
            let mut socket = socket();
            if !nfacct::available(&mut socket).unwrap() {
                skipped("this kernel has no nfacct");
                return;
            }
            assert!(nfacct::ensure(&mut socket, "ct_state_invalid_dropped_pkts").unwrap());
            assert!(!nfacct::ensure(&mut socket, "ct_state_invalid_dropped_pkts").unwrap());
        });
    }
}

#[test]
fn a_counter_with_a_name_too_long_is_refused() {
    in_new_netns(|| {
        let error = nfacct::ensure(&mut socket(), &"x".repeat(32)).unwrap_err();
        assert!(error.to_string().contains("longer than 31 bytes"));
    });
}
