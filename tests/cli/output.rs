//! What is printed: formats, pipes, colours.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::program::{PROGRAM, portolan_in};
use crate::support::{Family, Namespace, portolan};
use crate::{Desk, refs};

fn printed(desk: &Desk, verb: &str, more: &[&str]) -> String {
    portolan(&refs(&desk.web(verb, more))).exits(0).stdout
}

const IPTABLES: [&str; 2] = ["--mode", "iptables"];

#[test]
fn rendered_rules_are_what_apply_leaves_in_the_kernel() {
    let desk = Desk::new();
    let node = Namespace::new();
    let on_n0 = [&IPTABLES[..], &["--node-name", "n0"]].concat();
    portolan_in(&node, &refs(&desk.web("apply", &on_n0))).exits(0);
    for (family, name) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        let of_family = [&on_n0[..], &["--family", name]].concat();
        let rendered = printed(&desk, "render", &of_family);
        let rules = |text: &str| {
            let rules = text
                .lines()
                .filter(|line| line.starts_with("-A"))
                .map(str::to_owned);
            rules.collect::<std::collections::BTreeSet<_>>()
        };
        let rendered = rules(&rendered);
        assert!(rendered.len() > 20, "{rendered:?}");
        assert_eq!(rendered, rules(&node.saved(family)));
    }
}

#[test]
fn rendered_rules_are_taken_by_iptables_restore() {
    let desk = Desk::new();
    for (family, name) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        let of_family = ["--family", name, "--without-nfacct"];
        let text = printed(&desk, "render", &[&IPTABLES[..], &of_family].concat());
        Namespace::new().run_with_input(&family.program("-restore"), &["--test"], &text);
    }
}

#[test]
fn rendered_json_is_json() {
    let rules = printed(
        &Desk::new(),
        "render",
        &[&IPTABLES[..], &["-o", "json"]].concat(),
    );
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let rules = rules["nftables"].as_array().unwrap();
    assert!(
        rules
            .iter()
            .any(|object| object["chain"]["name"] == "KUBE-SERVICES")
    );
}

#[test]
fn rendered_nft_names_tables_and_chains() {
    let rules = printed(
        &Desk::new(),
        "render",
        &[&IPTABLES[..], &["-o", "nft"]].concat(),
    );
    for words in [
        "table ip filter {",
        "table ip6 nat {",
        "chain KUBE-SERVICES {",
    ] {
        assert!(rules.contains(words), "no {words:?} in {rules}");
    }
}

/// What `render` prints without being asked for anything else is what `nft -f` takes, and the same
/// as what `apply` writes.
#[test]
fn a_rendered_table_is_loaded_by_nft_and_is_what_apply_writes() {
    let desk = Desk::new();
    let on_n0 = ["--node-name", "n0"];
    let text = printed(&desk, "render", &on_n0);
    assert!(text.starts_with("table ip portolan {"), "{text}");
    assert!(text.contains("\ntable ip6 portolan {"), "{text}");
    assert_eq!(
        text,
        printed(&desk, "render", &["--node-name", "n0", "-o", "nft"])
    );
    let node = Namespace::new();
    node.run_with_input("nft", &["-c", "-f", "-"], &text);
    assert_eq!(node.run("nft", &["list", "ruleset"]), "");
    node.run_with_input("nft", &["-f", "-"], &text);
    portolan_in(&node, &refs(&desk.web("verify", &on_n0))).exits(0);
    let before = node.generation();
    portolan_in(&node, &refs(&desk.web("apply", &on_n0))).exits(0);
    assert_eq!(node.generation(), before);
}

