//! What changes cost, at sizes given by `LIVE_SERVICES` (10 000 by default). Not a test of
//! numbers: run with `--release -- --ignored --nocapture` and read.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portolan::agent::live::LiveSource;
use portolan::model::Snapshot;
use portolan::source::changes::Changes;
use portolan::source::manifest::ManifestInput;

use crate::support::config;

const ENDPOINTS: usize = 10;

fn count() -> usize {
    std::env::var("LIVE_SERVICES").map_or(10_000, |text| text.parse().unwrap())
}

fn service(n: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: svc-{n}\n  namespace: ns-{}\nspec:\n  \
         selector:\n    app: svc-{n}\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n",
        n % 50
    )
}

/// `generation` changes one endpoint.
fn slice(n: usize, generation: usize) -> String {
    let mut text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: svc-{n}-abcde\n  \
         namespace: ns-{}\n  labels:\n    kubernetes.io/service-name: svc-{n}\naddressType: IPv4\n\
         ports:\n- name: http\n  port: 8080\n  protocol: TCP\nendpoints:\n",
        n % 50
    );
    for e in 0..ENDPOINTS {
        let last = if e == 0 { generation % 250 } else { e };
        let (a, b) = (n / 250 % 250, n % 250);
        text += &format!(
            "- addresses:\n  - 10.{a}.{b}.{last}\n  conditions:\n    ready: true\n    serving: true\n    \
             terminating: false\n  nodeName: node-{}\n  zone: zone-{}\n  targetRef:\n    kind: Pod\n    \
             name: svc-{n}-pod-{e}\n    namespace: ns-{}\n",
            e % 3,
            e % 3,
            n % 50
        );
    }
    text
}

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        / 1024
}

struct Bench {
    source: LiveSource,
    snapshot: Snapshot,
}

impl Bench {
    fn open(path: &Path, state: &Path) -> Self {
        let before = resident();
        let input = ManifestInput {
            paths: vec![path.to_str().unwrap().to_owned()],
            ..ManifestInput::default()
        };
        let start = Instant::now();
        let (source, snapshot) = LiveSource::open(input, &config(), state).unwrap();
        println!(
            "open: {:?}, {} services, resident {before} -> {} MB",
            start.elapsed(),
            snapshot.services.len(),
            resident()
        );
        Self { source, snapshot }
    }

    /// Median time from a change of one file to its delta.
    fn measure(&mut self, what: &str, runs: usize, mut change: impl FnMut(usize) -> Changes) {
        let mut times: Vec<Duration> = (0..runs)
            .map(|run| {
                let changes = change(run);
                let start = Instant::now();
                let delta = self.source.changed(&changes, &self.snapshot).unwrap();
                let time = start.elapsed();
                assert!(what.starts_with("nothing") || !delta.is_empty());
                black_box(self.snapshot.apply(delta));
                time
            })
            .collect();
        times.sort();
        println!(
            "{what}: median {:?}, worst {:?}",
            times[runs / 2],
            times[runs - 1]
        );
    }
}

fn one(path: PathBuf) -> Changes {
    [path].into_iter().collect()
}

#[test]
#[ignore = "measures; run by hand"]
fn many_small_files() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("in");
    fs::create_dir(&dir).unwrap();
    for n in 0..count() {
        fs::write(dir.join(format!("svc-{n}.yaml")), service(n)).unwrap();
        fs::write(dir.join(format!("slice-{n}.yaml")), slice(n, 0)).unwrap();
    }
    let mut bench = Bench::open(&dir, &home.path().join("state"));
    bench.measure("one endpoint", 200, |run| {
        let path = dir.join(format!("slice-{}.yaml", run * 7));
        fs::write(&path, slice(run * 7, run + 20)).unwrap();
        one(path)
    });
    bench.measure("a service changed", 100, |run| {
        let path = dir.join(format!("svc-{}.yaml", run * 7));
        fs::write(&path, service(run * 7).replace("8080", "9090")).unwrap();
        one(path)
    });
    bench.measure("a service added", 100, |run| {
        let path = dir.join(format!("svc-new-{run}.yaml"));
        fs::write(&path, service(1_000_000 + run)).unwrap();
        one(path)
    });
    bench.measure("a service removed", 100, |run| {
        let path = dir.join(format!("svc-new-{run}.yaml"));
        fs::remove_file(&path).unwrap();
        one(path)
    });
    bench.measure("nothing: the directory is listed", 5, |_| one(dir.clone()));
    bench.measure("nothing: everything is read", 3, |_| Changes::everything());
    println!("resident {} MB", resident());
}

#[test]
#[ignore = "measures; run by hand"]
fn one_huge_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("all.yaml");
    let mut documents: Vec<String> = (0..count())
        .flat_map(|n| [service(n), slice(n, 0)])
        .collect();
    let write = |documents: &[String]| fs::write(&file, documents.join("---\n")).unwrap();
    write(&documents);
    println!("{} MB", fs::metadata(&file).unwrap().len() >> 20);
    let mut bench = Bench::open(&file, &home.path().join("state"));
    let middle = count() / 2;
    bench.measure("one endpoint", 20, |run| {
        documents[middle * 2 + 1] = slice(middle, run + 20);
        write(&documents);
        one(file.clone())
    });
    bench.measure("a service added", 20, |run| {
        documents.insert(middle, service(1_000_000 + run));
        write(&documents);
        one(file.clone())
    });
    bench.measure("nothing", 20, |_| one(file.clone()));
    println!("resident {} MB", resident());
}
