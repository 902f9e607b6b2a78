mod bench;

use super::*;
use crate::source::state_dir::StateError;
use bench::{Bench, MIN, SYNC, Script, delta};

#[test]
fn only_what_changed_is_programmed() {
    let mut bench = Bench::new();
    assert_eq!(bench.asked(), ["start with 0"]);
    bench.change(&["a", "b"]);
    bench.step();
    assert_eq!(bench.asked(), ["update a,b of 2"]);
    bench.now += SYNC / 10;
    bench.step();
    assert_eq!(bench.asked(), [""; 0], "nothing waits");
}

#[test]
fn changes_of_a_burst_are_programmed_together() {
    let mut bench = Bench::new();
    bench.asked();
    bench.change(&["a"]);
    bench.change(&["b"]);
    bench.step();
    assert_eq!(bench.asked(), ["update a,b of 2"]);
}

#[test]
fn what_comes_too_soon_waits_for_the_least_period() {
    let mut bench = Bench::new();
    bench.change(&["a"]);
    bench.step();
    bench.asked();
    bench.change(&["b"]);
    bench.step();
    assert_eq!(bench.asked(), [""; 0], "too soon");
    let waits = bench.keeper.due(bench.now) - bench.now;
    assert!((MIN..MIN * 2).contains(&waits), "{waits:?}");
    bench.pass(MIN * 2);
    assert_eq!(bench.asked(), ["update b of 2"]);
}

#[test]
fn a_failure_is_tried_again_in_full_with_everything_that_came_since() {
    let mut bench = Bench::new();
    bench.asked();
    bench.script.borrow_mut().failures = 3;
    bench.change(&["a"]);
    bench.step();
    assert_eq!(bench.asked(), ["update a of 1"]);
    bench.change(&["b"]);
    bench.pass(Duration::from_secs(5));
    let retry = "resync AfterFailure with 2";
    assert_eq!(bench.asked(), [retry, retry, retry]);
    let failures = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family=\"IPv4\"}";
    assert_eq!(bench.sample(failures), 3.0);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.asked(), [""; 0], "it succeeded");
}

#[test]
fn a_first_load_of_which_the_kernel_refuses_a_part_is_tried_again_until_it_takes_it() {
    let script = Script {
        failures: 3,
        partial: true,
        ..Script::default()
    };
    let mut bench = Bench::start(script).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bench.asked(), ["start with 0"]);
    bench.pass(Duration::from_secs(5));
    let retry = "resync AfterFailure with 0";
    assert_eq!(bench.asked(), [retry, retry, retry]);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.asked(), [""; 0], "it succeeded");
}

#[test]
fn a_first_load_that_fails_as_a_whole_ends_the_agent() {
    let script = Script {
        failures: 1,
        ..Script::default()
    };
    assert!(Bench::start(script).is_err());
}

#[test]
fn work_that_cannot_be_done_makes_the_agent_unhealthy() {
    let mut bench = Bench::new();
    bench.script.borrow_mut().failures = usize::MAX;
    bench.change(&["a"]);
    bench.pass(SYNC);
    assert!(bench.health.report(bench.now).healthy);
    bench.pass(SYNC);
    assert!(!bench.health.report(bench.now).healthy);
    bench.script.borrow_mut().failures = 0;
    bench.pass(SYNC);
    assert!(bench.health.report(bench.now).healthy);
}

#[test]
fn refused_manifests_leave_the_state_before_in_force() {
    let mut bench = Bench::new();
    bench.change(&["a"]);
    bench.step();
    bench.asked();
    bench.refuse("port 80 is taken");
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.asked(), [""; 0]);
    assert_eq!(bench.sample("portolan_manifest_errors"), 2.0);
    assert!(bench.health.report(bench.now + SYNC * 10).healthy);
    bench.change(&["b"]);
    bench.step();
    assert_eq!(bench.asked(), ["update b of 2"]);
    assert_eq!(bench.sample("portolan_manifest_errors"), 0.0);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_tried_again() {
    let mut bench = Bench::new();
    bench.asked();
    let read_only = LoadError::State(StateError::ReadOnly {
        path: "/var/lib/portolan".into(),
    });
    bench.answers.borrow_mut().push_back(Err(read_only));
    bench.answers.borrow_mut().push_back(Ok(delta(&["a"])));
    bench.files();
    bench.step();
    assert_eq!(bench.asked(), [""; 0]);
    bench.pass(REREAD);
    assert_eq!(bench.asked(), ["update a of 1"]);
}

#[test]
fn damage_is_repaired_at_once_and_counted() {
    let mut bench = Bench::new();
    bench.asked();
    bench.foreign();
    bench.step();
    assert_eq!(bench.asked(), ["resync Foreign with 0"]);
    assert_eq!(
        bench.sample("portolan_repairs_total{damage=\"rules_deleted\"}"),
        1.0
    );
}

#[test]
fn what_others_do_while_rules_are_written_is_repaired_too() {
    let mut bench = Bench::new();
    bench.asked();
    bench.change(&["a"]);
    // Nothing becomes readable: it was missed, and is known to have been.
    bench.script.borrow_mut().heard.push(Foreign {
        damage: "overrun",
        text: "something was missed".to_owned(),
    });
    bench.step();
    assert_eq!(bench.asked(), ["update a of 1"]);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.asked(), ["resync Foreign with 1"]);
}

#[test]
fn a_storm_of_damage_is_damped_and_does_not_hold_up_other_changes() {
    let mut bench = Bench::new();
    bench.asked();
    for _ in 0..2000 {
        bench.foreign();
        bench.pass(Duration::from_millis(1));
    }
    let repairs = bench.asked().len();
    assert!((3..20).contains(&repairs), "{repairs} in 2 s");
    bench.foreign();
    bench.change(&["a"]);
    bench.step();
    assert_eq!(bench.asked(), ["resync Foreign with 1"]);
}

#[test]
fn the_kernel_is_asked_now_and_then_whether_it_was_disturbed() {
    let mut bench = Bench::new();
    bench.asked();
    bench.pass(SYNC);
    assert_eq!(bench.asked(), [""; 0]);
    bench.script.borrow_mut().disturbed = true;
    bench.pass(SYNC);
    assert_eq!(bench.asked(), ["resync Disturbed with 0"]);
}

#[test]
fn one_who_asks_gets_files_and_kernel_looked_at_again() {
    let mut bench = Bench::new();
    bench.asked();
    bench.answers.borrow_mut().push_back(Ok(delta(&["a"])));
    bench.keeper.asked_again(bench.now);
    bench.step();
    assert_eq!(bench.asked(), ["resync Asked with 1"]);
}
