//! Rules written over netlink are what iptables writes and reads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failed test"
)]

mod kernel_support;

use kernel_support::xt;
use kernel_support::*;
use portolan::kernel::nfacct;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::{self, V4, V6};
use portolan::plan::expr::{Expr, RuleBody, Verdict};
use portolan::plan::op::{Op, Place};

/// A rule: the table it can be in, its expressions, whether a match checks the protocol, and what
/// iptables calls it.
struct Case {
    table: &'static str,
    exprs: Vec<Expr>,
    compat: Option<u8>,
    text: String,
}

fn case(table: &'static str, parts: &[&[Expr]], compat: Option<u8>, text: &str) -> Case {
    Case {
        table,
        exprs: parts.concat(),
        compat,
        text: text.to_owned(),
    }
}

/// Every match and target that kube-proxy's rules are made of.
fn cases(family: IpFamily) -> Vec<Case> {
    let v6 = family == V6;
    let (address, bytes, mask, to, reject_with): (_, Vec<u8>, _, _, _) = if v6 {
        let address: std::net::Ipv6Addr = "fd00:10::7".parse().unwrap();
        (
            "fd00:10::7/128",
            address.octets().to_vec(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "[fd00:10::7]:8080",
            "icmp6-port-unreachable",
        )
    } else {
        (
            "10.0.0.7/32",
            vec![10, 0, 0, 7],
            "255.255.255.255",
            "10.0.0.7:8080",
            "icmp-port-unreachable",
        )
    };
    let counter = [Expr::Counter];
    let accept = [Expr::Counter, xt::verdict(Verdict::Accept)];
    let recent = |what: &str| format!("-m recent {what} --name KUBE-SEP-X --mask {mask} --rsource");
    let jump_to_mark = |exprs: &[Expr], text: &str| {
        let jump = [
            Expr::Counter,
            xt::verdict(Verdict::Jump("KUBE-MARK".into())),
        ];
        case(
            "nat",
            &[exprs, &jump],
            None,
            &format!("{text} -j KUBE-MARK"),
        )
    };
    vec![
        jump_to_mark(
            &[xt::comment("ns1/svc1:p80")],
            "-m comment --comment \"ns1/svc1:p80\"",
        ),
        jump_to_mark(
            &[xt::statistic(715_827_883)],
            "-m statistic --mode random --probability 0.33333333349",
        ),
        jump_to_mark(
            &[xt::recent(10_800, 1 | 32, "KUBE-SEP-X")],
            &recent("--rcheck --seconds 10800 --reap"),
        ),
        jump_to_mark(&[xt::recent(0, 2, "KUBE-SEP-X")], &recent("--set")),
        jump_to_mark(
            &[xt::destination_is_local()],
            "-m addrtype --dst-type LOCAL",
        ),
        jump_to_mark(&xt::destination(&bytes), &format!("-d {address}")),
        case(
            "filter",
            &[&[xt::conntrack(2 | 4)], &accept],
            None,
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ),
        case(
            "filter",
            &[
                &[xt::conntrack(1), xt::nfacct(1, "dropped")],
                &counter,
                &[xt::verdict(Verdict::Drop)],
            ],
            None,
            "-m conntrack --ctstate INVALID -m nfacct --nfacct-name  dropped -j DROP",
        ),
        case(
            "filter",
            &[&xt::mark(0x4000), &accept],
            None,
            "-m mark --mark 0x4000/0x4000 -j ACCEPT",
        ),
        case(
            "filter",
            &[
                &xt::protocol(6),
                &xt::dport(80),
                &counter,
                &[xt::reject(v6)],
            ],
            Some(6),
            &format!("-p tcp -m tcp --dport 80 -j REJECT --reject-with {reject_with}"),
        ),
        case(
            "filter",
            &[
                &xt::protocol(132),
                &[xt::sctp(9999)],
                &counter,
                &[xt::verdict(Verdict::Return)],
            ],
            Some(132),
            "-p sctp -m sctp --dport 9999 -j RETURN",
        ),
        case(
            "nat",
            &[&counter, &[xt::set_mark(0x4000)]],
            None,
            "-j MARK --set-xmark 0x4000/0x4000",
        ),
        case(
            "nat",
            &[&counter, &[xt::masquerade(v6)]],
            None,
            "-j MASQUERADE",
        ),
        case(
            "nat",
            &[
                &xt::protocol(6),
                &[xt::tcp()],
                &counter,
                &[xt::dnat(&bytes, 8080)],
            ],
            Some(6),
            &format!("-p tcp -m tcp -j DNAT --to-destination {to}"),
        ),
        case(
            "nat",
            &[
                &xt::protocol(17),
                &[xt::udp()],
                &counter,
                &[xt::dnat(&bytes, 8080)],
            ],
            Some(17),
            &format!("-p udp -m udp -j DNAT --to-destination {to}"),
        ),
    ]
}

fn tools(family: IpFamily) -> (&'static str, &'static str) {
    match family {
        V4 => ("iptables", "iptables-save"),
        V6 => ("ip6tables", "ip6tables-save"),
    }
}

/// Writes the cases into chain KUBE-X of their tables.
fn write(family: IpFamily, cases: &[Case]) {
    let mut socket = socket();
    nfacct::ensure(&mut socket, "dropped").unwrap();
    let mut batch = Batch::new(None);
    for (table, hook, priority, kind) in [("nat", 4, 100, "nat"), ("filter", 1, 0, "filter")] {
        let x = chain(family, table, "KUBE-X");
        let base = chain(
            family,
            table,
            if table == "nat" {
                "POSTROUTING"
            } else {
                "INPUT"
            },
        );
        batch.push(&Op::AddTable(x.table.clone())).unwrap();
        batch.push(&add_base(&base, kind, hook, priority)).unwrap();
        batch.push(&add_chain(&x)).unwrap();
        batch
            .push(&add_chain(&chain(family, table, "KUBE-MARK")))
            .unwrap();
    }
    for case in cases {
        let op = Op::AddRule {
            chain: chain(family, case.table, "KUBE-X"),
            place: Place::Append,
            rule: RuleBody {
                exprs: case.exprs.clone(),
                compat: case.compat.map(|protocol| (u32::from(protocol), 0)),
                userdata: Box::default(),
            },
        };
        batch.push(&op).unwrap();
    }
    batch.commit(&mut socket).unwrap();
}

/// The rules of KUBE-X in a table.
fn read(family: IpFamily, table_name: &str) -> Vec<RuleBody> {
    let mut bodies = Vec::new();
    let visit = &mut |rule: RuleView<'_>| bodies.push(rule.body);
    dump_rules(
        &mut socket(),
        &table(family, table_name),
        Some("KUBE-X"),
        visit,
    )
    .unwrap();
    bodies
}

fn saved_rules(family: IpFamily, table: &str) -> Vec<String> {
    let text = run(tools(family).1, &["-t", table]);
    let prefix = "-A KUBE-X ";
    text.lines()
        .filter_map(|line| line.strip_prefix(prefix))
        .map(str::to_owned)
        .collect()
}

fn every_case_is_shown_by_iptables_save(family: IpFamily) {
    in_new_netns(|| {
        let cases = cases(family);
        write(family, &cases);
        for table in ["nat", "filter"] {
            let of_table = cases.iter().filter(|case| case.table == table);
            let expected: Vec<_> = of_table.map(|case| case.text.clone()).collect();
            assert_eq!(saved_rules(family, table), expected);
        }
    });
}

#[test]
fn ipv4_matches_and_targets_are_shown_by_iptables_save() {
    every_case_is_shown_by_iptables_save(V4);
}

#[test]
fn ipv6_matches_and_targets_are_shown_by_ip6tables_save() {
    every_case_is_shown_by_iptables_save(V6);
}

fn reads_back_as_written(family: IpFamily) {
    in_new_netns(|| {
        let cases = cases(family);
        write(family, &cases);
        for table in ["nat", "filter"] {
            let written = cases.iter().filter(|case| case.table == table);
            for (case, read) in written.zip(read(family, table)) {
                assert_eq!(read.exprs, case.exprs, "{}", case.text);
                assert_eq!(read.compat, None);
            }
        }
    });
}

#[test]
fn ipv4_rules_read_back_as_they_were_written() {
    reads_back_as_written(V4);
}

#[test]
fn ipv6_rules_read_back_as_they_were_written() {
    reads_back_as_written(V6);
}

/// `struct xt_statistic_info` has a union: in random mode only its first word counts, but iptables
/// 1.8.9 writes another one (`nth.count`, at 12) as well.
fn without_nth(expr: Expr) -> Expr {
    match expr {
        Expr::Match {
            name,
            rev,
            mut info,
        } if &*name == "statistic" => {
            info[8..16].fill(0);
            Expr::Match { name, rev, info }
        }
        expr => expr,
    }
}

/// iptables adds the same rules from its own text; what it writes must read as what we wrote.
fn iptables_writes_the_same(family: IpFamily) {
    in_new_netns(|| {
        let cases = cases(family);
        nfacct::ensure(&mut socket(), "dropped").unwrap();
        for table in ["nat", "filter"] {
            for chain in ["KUBE-X", "KUBE-MARK"] {
                run(tools(family).0, &["-t", table, "-N", chain]);
            }
            let of_table: Vec<_> = cases.iter().filter(|case| case.table == table).collect();
            for case in &of_table {
                // Given no mask, as kube-proxy does, iptables sets all 128 bits also for IPv4;
                // given the one it prints, only the first 32.
                let text = case.text.replace('"', "");
                let text = text.replace(" --mask 255.255.255.255", "");
                let mut args = vec!["-t", table, "-A", "KUBE-X"];
                args.extend(text.split_whitespace());
                run(tools(family).0, &args);
            }
            let bodies = read(family, table);
            assert_eq!(bodies.len(), of_table.len());
            for (case, body) in of_table.iter().zip(bodies) {
                let exprs: Vec<_> = body.exprs.into_iter().map(without_nth).collect();
                assert_eq!(exprs, case.exprs, "{}", case.text);
                assert!(body.userdata.is_empty());
            }
        }
    });
}

#[test]
fn iptables_writes_what_we_write() {
    iptables_writes_the_same(V4);
}

#[test]
fn ip6tables_writes_what_we_write() {
    iptables_writes_the_same(V6);
}

#[test]
fn iptables_goes_on_working_on_our_tables() {
    in_new_netns(|| {
        write(V4, &cases(V4));
        run(
            "iptables",
            &["-t", "nat", "-A", "POSTROUTING", "-j", "KUBE-MARK"],
        );
        run(
            "iptables",
            &["-t", "nat", "-C", "POSTROUTING", "-j", "KUBE-MARK"],
        );
        run("iptables", &["-t", "nat", "-D", "KUBE-X", "1"]);
        run("iptables", &["-t", "nat", "-L", "-n", "-v"]);
        let left = saved_rules(V4, "nat").len();
        assert_eq!(
            left,
            cases(V4).iter().filter(|c| c.table == "nat").count() - 1
        );
    });
}
