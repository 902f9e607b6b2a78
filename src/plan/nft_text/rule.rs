//! One rule in nft's words.

use ipnet::IpNet;

use crate::model::IpFamily;
use crate::plan::xtables::encode::canonical;
use crate::plan::xtables::rule::{CtStates, Maybe, XtMatch, XtRule, XtTarget};
use crate::plan::xtables::save;

/// `NFTNL_UDATA_COMMENT_MAXLEN` without the closing NUL: nft refuses longer comments.
const COMMENT_MAX: usize = 127;
/// What a random number of `statistic` is below (`xt_statistic.c`).
const RANDOM_RANGE: u32 = 1 << 31;

/// A rule in nft's words.
#[must_use]
pub fn rule_text(rule: &XtRule, family: IpFamily) -> String {
    let rule = canonical(rule);
    let mut words: Vec<String> = Vec::new();
    if let Some(interface) = &rule.in_interface {
        let star = if interface.value.prefix { "*" } else { "" };
        words.push(format!(
            "iifname {}\"{}{star}\"",
            not(interface.not),
            interface.value.name
        ));
    }
    words.extend(rule.protocol.map(|p| format!("meta l4proto {}", p.lower())));
    let ip = family.nft_name();
    for (field, prefix) in [("saddr", &rule.source), ("daddr", &rule.destination)] {
        let text = |p: &Maybe<IpNet>| format!("{ip} {field} {}{}", not(p.not), net_text(p.value));
        words.extend(prefix.as_ref().map(text));
    }
    let mut untranslated = Vec::new();
    for m in &rule.matches {
        match match_text(m, &rule) {
            Some(text) => words.extend((!text.is_empty()).then_some(text)),
            None => {
                let only = XtRule {
                    matches: vec![m.clone()],
                    ..XtRule::default()
                };
                untranslated.push(save::rule_text(&only, family));
                words.push(format!("xt match {}", extension_name(m)));
            }
        }
    }
    words.push("counter".to_owned());
    words.extend(rule.target.as_ref().map(target_text));
    words.extend(comment_text(&rule));
    words.extend(untranslated.into_iter().map(|text| format!("# {text}")));
    words.join(" ")
}

fn not(not: bool) -> &'static str {
    if not { "!= " } else { "" }
}

fn net_text(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// A match in nft's words; empty if it needs none, `None` if nft has none.
fn match_text(m: &XtMatch, rule: &XtRule) -> Option<String> {
    let protocol = rule.protocol.map_or("th", |p| p.lower());
    Some(match m {
        XtMatch::Comment(_) | XtMatch::Ports { dport: None } => String::new(),
        XtMatch::Ports { dport: Some(port) } => format!("{protocol} dport {port}"),
        XtMatch::Mark {
            value,
            mask: u32::MAX,
            not: no,
        } => {
            format!("meta mark {}{value:#010x}", not(*no))
        }
        XtMatch::Mark { value, mask, not } => {
            let op = if *not { "!=" } else { "==" };
            format!("meta mark & {mask:#010x} {op} {value:#010x}")
        }
        XtMatch::Conntrack(states) => return conntrack_text(*states),
        XtMatch::SourceIsLocal => "fib saddr type local".to_owned(),
        XtMatch::DestinationIsLocal => "fib daddr type local".to_owned(),
        XtMatch::Random { threshold } => {
            format!("numgen random mod {RANDOM_RANGE} < {threshold}")
        }
        XtMatch::Recent { .. } | XtMatch::Nfacct(_) => return None,
    })
}

/// iptables' "any of these states" spans nft's `ct state` and `ct status`: one rule can say either,
/// or, negated, both.
fn conntrack_text(states: Maybe<CtStates>) -> Option<String> {
    let named = |names: &[(CtStates, &str)]| -> Vec<String> {
        let set = names.iter().filter(|(bit, _)| states.value.0 & bit.0 != 0);
        set.map(|(_, name)| (*name).to_owned()).collect()
    };
    let state = named(&[
        (CtStates::INVALID, "invalid"),
        (CtStates::ESTABLISHED, "established"),
        (CtStates::RELATED, "related"),
        (CtStates::NEW, "new"),
    ]);
    let status = named(&[(CtStates::SNAT, "snat"), (CtStates::DNAT, "dnat")]);
    let known = CtStates::INVALID
        .or(CtStates::ESTABLISHED)
        .or(CtStates::RELATED)
        .or(CtStates::NEW)
        .or(CtStates::SNAT)
        .or(CtStates::DNAT);
    if states.value.0 & !known.0 != 0 || (!states.not && !state.is_empty() && !status.is_empty()) {
        return None;
    }
    let mut words = Vec::new();
    if !state.is_empty() {
        words.push(if states.not {
            format!("ct state != {{ {} }}", state.join(", "))
        } else {
            format!("ct state {}", state.join(","))
        });
    }
    if !status.is_empty() {
        let op = if states.not { "==" } else { "!=" };
        let bits = status.join(" | ");
        let bits = if status.len() > 1 {
            format!("({bits})")
        } else {
            bits
        };
        words.push(format!("ct status & {bits} {op} 0"));
    }
    (!words.is_empty()).then(|| words.join(" "))
}

fn extension_name(m: &XtMatch) -> &'static str {
    match m {
        XtMatch::Recent { .. } => "recent",
        XtMatch::Nfacct(_) => "nfacct",
        XtMatch::Conntrack(_) => "conntrack",
        _ => "unknown",
    }
}

