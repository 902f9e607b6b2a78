//! What can be given to read: files, directories, patterns, streams, lists; and what one document
//! may look like.

use std::fs;
use std::path::Path;

use portolan::source::manifest::{ManifestErrors, ManifestInput, Manifests, load, load_with_stdin};
use tempfile::TempDir;

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: 80\n"
    )
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn load_paths(paths: &[&str], recursive: bool) -> Result<Manifests, ManifestErrors> {
    load(&ManifestInput {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        recursive,
        strict: false,
    })
}

fn load_text(text: &str) -> Result<Manifests, ManifestErrors> {
    let input = ManifestInput {
        paths: vec!["-".to_owned()],
        ..ManifestInput::default()
    };
    load_with_stdin(&input, text.as_bytes())
}

fn services(manifests: &Manifests) -> Vec<String> {
    manifests.services.keys().map(ToString::to_string).collect()
}

fn notes(manifests: &Manifests) -> Vec<String> {
    manifests.notes.iter().map(ToString::to_string).collect()
}

/// The text of an error without the directory it happened in.
fn relative(error: &ManifestErrors, directory: &Path) -> String {
    error
        .to_string()
        .replace(&format!("{}/", directory.display()), "")
}

#[test]
fn a_directory_gives_its_manifests_in_order_and_nothing_else() {
    let directory = directory(&[
        ("b.yml", &service("b")),
        ("a.yaml", &service("a")),
        (
            "c.json",
            r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}"#,
        ),
        ("README.md", "not a manifest: ["),
        ("below/d.yaml", &service("d")),
    ]);
    let path = directory.path().to_str().unwrap();
    let flat = load_paths(&[path], false).unwrap();
    assert_eq!(services(&flat), ["default/a", "default/b"]);
    let deep = load_paths(&[path], true).unwrap();
    assert_eq!(services(&deep), ["default/a", "default/b", "default/d"]);
}

#[test]
fn a_directory_without_manifests_is_an_error() {
    let directory = directory(&[("below/d.yaml", "")]);
    let path = directory.path().to_str().unwrap();
    let error = load_paths(&[path], false).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{path}: no files in this directory end in .json, .yaml or .yml")
    );
}

#[test]
fn links_back_up_are_not_followed() {
    let directory = directory(&[("a.yaml", &service("a"))]);
    std::os::unix::fs::symlink(directory.path(), directory.path().join("loop.yaml")).unwrap();
    std::os::unix::fs::symlink(directory.path(), directory.path().join("loop")).unwrap();
    let found = load_paths(&[directory.path().to_str().unwrap()], true).unwrap();
    assert_eq!(services(&found), ["default/a"]);
}

