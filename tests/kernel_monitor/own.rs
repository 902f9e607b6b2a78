//! Transactions of our own are told apart from foreign ones.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn own_transactions_are_not_told_and_foreign_ones_in_between_are() {
    in_new_netns(|| {
        let mut writer = socket();
        let mut monitor = open();
        monitor.ignore(&writer);
        let table = Op::AddTable(table(V4, "portolan"));
        commit(&mut writer, None, &[table, add_set("own")]).unwrap();
        commit(&mut writer, None, &[add_elements("own", 0..500)]).unwrap();
        nft("add element ip portolan own { 10.0.0.1 }");
        commit(&mut writer, None, &[delete_elements("own", 0..500)]).unwrap();
        assert_eq!(
            words(&mut monitor),
            ["1 element added to set own of table ip portolan by nft"]
        );
    });
}

#[test]
fn a_writer_with_echo_is_known_as_well() {
    in_new_netns(|| {
        let mut writer = socket();
        let mut monitor = open();
        monitor.ignore(&writer);
        let mut batch = Batch::new(None);
        let services = chain(V4, "portolan", "services");
        batch.push(&Op::AddTable(services.table.clone())).unwrap();
        batch.push_echo(&add_chain(&services)).unwrap();
        let echoed = batch.finish().commit(&mut writer).unwrap();
        assert_eq!(echoed.handles.len(), 1);
        assert_eq!(drain(&mut monitor), []);
    });
}

#[test]
fn own_transactions_queued_before_the_writer_was_named_are_not_told_either() {
    in_new_netns(|| {
        let mut writer = socket();
        let mut monitor = open();
        let table = Op::AddTable(table(V4, "portolan"));
        commit(&mut writer, None, &[table, add_set("own")]).unwrap();
        monitor.ignore(&writer);
        assert_eq!(drain(&mut monitor), []);
    });
}

#[test]
fn a_port_that_is_heeded_again_is_foreign() {
    in_new_netns(|| {
        let mut writer = socket();
        let mut monitor = open();
        monitor.ignore(&writer);
        monitor.heed(writer.portid());
        let table = Op::AddTable(table(V4, "portolan"));
        commit(&mut writer, None, &[table]).unwrap();
        let heard = transactions(&mut monitor);
        // The kernel names the thread that sent it.
        assert_eq!(
            heard[0].process.pid,
            u32::try_from(nix::unistd::gettid().as_raw()).ok()
        );
    });
}

#[test]
fn another_socket_of_the_same_thread_is_foreign() {
    in_new_netns(|| {
        let (ours, mut other) = (socket(), socket());
        let mut monitor = open();
        monitor.ignore(&ours);
        commit(&mut other, None, &[Op::AddTable(table(V4, "portolan"))]).unwrap();
        assert_eq!(transactions(&mut monitor).len(), 1);
    });
}

#[test]
fn threads_that_commit_at_once_and_a_foreign_nft_in_between_are_never_mixed_up() {
    const THREADS: u32 = 3;
    const COMMITS: u32 = 400;
    in_new_netns(|| {
        let mut writer = socket();
        let table = Op::AddTable(table(V4, "portolan"));
        commit(
            &mut writer,
            None,
            &[table, add_set("own"), add_set("theirs")],
        )
        .unwrap();
        let mut monitor = open();
        let writers: Vec<Socket> = (0..THREADS).map(|_| socket()).collect();
        for writer in &writers {
            monitor.ignore(writer);
        }
        let foreign_done = AtomicBool::new(false);
        let (own, foreign, heard) = std::thread::scope(|scope| {
            let own: Vec<_> = (0..THREADS)
                .zip(writers)
                .map(|(thread, mut writer)| {
                    scope.spawn(move || -> Vec<u32> {
                        let from = thread * 1_000_000;
                        (0..COMMITS)
                            .map(|_| {
                                let size = 1..20;
                                let range = from..from + size.end;
                                let add = add_elements("own", range.clone());
                                commit(&mut writer, None, &[add]).unwrap();
                                let delete = delete_elements("own", range);
                                commit(&mut writer, None, &[delete]).unwrap().generation
                            })
                            .collect()
                    })
                })
                .collect();
            let foreign = scope.spawn(|| {
                for number in 0..60 {
                    nft(&format!(
                        "add element ip portolan theirs {{ 10.0.0.{number} }}"
                    ));
                }
                foreign_done.store(true, Ordering::Release);
            });
            let mut heard = Vec::new();
            while !foreign_done.load(Ordering::Acquire) || own.iter().any(|t| !t.is_finished()) {
                heard.extend(transactions(&mut monitor));
                std::thread::yield_now();
            }
            let own: Vec<u32> = own.into_iter().flat_map(|t| t.join().unwrap()).collect();
            foreign.join().unwrap();
            heard.extend(transactions(&mut monitor));
            (own, 60, heard)
        });
        assert_eq!(heard.len(), foreign);
        for transaction in &heard {
            assert_eq!(transaction.process.name.as_deref(), Some("nft"));
            let damage = &transaction.damage;
            assert_eq!(damage.len(), 1, "{damage:?}");
            assert_eq!(
                (damage[0].name.as_deref(), damage[0].added),
                (Some("theirs"), 1)
            );
        }
        let own: BTreeSet<u32> = own.into_iter().collect();
        let generations: BTreeSet<u32> = heard.iter().map(|t| t.generation).collect();
        assert_eq!(generations.len(), foreign, "each is told once");
        assert!(own.is_disjoint(&generations));
    });
}

#[test]
fn what_the_caller_has_read_itself_is_not_told() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = open();
        nft("flush chain ip portolan services");
        nft("flush set ip portolan frontends");
        monitor.known(generation(&mut socket()).unwrap());
        nft("delete table ip portolan");
        assert_eq!(words(&mut monitor), ["table ip portolan deleted by nft"]);
    });
}
