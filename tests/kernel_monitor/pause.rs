//! Not listening during a large load of our own, without missing anything.

use super::*;

/// A table of ours, its writer, a monitor that knows both, and the generation.
fn begin() -> (Socket, NftMonitor, u32) {
    let mut writer = socket();
    let mut monitor = open();
    monitor.ignore(&writer);
    let table = Op::AddTable(table(V4, "portolan"));
    let made = commit(&mut writer, None, &[table, add_set("own")]).unwrap();
    (writer, monitor, made.generation)
}

#[test]
fn after_a_quiet_pause_nothing_is_told_and_everything_heard() {
    in_new_netns(|| {
        let (mut writer, mut monitor, generation) = begin();
        monitor.pause().unwrap();
        let load = add_elements("own", 0..5000);
        let loaded = commit(&mut writer, Some(generation), &[load]).unwrap();
        monitor.resume(loaded.generation, &mut writer).unwrap();
        assert_eq!(drain(&mut monitor), []);
        nft("delete table ip portolan");
        assert_eq!(words(&mut monitor), ["table ip portolan deleted by nft"]);
    });
}

#[test]
fn a_foreign_change_during_the_pause_is_told_as_an_overrun() {
    in_new_netns(|| {
        let (mut writer, mut monitor, generation) = begin();
        monitor.pause().unwrap();
        let load = add_elements("own", 0..5000);
        let loaded = commit(&mut writer, Some(generation), &[load]).unwrap();
        nft("delete table ip portolan");
        monitor.resume(loaded.generation, &mut writer).unwrap();
        assert_eq!(drain(&mut monitor), [Heard::Overrun]);
        assert_eq!(drain(&mut monitor), []);
    });
}

#[test]
fn a_foreign_change_just_before_or_in_the_pause_refuses_the_bound_commit() {
    in_new_netns(|| {
        let (mut writer, mut monitor, generation) = begin();
        nft("flush set ip portolan own");
        nft("add element ip portolan own { 10.0.0.1 }");
        monitor.pause().unwrap();
        let load = add_elements("own", 0..50);
        let error = commit(&mut writer, Some(generation), &[load]).unwrap_err();
        assert!(matches!(error, CommitError::Conflict { .. }), "{error:?}");
        monitor.resume(generation, &mut writer).unwrap();
        assert_eq!(drain(&mut monitor), [Heard::Overrun]);
    });
}
