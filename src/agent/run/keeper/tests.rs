use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::agent::health::Health;
use crate::agent::metrics::Metrics;
use crate::agent::run::no_local::NoLocal;
use crate::agent::sync::SyncError;
use crate::config::Mode;
use crate::model::{IpFamily, NamespacedName, Service, SnapshotDelta};
use crate::source::manifest::Note;
use crate::source::state_dir::StateError;

const MIN: Duration = Duration::from_millis(100);
const SYNC: Duration = Duration::from_secs(30);

/// What the programmer was asked, and what it shall answer.
#[derive(Default)]
struct Script {
    asked: Vec<String>,
    failures: usize,
    /// Failures are refusals of a part.
    partial: bool,
    heard: Vec<Foreign>,
    disturbed: bool,
}

struct FakeProgrammer(Rc<RefCell<Script>>);

impl FakeProgrammer {
    fn answer(&self, asked: String) -> Result<Programmed, ProgramError> {
        let mut script = self.0.borrow_mut();
        script.asked.push(asked);
        if script.failures > 0 {
            script.failures -= 1;
            if script.partial {
                let refused = Vec::new();
                return Err(SyncError::Steps { refused }.into());
            }
            return Err(ProgramError::Other("the kernel is out of sorts".into()));
        }
        Ok(Programmed {
            transactions: 1,
            messages: 2,
            bytes: 100,
            ..Programmed::default()
        })
    }
}

impl Programmer for FakeProgrammer {
    fn families(&self) -> &[IpFamily] {
        &IpFamily::ALL
    }

    fn start(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.answer(format!("start with {}", snapshot.services.len()))
    }

    fn update(
        &mut self,
        snapshot: &Snapshot,
        touched: &crate::model::Touched,
    ) -> Result<Programmed, ProgramError> {
        let names: Vec<&str> = touched.services.iter().map(|name| &*name.name).collect();
        let count = snapshot.services.len();
        self.answer(format!("update {} of {count}", names.join(",")))
    }

    fn resync(&mut self, snapshot: &Snapshot, why: Resync) -> Result<Programmed, ProgramError> {
        self.answer(format!("resync {why:?} with {}", snapshot.services.len()))
    }

    fn listen(&mut self) -> Result<Vec<Foreign>, ProgramError> {
        Ok(std::mem::take(&mut self.0.borrow_mut().heard))
    }

    fn disturbed(&mut self) -> Result<bool, ProgramError> {
        Ok(std::mem::take(&mut self.0.borrow_mut().disturbed))
    }

    fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        self.answer("cleanup".to_owned())
    }
}

/// Gives out what it was given, call by call.
#[derive(Default)]
struct FakeSource {
    answers: Rc<RefCell<VecDeque<Result<SnapshotDelta, LoadError>>>>,
    failing: Option<String>,
    list: WatchList,
}

impl Source for FakeSource {
    fn changed(&mut self, _: &Changes, _: &Snapshot) -> Result<SnapshotDelta, LoadError> {
        let answer = self.answers.borrow_mut().pop_front();
        let answer = answer.unwrap_or_else(|| Ok(SnapshotDelta::default()));
        self.failing = answer.as_ref().err().map(ToString::to_string);
        answer
    }

    fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    fn notes(&mut self) -> Vec<Note> {
        Vec::new()
    }

    fn watch_list(&mut self) -> &WatchList {
        &self.list
    }
}

/// A keeper with everything a test looks at.
struct Bench {
    keeper: Keeper,
    script: Rc<RefCell<Script>>,
    answers: Rc<RefCell<VecDeque<Result<SnapshotDelta, LoadError>>>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// Later than the start by enough for no period to count.
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::start(Script::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn start(script: Script) -> Result<Self, ProgramError> {
        let script = Rc::new(RefCell::new(script));
        let source = FakeSource::default();
        let answers = Rc::clone(&source.answers);
        let metrics = Arc::new(Metrics::new(Mode::Iptables, &IpFamily::ALL).unwrap());
        let health = Arc::new(Health::new(SYNC));
        let observers = Observers {
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            families: IpFamily::ALL.to_vec(),
            no_local: NoLocal::new("n0".into(), &IpFamily::ALL),
            ports: None,
            flows: None,
            dns: None,
            addresses: None,
            servers: Vec::new(),
            runtime: None,
            announcer: None,
        };
        let keeper = Keeper::start(
            Box::new(FakeProgrammer(Rc::clone(&script))),
            Box::new(source),
            Snapshot::default(),
            observers,
            Periods {
                min_sync: MIN,
                sync: SYNC,
            },
        );
        let now = Instant::now() + Duration::from_secs(1);
        Ok(Self {
            keeper: keeper?,
            script,
            answers,
            metrics,
            health,
            now,
        })
    }

    /// Manifests change in these Services.
    fn change(&mut self, names: &[&str]) {
        self.answers.borrow_mut().push_back(Ok(delta(names)));
        self.files();
    }

    fn refuse(&mut self, reason: &str) {
        self.answers
            .borrow_mut()
            .push_back(Err(LoadError::Allocation {
                errors: vec![reason.to_owned(), "and another".to_owned()],
                notes: Vec::new(),
            }));
        self.files();
    }

    fn files(&mut self) {
        let changes = Changes::everything();
        self.keeper.files_changed(&changes, self.now, self.now);
    }

    fn foreign(&mut self) {
        self.script.borrow_mut().heard.push(Foreign {
            damage: "rules_deleted",
            text: "somebody deleted a rule".to_owned(),
        });
        self.keeper.listen(self.now);
    }

    fn step(&mut self) {
        self.keeper.step(self.now);
    }

    /// Lets time pass, with a step at every moment that the keeper asks for.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.keeper.due(self.now);
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            self.step();
        }
        self.now = end;
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script.borrow_mut().asked)
    }

    fn sample(&self, name: &str) -> f64 {
        let text = self.metrics.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    }
}

fn delta(names: &[&str]) -> SnapshotDelta {
    let service = |name: &&str| {
        let name = NamespacedName::new("default", *name);
        (name.clone(), Some(Service::new(name)))
    };
    SnapshotDelta {
        services: names.iter().map(service).collect(),
        ..SnapshotDelta::default()
    }
}

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
