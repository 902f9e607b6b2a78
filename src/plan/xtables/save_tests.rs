//! How rules read.

use super::*;

fn with(condition: XtMatch) -> XtRule {
    XtRule {
        matches: vec![condition],
        target: Some(XtTarget::Return),
        ..XtRule::default()
    }
}

#[test]
fn strings_are_quoted_as_the_tool_quotes_them() {
    let table = [
        ("plain-text_1", "plain-text_1"),
        ("", r#""""#),
        ("ns1/svc1", r#""ns1/svc1""#),
        ("two words", r#""two words""#),
        (r#"a "b" \ 'c'"#, r#""a \"b\" \\ \'c\'""#),
    ];
    for (value, text) in table {
        let rule = with(XtMatch::Comment(value.into()));
        assert_eq!(
            rule_text(&rule, IpFamily::V4),
            format!("-m comment --comment {text} -j RETURN")
        );
    }
}

#[test]
fn addresses_interface_and_protocol_come_before_matches_whatever_was_said_first() {
    let rule = XtRule {
        source: Some(Maybe::is_not("10.0.0.0/8".parse().unwrap())),
        destination: Some(Maybe::is("10.96.0.1/32".parse().unwrap())),
        in_interface: Some(Maybe::is_not(InterfaceMatch {
            name: "veth".into(),
            prefix: true,
        })),
        protocol: Some(Protocol::Sctp),
        matches: vec![
            XtMatch::Ports { dport: Some(80) },
            XtMatch::Nfacct("a_b".into()),
        ],
        target: None,
    };
    assert_eq!(
        rule_text(&rule, IpFamily::V4),
        "! -s 10.0.0.0/8 -d 10.96.0.1/32 ! -i veth+ -p sctp -m sctp --dport 80 \
         -m nfacct --nfacct-name  a_b"
    );
    assert_eq!(rule_text(&XtRule::default(), IpFamily::V4), "");
}

#[test]
fn a_network_of_everything_is_not_compared_and_not_printed() {
    let rule = XtRule {
        source: Some(Maybe::is("0.0.0.0/0".parse().unwrap())),
        target: Some(XtTarget::Accept),
        ..XtRule::default()
    };
    assert_eq!(rule_text(&rule, IpFamily::V4), "-j ACCEPT");
}

#[test]
fn marks_show_their_mask_unless_all_bits_count() {
    let mark = |mask, not| {
        let rule = with(XtMatch::Mark {
            value: 0x4000,
            mask,
            not,
        });
        rule_text(&rule, IpFamily::V4)
    };
    assert_eq!(
        mark(0x4000, true),
        "-m mark ! --mark 0x4000/0x4000 -j RETURN"
    );
    assert_eq!(mark(u32::MAX, false), "-m mark --mark 0x4000 -j RETURN");
}

#[test]
fn connection_states_have_the_tools_order() {
    let states = CtStates(0x00cf);
    assert_eq!(
        rule_text(
            &with(XtMatch::Conntrack(Maybe::is_not(states))),
            IpFamily::V4
        ),
        "-m conntrack ! --ctstate INVALID,NEW,RELATED,ESTABLISHED,SNAT,DNAT -j RETURN"
    );
}
