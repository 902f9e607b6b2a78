//! The programs that ask, with the resolv.conf that a kubelet writes.

use std::fs;

use super::server::Server;
use crate::support::skip::{Lack, skip};

const RESOLV_CONF: &str = "search default.svc.cluster.local svc.cluster.local cluster.local\n\
                           nameserver 127.0.0.1\noptions ndots:5\n";

const WEB: &str = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: \
                   10.0.0.7, ports: [{name: http, port: 80}]}}";

/// Runs a command where /etc/resolv.conf is a kubelet's.
fn in_pod(server: &Server, command: &str) -> String {
    let conf = server.directory.path().join("resolv.conf");
    fs::write(&conf, RESOLV_CONF).unwrap();
    let script = format!(
        "mount --bind {} /etc/resolv.conf && {command}",
        conf.display()
    );
    server
        .namespace
        .run("unshare", &["--mount", "sh", "-c", &script])
}

fn has(program: &str) -> bool {
    let found = std::process::Command::new("which").arg(program).output();
    found.is_ok_and(|output| output.status.success())
}

#[test]
fn dig_nslookup_glibc_and_busybox_find_a_service_by_its_short_names() {
    let server = Server::new(WEB);
    for name in [
        "web",
        "web.default",
        "web.default.svc",
        "web.default.svc.cluster.local",
    ] {
        let text = in_pod(&server, &format!("getent ahostsv4 {name}"));
        assert!(text.starts_with("10.0.0.7"), "getent {name}: {text}");
        for program in ["dig +search +short", "nslookup"] {
            let text = in_pod(&server, &format!("{program} {name}"));
            assert!(text.contains("10.0.0.7"), "{program} {name}: {text}");
        }
    }
    // busybox searches for names without a dot alone. It asks for all names of the search list, and
    // fails if any of them is unknown.
    for name in ["web", "web.default.svc.cluster.local"] {
        let command = format!("busybox nslookup -type=a {name} || true");
        let text = in_pod(&server, &command);
        assert!(text.contains("10.0.0.7"), "{command}: {text}");
    }
    let text = in_pod(&server, "dig +tcp +short -x 10.0.0.7");
    assert_eq!(text, "web.default.svc.cluster.local.\n");
    let text = in_pod(
        &server,
        "dig +short SRV _http._tcp.web.default.svc.cluster.local",
    );
    assert_eq!(text, "0 100 80 web.default.svc.cluster.local.\n");
}

/// musl asks for A and AAAA at once and takes the search list in its own way.
#[test]
fn musl_finds_a_service_by_its_short_names() {
    let musl = "/lib/ld-musl-x86_64.so.1";
    if !has("musl-gcc") || !fs::exists(musl).unwrap() {
        skip(Lack::Machine, "musl's resolver: no musl-gcc here");
        return;
    }
    let server = Server::new(WEB);
    let directory = server.directory.path();
    let source = directory.join("lookup.c");
    fs::write(
        &source,
        "#include <netdb.h>\n#include <stdio.h>\n#include <arpa/inet.h>\n\
         int main(int c, char **v) { struct addrinfo *a; char t[64];\n\
         int e = getaddrinfo(v[1], 0, 0, &a); if (e) { puts(gai_strerror(e)); return 1; }\n\
         inet_ntop(AF_INET, &((struct sockaddr_in *)a->ai_addr)->sin_addr, t, 64); puts(t); }\n",
    )
    .unwrap();
    let program = directory.join("lookup");
    let (source, program) = (source.to_str().unwrap(), program.to_str().unwrap());
    server.namespace.run("musl-gcc", &["-o", program, source]);
    for name in ["web", "web.default", "web.default.svc.cluster.local"] {
        assert_eq!(
            in_pod(&server, &format!("{program} {name}")),
            "10.0.0.7\n",
            "{name}"
        );
    }
}