#[test]
fn a_pattern_gives_what_it_matches_once() {
    let directory = directory(&[
        ("svc-a.yaml", &service("a")),
        ("svc-b.yaml", &service("b")),
        ("other.yaml", &service("c")),
    ]);
    let at = |name: &str| format!("{}/{name}", directory.path().display());
    let found = load_paths(
        &[&at("svc-*.yaml"), &at("svc-[ab].yaml"), &at("svc-a.yaml")],
        false,
    );
    assert_eq!(services(&found.unwrap()), ["default/a", "default/b"]);
    let error = load_paths(&[&at("none-*.yaml"), &at("[.yaml")], false).unwrap_err();
    assert_eq!(
        relative(&error, directory.path()),
        "none-*.yaml: the pattern matches no file\n\
         [.yaml: not a valid pattern: invalid range pattern"
    );
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let directory = directory(&[]);
    let at = |name: &str| format!("{}/{name}", directory.path().display());
    nix::unistd::mkfifo(at("pipe").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let paths = [
        &*at("none.yaml"),
        &at("pipe"),
        "/dev/zero",
        "https://example.com/a.yaml",
    ];
    let error = load_paths(&paths, false).unwrap_err();
    assert_eq!(
        relative(&error, directory.path()),
        "none.yaml: no such file or directory\n\
         pipe: is a named pipe, not a file; pipe into - to read a stream\n\
         /dev/zero: is a device, not a file; pipe into - to read a stream\n\
         https://example.com/a.yaml: is a URL; fetch it first and give the file, or pipe it into -"
    );
}

#[test]
fn standard_input_is_read_once() {
    assert_eq!(
        services(&load_text(&service("web")).unwrap()),
        ["default/web"]
    );
    let input = ManifestInput {
        paths: vec!["-".to_owned(), "-".to_owned()],
        ..ManifestInput::default()
    };
    let error = load_with_stdin(&input, service("web").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "-: standard input can be read only once");
    let error = load_text("apiVersion: v1\n---\nkind: Service\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "stdin: document 1: kind: Required value\n\
         stdin: document 2: Service: apiVersion: Required value"
    );
}

#[test]
fn errors_of_all_files_come_together() {
    let directory = directory(&[
        ("a.yaml", "kind: Service\n"),
        ("b.yaml", &service("web")),
        ("c.yaml", &format!("# comment\n---\n{}", service("web"))),
    ]);
    let error = load_paths(&[directory.path().to_str().unwrap()], false).unwrap_err();
    assert_eq!(
        relative(&error, directory.path()),
        "a.yaml: document 1: Service: apiVersion: Required value\n\
         c.yaml: document 1: Service default/web: defined twice: first in b.yaml: document 1"
    );
}

#[test]
fn documents_are_counted_as_their_separators_are() {
    let text =
        "# head\n---\n---\n# only a comment\n--- # here it comes\nkind: A\n...\n---\nkind: B\n";
    let error = load_text(text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stdin: document 3: A: apiVersion: Required value\n\
         stdin: document 4: B: apiVersion: Required value"
    );
}

#[test]
fn line_ends_marks_and_directives_of_all_sorts_are_read() {
    let windows = format!("\u{feff}%YAML 1.1\n---\n{}", service("web")).replace('\n', "\r\n");
    assert_eq!(services(&load_text(&windows).unwrap()), ["default/web"]);
    let inline = "--- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n--- \n";
    assert_eq!(notes(&load_text(inline).unwrap()), [""; 0]);
    let unended = service("web").trim_end().to_owned();
    assert_eq!(services(&load_text(&unended).unwrap()), ["default/web"]);
    let scalar =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: |\n    ---\n    x\n";
    assert_eq!(notes(&load_text(scalar).unwrap()).len(), 1);
}

#[test]
fn a_file_without_objects_is_noted() {
    for text in ["", "\n\n", "# nothing yet\n", "---\n---\n", "null\n"] {
        let found = load_text(text).unwrap();
        assert_eq!(notes(&found), ["stdin: holds no objects"], "{text:?}");
    }
}

#[test]
fn json_objects_may_stand_one_after_another() {
    let object = |name: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "{name}",
                "annotations": {{"braces": "}}{{\"]"}}}}, "spec": {{"ports": [{{"port": 80}}]}}}}"#
        )
    };
    for between in ["", "\n", "\n---\n"] {
        let text = format!("{}{between}{}", object("a"), object("b"));
        assert_eq!(
            services(&load_text(&text).unwrap()),
            ["default/a", "default/b"]
        );
    }
    let error = load_text(&format!("{} {{\"kind\": 1}} trailing", object("a"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stdin: document 2: apiVersion: Required value\n\
         stdin: document 2: kind: Invalid value: 1: must be a string\n\
         stdin: document 3: not a Kubernetes object: expected a mapping with apiVersion and kind, \
         found a string"
    );
}

#[test]
fn lists_are_taken_apart_however_they_are_written() {
    let block = "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: a\n  \
                 spec:\n    ports:\n    - port: 80\n- apiVersion: v1\n  kind: Service\n  metadata:\n    \
                 name: b\n  spec:\n    ports: [{port: 80}]\nkind: List\n";
    let anchors = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    \
                   name: a\n  spec: &spec\n    ports:\n    - port: 80\n- apiVersion: v1\n  kind: Service\n  \
                   metadata:\n    name: b\n  spec: *spec\n";
    let nested = r#"{"kind": "List", "apiVersion": "v1", "items": [{"kind": "ServiceList",
        "apiVersion": "v1", "items": [{"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}},
        {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 1}]}}]}]}"#;
    let typed = r#"{"items": [{"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}},
        {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 1}]}}],
        "kind": "ServiceList", "apiVersion": "v1"}"#;
    for text in [block, anchors, nested, typed] {
        assert_eq!(
            services(&load_text(text).unwrap()),
            ["default/a", "default/b"],
            "{text}"
        );
    }
    let empty = load_text("apiVersion: v1\nkind: List\nitems: []\n").unwrap();
    assert!(empty.services.is_empty());
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - &http\n    \
                name: a\n    port: 80\n    protocol: TCP\n  - <<: *http\n    name: b\n    port: 81\n";
    let found = load_text(text).unwrap();
    let ports: Vec<_> = found
        .services
        .values()
        .next()
        .unwrap()
        .ports
        .iter()
        .map(|p| p.port)
        .collect();
    assert_eq!(ports, [80, 81]);
}

