//! What people are told of a difference.

use super::*;

#[test]
fn deviations_are_named_one_by_one() {
    let rules = Rules(vec![(1, vec![1]), (2, vec![1, 2, 3, 4])]);
    let mut kernel = applied(&rules);
    let key = |table: &str, chain: &str| (table.to_owned(), chain.to_owned());
    let services = &mut kernel
        .chains
        .get_mut(&key("nat", &service_chain(2)))
        .unwrap()
        .rules;
    services.swap(0, 2);
    services.pop();
    kernel
        .chains
        .get_mut(&key("nat", &endpoint_chain(1, 1)))
        .unwrap()
        .rules[1]
        .1 = foreign();
    kernel.meddle("nat", "KUBE-MARK-MASQ", 1, foreign());
    kernel.meddle("nat", "KUBE-SVC-LEFTOVER", 0, foreign());
    kernel
        .chains
        .get_mut(&key("nat", "OUTPUT"))
        .unwrap()
        .rules
        .clear();
    kernel.chains.remove(&key("filter", "KUBE-NODEPORTS"));
    let plan = plan(&DesiredState::of(&rules), &kernel.present(IpFamily::V4));
    let mut fetch = |t: XtTable, c: &str| Ok::<_, Infallible>(kernel.fetch(t, c));
    let deviations = verify(&plan, &rules, &mut fetch).unwrap();
    let kinds: Vec<_> = deviations
        .iter()
        .map(|d| (d.chain.as_ref(), d.kind, d.position))
        .collect();
    let sep = endpoint_chain(1, 1);
    let svc = service_chain(2);
    assert_eq!(
        kinds,
        [
            ("OUTPUT", DeviationKind::MissingJump, None),
            ("KUBE-MARK-MASQ", DeviationKind::ExtraRule, Some(2)),
            (sep.as_str(), DeviationKind::DifferentRule, Some(2)),
            (svc.as_str(), DeviationKind::WrongOrder, Some(2)),
            (svc.as_str(), DeviationKind::WrongOrder, Some(3)),
            (svc.as_str(), DeviationKind::MissingRule, Some(4)),
            ("KUBE-NODEPORTS", DeviationKind::MissingChain, None),
            ("KUBE-SVC-LEFTOVER", DeviationKind::LeftoverChain, None),
        ]
    );
    assert!(
        deviations[2].to_string().contains("[ log ]"),
        "{}",
        deviations[2]
    );
}

#[test]
fn a_diff_reads_like_one() {
    let kernel = applied(&Rules(vec![(1, vec![1]), (2, vec![1])]));
    let desired = Rules(vec![(2, vec![1, 2]), (3, vec![1])]);
    let plan = plan(&DesiredState::of(&desired), &kernel.present(IpFamily::V4));
    let mut fetch = |t: XtTable, c: &str| Ok::<_, Infallible>(kernel.fetch(t, c));
    let changes = changes(&plan, &desired, &mut fetch).unwrap();
    let services: Vec<_> = changes
        .services
        .iter()
        .map(|s| (s.service.as_ref(), s.kind))
        .collect();
    assert_eq!(
        services,
        [
            ("ns/s1:web", ChangeKind::Deleted),
            ("ns/s2:web", ChangeKind::Changed),
            ("ns/s3:web", ChangeKind::Added),
        ]
    );
    let text = changes.to_string();
    let hunk = "@@ nat KUBE-SVC-0000000000000002 @@ ns/s2:web\n\
        --A KUBE-SVC-0000000000000002 -m comment --comment \"ns/s2:web -> 10.1.0.1:8080\" -j KUBE-SEP-0000000200000001\n\
        +-A KUBE-SVC-0000000000000002 -m comment --comment \"ns/s2:web -> 10.1.0.1:8080\" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-0000000200000001\n\
        +-A KUBE-SVC-0000000000000002 -m comment --comment \"ns/s2:web -> 10.1.0.2:8080\" -j KUBE-SEP-0000000200000002\n";
    assert!(text.contains(hunk), "{text}");
    assert!(
        text.contains("-:KUBE-SVC-0000000000000001 - [0:0]\n"),
        "{text}"
    );
}
