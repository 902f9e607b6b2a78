//! A keeper between a programmer and a source that do as they are told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::super::*;
use crate::agent::health::Health;
use crate::agent::metrics::Metrics;
use crate::agent::run::no_local::NoLocal;
use crate::agent::sync::SyncError;
use crate::config::Mode;
use crate::model::{IpFamily, NamespacedName, Service, SnapshotDelta};
use crate::source::manifest::Note;

pub(super) const MIN: Duration = Duration::from_millis(100);
pub(super) const SYNC: Duration = Duration::from_secs(30);

/// What the programmer was asked, and what it shall answer.
#[derive(Default)]
pub(super) struct Script {
    pub(super) asked: Vec<String>,
    pub(super) failures: usize,
    /// Failures are refusals of a part.
    pub(super) partial: bool,
    pub(super) heard: Vec<Foreign>,
    pub(super) disturbed: bool,
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
pub(super) struct Bench {
    pub(super) keeper: Keeper,
    pub(super) script: Rc<RefCell<Script>>,
    pub(super) answers: Rc<RefCell<VecDeque<Result<SnapshotDelta, LoadError>>>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    /// Later than the start by enough for no period to count.
    pub(super) now: Instant,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::start(Script::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// With a programmer that is told what to do from its start on.
    pub(super) fn start(script: Script) -> Result<Self, ProgramError> {
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
    pub(super) fn change(&mut self, names: &[&str]) {
        self.answers.borrow_mut().push_back(Ok(delta(names)));
        self.files();
    }

    pub(super) fn refuse(&mut self, reason: &str) {
        self.answers
            .borrow_mut()
            .push_back(Err(LoadError::Allocation {
                errors: vec![reason.to_owned(), "and another".to_owned()],
                notes: Vec::new(),
            }));
        self.files();
    }

    pub(super) fn files(&mut self) {
        let changes = Changes::everything();
        self.keeper.files_changed(&changes, self.now, self.now);
    }

    pub(super) fn foreign(&mut self) {
        self.script.borrow_mut().heard.push(Foreign {
            damage: "rules_deleted",
            text: "somebody deleted a rule".to_owned(),
        });
        self.keeper.listen(self.now);
    }

    pub(super) fn step(&mut self) {
        self.keeper.step(self.now);
    }

    /// Lets time pass, with a step at every moment that the keeper asks for.
    pub(super) fn pass(&mut self, time: Duration) {
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
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script.borrow_mut().asked)
    }

    pub(super) fn sample(&self, name: &str) -> f64 {
        let text = self.metrics.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    }
}

pub(super) fn delta(names: &[&str]) -> SnapshotDelta {
    let service = |name: &&str| {
        let name = NamespacedName::new("default", *name);
        (name.clone(), Some(Service::new(name)))
    };
    SnapshotDelta {
        services: names.iter().map(service).collect(),
        ..SnapshotDelta::default()
    }
}