#[test]
fn kinds_that_are_not_read_are_counted() {
    let deploy = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: ";
    let text = format!(
        "{deploy}a\n---\n{deploy}b\n---\n{deploy}c\n---\napiVersion: serving.knative.dev/v1\nkind: \
         Service\nmetadata: {{name: fn}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: x}}\n"
    );
    let read = "only Services, EndpointSlices, Endpoints, Nodes, Pods and Namespaces are read";
    assert_eq!(
        notes(&load_text(&text).unwrap()),
        [
            format!("stdin: Deployment default/a and 2 others of kind Deployment skipped: {read}"),
            format!("stdin: Service default/fn skipped: {read}"),
        ]
    );
}

#[test]
fn warnings_are_notes_and_do_not_refuse() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  type: LoadBalancer\n  \
                clusterIP: 10.233.010.001\n  externalIPs: [192.0.2.1]\n  externalName: x\n  \
                trafficDistribution: PreferClose\n  loadBalancerSourceRanges: [\" 10.1.2.3/8 \"]\n  \
                ports:\n  - port: 80\n    tragetPort: 8080\n";
    let found = load_text(text).unwrap();
    let object = "stdin: document 1: Service default/web: ";
    let expected = [
        "unknown field \"spec.ports[0].tragetPort\"",
        "spec.clusterIPs[0]: non-standard IP address \"10.233.010.001\" will be considered invalid \
         in a future Kubernetes release: use \"10.233.10.1\"",
        "spec.loadBalancerSourceRanges[0]: CIDR value \"10.1.2.3/8\" is ambiguous in this context \
         (should be \"10.0.0.0/8\" or \"10.1.2.3/32\"?)",
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
        "spec.externalName is ignored when spec.type is not \"ExternalName\"",
        "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|text| format!("{object}{text}"))
        .collect();
    assert_eq!(notes(&found), expected);
    let service = found.services.values().next().unwrap();
    assert_eq!(service.cluster_ips[0].to_string(), "10.233.10.1");
    assert_eq!(service.source_ranges[0].to_string(), "10.0.0.0/8");
}

#[test]
fn slices_that_nothing_uses_are_noted() {
    let slice = |name: &str, label: &str, kind: &str, address: &str| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  \
             labels: {{{label}}}\naddressType: {kind}\nendpoints:\n- addresses: [{address}]\n"
        )
    };
    let label = "kubernetes.io/service-name: web";
    let text = slice("a", "", "IPv4", "10.0.0.1") + &slice("b", label, "FQDN", "a.example.com");
    let found = load_text(&text).unwrap();
    assert!(found.slices.is_empty());
    assert_eq!(
        notes(&found),
        [
            "stdin: document 1: EndpointSlice default/a: ignored: it has no label \
             kubernetes.io/service-name, so it belongs to no Service",
            "stdin: document 2: EndpointSlice default/b: ignored: only IPv4 and IPv6 addresses can \
             be programmed",
        ]
    );
}

#[test]
fn slices_win_over_endpoints_and_both_over_pods() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  \
                   ports: [{port: 80}]\n---\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: web}}\nspec: {nodeName: n0}\n\
               status: {podIP: 10.0.0.1}\n---\n";
    let endpoints = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets:\n- addresses: \
                     [{ip: 10.0.0.2}]\n  ports: [{port: 80}]\n---\n";
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-x, labels: \
                 {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: \
                 [{addresses: [10.0.0.3]}]\n---\n";
    let address = |parts: &[&str]| {
        let snapshot = load_text(&parts.concat()).unwrap().into_snapshot();
        let slices: Vec<_> = snapshot.slices.values().flatten().collect();
        assert_eq!(slices.len(), 1);
        slices[0].endpoints[0].address.to_string()
    };
    assert_eq!(address(&[service, pod]), "10.0.0.1");
    assert_eq!(address(&[service, pod, endpoints]), "10.0.0.2");
    assert_eq!(address(&[service, slice, pod, endpoints]), "10.0.0.3");
}