fn target_text(target: &XtTarget) -> String {
    match target {
        XtTarget::Jump(chain) => format!("jump {chain}"),
        XtTarget::Return => "return".to_owned(),
        XtTarget::Accept => "accept".to_owned(),
        XtTarget::Drop => "drop".to_owned(),
        XtTarget::Reject => "reject".to_owned(),
        XtTarget::Mark { value, mask } if value == mask => {
            format!("meta mark set meta mark | {value:#010x}")
        }
        XtTarget::Mark { value, mask: 0 } => format!("meta mark set meta mark ^ {value:#010x}"),
        XtTarget::Mark { value, mask } => {
            format!("meta mark set meta mark & {:#010x} ^ {value:#010x}", !mask)
        }
        XtTarget::Masquerade { random_fully: true } => "masquerade fully-random".to_owned(),
        XtTarget::Masquerade {
            random_fully: false,
        } => "masquerade".to_owned(),
        XtTarget::Dnat(to) => format!("dnat to {to}"),
    }
}

/// The comments as one. nft's grammar has no way to quote a double quote.
fn comment_text(rule: &XtRule) -> Option<String> {
    let comments = rule.matches.iter().filter_map(|m| match m {
        XtMatch::Comment(text) => Some(text.replace('"', "'")),
        _ => None,
    });
    let mut text = comments.collect::<Vec<_>>().join("; ");
    while text.len() > COMMENT_MAX {
        text.pop();
    }
    (!text.is_empty()).then(|| format!("comment \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn text(matches: Vec<XtMatch>, target: XtTarget, family: IpFamily) -> String {
        let target = Some(target);
        rule_text(
            &XtRule {
                matches,
                target,
                ..XtRule::default()
            },
            family,
        )
    }

    #[test]
    fn a_dispatch_rule_reads_as_nft_would_have_it() {
        let rule = XtRule {
            source: Some(Maybe::is_not("fd00:10::/56".parse().unwrap())),
            destination: Some(Maybe::is("fd00::1/128".parse().unwrap())),
            protocol: Some(Protocol::Tcp),
            matches: vec![
                XtMatch::Comment("ns1/svc1:p80 cluster IP".into()),
                XtMatch::Ports { dport: Some(80) },
            ],
            target: Some(XtTarget::Jump("KUBE-MARK-MASQ".into())),
            ..XtRule::default()
        };
        assert_eq!(
            rule_text(&rule, IpFamily::V6),
            "meta l4proto tcp ip6 saddr != fd00:10::/56 ip6 daddr fd00::1 tcp dport 80 counter \
             jump KUBE-MARK-MASQ comment \"ns1/svc1:p80 cluster IP\""
        );
    }

    #[test]
    fn conditions_that_nft_has_no_words_for_are_named_and_kept_behind_a_hash() {
        let m = XtMatch::Nfacct("dropped".into());
        assert_eq!(
            text(vec![m], XtTarget::Drop, IpFamily::V4),
            "xt match nfacct counter drop # -m nfacct --nfacct-name  dropped"
        );
        let either = CtStates::NEW.or(CtStates::DNAT);
        let either = text(
            vec![XtMatch::Conntrack(Maybe::is(either))],
            XtTarget::Drop,
            IpFamily::V4,
        );
        assert!(
            either.starts_with("xt match conntrack counter drop # -m conntrack"),
            "{either}"
        );
    }

    #[test]
    fn marks_are_set_bit_by_bit() {
        let mark = |value, mask| text(Vec::new(), XtTarget::Mark { value, mask }, IpFamily::V4);
        assert_eq!(
            mark(0x4000, 0x4000),
            "counter meta mark set meta mark | 0x00004000"
        );
        assert_eq!(
            mark(0x4000, 0),
            "counter meta mark set meta mark ^ 0x00004000"
        );
        assert_eq!(
            mark(1, 3),
            "counter meta mark set meta mark & 0xfffffffc ^ 0x00000001"
        );
    }

    #[test]
    fn a_long_comment_is_cut_where_nft_cuts() {
        let comment = XtMatch::Comment("x".repeat(255).into());
        let text = text(vec![comment], XtTarget::Return, IpFamily::V4);
        assert_eq!(
            text,
            format!("counter return comment \"{}\"", "x".repeat(127))
        );
    }
}
