//! Up and down: what is made, and that nothing of it stays.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{PATIENCE, TestLab, command, example, lab, new_name, text};
use crate::support::Namespace;

/// Everything on this machine that carries the name of a lab.
fn traces(name: &str) -> Vec<String> {
    let mut traces = Vec::new();
    let prefix = format!("portolan.{name}.");
    let listed = |path: &str| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap())
    };
    traces.extend(listed("/run/netns").filter(|space| space.starts_with(&prefix)));
    let files = listed("/run/portolan/lab");
    traces.extend(files.filter(|file| file == name || *file == format!(".{name}.lock")));
    for pid in listed("/proc").filter(|pid| pid.bytes().all(|b| b.is_ascii_digit())) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("/run/portolan/lab/{name}/")) {
            traces.push(format!("process {pid}: {line}"));
        }
    }
    traces
}

/// The network namespaces that processes are in, beside those that other tests may make.
fn spaces_of(name: &str) -> BTreeSet<u64> {
    use std::os::unix::fs::MetadataExt;
    let prefix = format!("portolan.{name}.");
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let own = entries.filter(|e| e.file_name().to_string_lossy().starts_with(&prefix));
    own.map(|entry| fs::metadata(entry.path()).unwrap().ino())
        .collect()
}

/// Processes in these namespaces.
fn processes_in(spaces: &BTreeSet<u64>) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let inside = entries.filter(|entry| {
        let space = fs::metadata(entry.path().join("ns/net"));
        space.is_ok_and(|space| spaces.contains(&space.ino()))
    });
    inside
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_lab_leaves_nothing_behind_and_never_touches_the_network_of_its_host() {
    // A namespace of the test's own is the host here, and can be compared to the last byte.
    let host = Namespace::new();
    let look = || {
        let links = host.run("ip", &["-d", "address"]);
        let routes = host.run("ip", &["route", "show", "table", "all"]);
        let rules = host.run("nft", &["list", "ruleset"]);
        let settings = host.run("sysctl", &["-a", "--pattern", "^net\\.(ipv4|ipv6|bridge)"]);
        format!("{links}\n{routes}\n{rules}\n{settings}")
    };
    let name = new_name();
    let before = look();
    let run = host.output(
        crate::support::program::PROGRAM,
        &["lab", "up", "--name", &name],
    );
    assert!(run.status.success(), "{run:?}");
    let spaces = spaces_of(&name);
    // Three nodes, six pods, client, balancer, router, switch.
    assert_eq!(spaces.len(), 13);
    assert!(processes_in(&spaces).len() >= 10);
    assert_eq!(look(), before);
    let run = host.output(
        crate::support::program::PROGRAM,
        &["lab", "down", "--name", &name],
    );
    assert!(run.status.success(), "{run:?}");
    assert_eq!(look(), before);
    assert_eq!(traces(&name), Vec::<String>::new());
    assert_eq!(processes_in(&spaces), Vec::<String>::new());
    lab(&["down", "--name", &name]).exits(0);
    lab(&["status", "--name", &name]).exits(2);
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn down_removes_what_a_killed_up_has_left() {
    // Killed early, in the middle, and late.
    for spaces in [1, 6, 11] {
        let name = new_name();
        let mut up = command(&["up", "--name", &name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + PATIENCE;
        while spaces_of(&name).len() < spaces && up.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end);
            thread::sleep(Duration::from_millis(1));
        }
        up.kill().unwrap();
        up.wait().unwrap();
        let made = spaces_of(&name);
        assert!(made.len() >= spaces);
        lab(&["down", "--name", &name]).exits(0);
        assert_eq!(traces(&name), Vec::<String>::new());
        assert_eq!(processes_in(&made), Vec::<String>::new());
    }
}

#[test]
fn down_removes_a_lab_that_has_lost_its_memory() {
    let lab = TestLab::with_examples(&["mydeploy.yml", "clusterip.yml"]);
    let spaces = spaces_of(&lab.name);
    fs::remove_dir_all(format!("/run/portolan/lab/{}", lab.name)).unwrap();
    lab.run("status", &[]).exits(2);
    lab.run("up", &[]).exits(2);
    lab.run("down", &[]).exits(0);
    assert_eq!(traces(&lab.name), Vec::<String>::new());
    assert_eq!(processes_in(&spaces), Vec::<String>::new());
}

#[test]
fn a_second_lab_stands_beside_the_first_and_neither_sees_the_other() {
    let one = TestLab::with_examples(&["clusterip.yml", "mydeploy.yml"]);
    let two = TestLab::with_examples(&["clusterip.yml", "mydeploy.yml"]);
    two.run("scale", &["deploy/mydp", "1"]).exits(0);
    one.curl("deploy/mydp", "http://10.233.10.10", 60)
        .assert_only(&one.web());
    two.curl("deploy/mydp", "http://10.233.10.10", 60)
        .assert_only(&two.web());
    let listed = lab(&["list"]).exits(0).stdout;
    for name in [&one.name, &two.name] {
        assert!(listed.lines().any(|line| line == name), "{listed}");
    }
    two.run("up", &[]).exits(2);
    drop(two);
    one.curl("deploy/mydp", "http://10.233.10.10", 3);
}

#[test]
fn bad_manifests_are_refused_with_all_their_mistakes_and_nothing_is_made() {
    let name = new_name();
    let file = tempfile::NamedTempFile::new().unwrap();
    let wrong = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports: [{port: 99999}]\n  \
                 clusterIP: 192.0.2.1\n";
    fs::write(file.path(), wrong).unwrap();
    let path = file.path().to_str().unwrap();
    let run = lab(&["up", "--name", &name, "-f", path]).exits(2);
    assert!(run.stderr.contains("spec.ports[0].port"), "{run:?}");
    let wrong = fs::read_to_string(example("mydeploy.yml")).unwrap();
    let wrong = wrong
        .replace("replicas: 3", "replicas: -3")
        .replace("containerPort: 80", "containerPort: 80000");
    fs::write(file.path(), wrong).unwrap();
    let run = lab(&["up", "--name", &name, "-f", path]).exits(2);
    for field in ["spec.replicas", "containers[0].ports[0].containerPort"] {
        assert!(run.stderr.contains(field), "{run:?}");
    }
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn manifests_come_through_standard_input_too() {
    let lab = TestLab { name: new_name() };
    let manifests = fs::File::open(example("mydeploy.yml")).unwrap();
    let output = command(&["up", "--name", &lab.name, "--nodes", "1", "-f", "-"])
        .stdin(manifests)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lab.pods_of("Deployment default/mydp").len(), 3);
    assert_eq!(lab.status()["nodes"].as_array().unwrap().len(), 1);
}

#[test]
fn without_root_a_lab_says_what_it_needs() {
    let name = new_name();
    let mut up = std::process::Command::new("setpriv");
    up.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    // A copy, for others may not be allowed to where the program was built.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("portolan");
    fs::copy(crate::support::program::PROGRAM, &copy).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), open).unwrap();
    up.arg(&copy).args(["lab", "up", "--name", &name]);
    let output = up.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("only root") && said.contains("sudo"),
        "{said}"
    );
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn a_command_inside_sees_the_machine_that_it_is_on() {
    let lab = TestLab::with_examples(&["cassandra.yml"]);
    let resolver = lab.output("cassandra-0", &["cat", "/etc/resolv.conf"]);
    assert_eq!(
        resolver,
        "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.233.0.3\n\
         options ndots:5\n"
    );
    let links = lab.output("cassandra-0", &["ls", "/sys/class/net"]);
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
    assert_eq!(lab.output("n2", &["hostname"]).trim(), "n2");
    let own = lab.output("n2", &["ip", "-brief", "address", "show", "eth0"]);
    assert!(own.contains("192.168.10.150/24"), "{own}");
    lab.exec("n1", &["sh", "-c", "exit 7"]).exits(7);
    lab.exec("n1", &["no-such-program"]).exits(1);
    let unknown = lab.exec("n4", &["true"]).exits(2);
    assert!(unknown.stderr.contains("cassandra-0"), "{unknown:?}");
    let outside = lab.output("client", &["cat", "/etc/resolv.conf"]);
    assert_eq!(outside, "nameserver 192.168.10.1\n");
}

#[test]
fn the_status_shows_nodes_pods_and_services_and_draws_them() {
    let lab = TestLab::up();
    let shown = lab.run("status", &[]).exits(0).stdout;
    for expected in [
        "client 192.168.10.10",
        "n1 192.168.10.100",
        "n3 192.168.10.200",
        "cassandra-0",
        "myclusterip",
        "10.233.10.10",
        "80:30080/TCP",
        "db.external.com",
    ] {
        assert!(shown.contains(expected), "{expected} is missing:\n{shown}");
    }
    let status = lab.status();
    assert_eq!(text(&status["dns"]), "10.233.0.3");
    assert!(
        status["nodes"][0]["agentPid"]
            .as_i64()
            .is_some_and(|pid| pid > 1)
    );
}