#[test]
fn a_rendered_table_is_json_with_sets_elements_and_rules() {
    let rules = printed(&Desk::new(), "render", &["-o", "json", "--family", "ip"]);
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let table = &rules[0];
    assert_eq!(
        (&table["family"], &table["table"]),
        (&json!("ip"), &json!("portolan"))
    );
    let named = |list: &str, name: &str| {
        let mut found = table[list].as_array().unwrap().iter();
        let found = found.find(|object| object["name"] == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {list}"))
            .clone()
    };
    let base = named("chains", "nat-prerouting");
    assert_eq!(base["rules"], json!(["jump services"]));
    assert_eq!(base["base"]["hook"], "prerouting");
    let front_ends = named("sets", "no-endpoints")["elements"].to_string();
    for words in ["0.0.0.0 . tcp . 30080", "default/web"] {
        assert!(front_ends.contains(words), "{front_ends}");
    }
}

#[test]
fn services_as_a_table() {
    let text = printed(&Desk::new(), "get services", &[]);
    let mut lines = text.lines();
    let heads: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        heads,
        [
            "NAMESPACE",
            "NAME",
            "TYPE",
            "CLUSTER-IP",
            "EXTERNAL-IP",
            "PORT(S)"
        ]
    );
    let cells: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(cells[..3], ["default", "web", "NodePort"]);
    assert_eq!(cells[4..], ["<none>", "80:30080/TCP"]);
    assert_eq!(lines.next(), None);
}

#[test]
fn services_in_every_format() {
    let desk = Desk::new();
    assert!(printed(&desk, "get services", &["-o", "wide"]).contains("SELECTOR"));
    assert_eq!(
        printed(&desk, "get services", &["-o", "name"]),
        "service/web\n"
    );
    let json: Value =
        serde_json::from_str(&printed(&desk, "get services", &["-o", "json"])).unwrap();
    let yaml = printed(&desk, "get services", &["-o", "yaml"]);
    assert_eq!(json["items"][0]["spec"]["ports"][0]["nodePort"], 30080);
    assert!(yaml.contains("nodePort: 30080"), "{yaml}");
    // What get prints is a manifest again.
    desk.write("again.yaml", &yaml);
    let again = desk.args("get services", "again.yaml", &["-o", "yaml"]);
    assert_eq!(portolan(&refs(&again)).exits(0).stdout, yaml);
}

#[test]
fn manifests_come_from_standard_input_too() {
    let desk = Desk::new();
    let state = desk.path("state");
    let args = [
        "get",
        "services",
        "-o",
        "name",
        "-f",
        "-",
        "--state-dir",
        state.to_str().unwrap(),
    ];
    let text = Namespace::new().run_with_input(PROGRAM, &args, crate::WEB);
    assert_eq!(text, "service/web\n");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let desk = Desk::new();
    for args in [
        desk.web("render", &[]),
        vec!["man".into()],
        vec!["completions".into(), "zsh".into()],
    ] {
        let mut child = Command::new(PROGRAM)
            .args(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[test]
fn pipes_get_no_colours() {
    let desk = Desk::new();
    let node = Namespace::new();
    let mut runs: Vec<_> = [
        "diff",
        "verify",
        "apply --dry-run",
        "apply",
        "get services",
        "render",
    ]
    .iter()
    .map(|verb| portolan_in(&node, &refs(&desk.web(verb, &[]))))
    .collect();
    runs.push(portolan_in(&node, &["cleanup"]));
    runs.push(portolan(&["--help"]));
    runs.push(portolan(&["frobnicate"]));
    for run in runs {
        let text = run.stdout + &run.stderr;
        assert!(!text.contains('\x1b'), "{}: {text}", run.arguments);
    }
}

#[test]
fn quiet_says_nothing() {
    let desk = Desk::new();
    let run = portolan_in(&Namespace::new(), &refs(&desk.web("apply", &["--quiet"]))).exits(0);
    assert_eq!(run.stdout + &run.stderr, "");
}

#[test]
fn completions_are_scripts_that_their_shells_read() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = portolan(&["completions", shell]).exits(0).stdout;
        assert!(script.contains("portolan"), "{shell}");
        let file = desk.write(shell, &script);
        // Only bash is everywhere.
        if shell == "bash" {
            Namespace::new().run("bash", &["-n", &file]);
        }
    }
}

#[test]
fn the_manual_page_has_every_verb() {
    let page = portolan(&["man"]).exits(0).stdout;
    assert!(page.contains(".TH portolan 1"), "{page}");
    for verb in [
        "apply",
        "diff",
        "render",
        "verify",
        "cleanup",
        "get",
        "completions",
    ] {
        assert!(page.contains(verb), "no {verb}");
    }
}
