//! The chain that writes the memory of session affinity, after translation.

use super::rule::{Field, Rule, key_text, register};
use super::sets::SetId;
use crate::model::{IpFamily, NodePortAddresses};
use crate::plan::expr::{Expr, REG_1};
use crate::plan::nftables::{AFFINITY, RuleDef};

/// nft 1.0.6 needs it to know the type of `proto-dst`. The kernel does not, and is not told.
const PROTOCOLS: &str = "meta l4proto { tcp, udp, sctp }";
/// The front end a client connected to.
const ORIGINAL: [Field; 3] = [Field::OriginalDaddr, Field::Protocol, Field::OriginalDport];
/// The same for node ports.
const ORIGINAL_NODE_PORT: [Field; 3] = [Field::Zero, Field::Protocol, Field::OriginalDport];
/// The endpoint the packet goes to.
const ENDPOINT: [Field; 2] = [Field::Daddr, Field::Dport];

/// `dynset` operations of `enum nft_dynset_ops`.
const UPDATE: u32 = 1;
const DELETE: u32 = 2;

/// The rules, none while no timeout is in use.
pub(super) fn rules(
    family: IpFamily,
    timeouts: &[u32],
    addresses: &NodePortAddresses,
) -> Vec<RuleDef> {
    if timeouts.is_empty() {
        return Vec::new();
    }
    let rule = || Rule::new(family).text(PROTOCOLS);
    let refresh = |key: [Field; 3], seconds: u32| {
        let pair = [&key[..], &ENDPOINT].concat();
        let set = SetId::AffinityEndpoints(seconds).name();
        dynset(rule().in_set(&pair, &set), key, UPDATE, seconds).ret()
    };
    let mut rules: Vec<_> = timeouts.iter().map(|t| refresh(ORIGINAL, *t)).collect();
    let gone = "its endpoint is gone";
    let stale = rule().in_set(&ORIGINAL, "affinity-services").comment(gone);
    rules.push(dynset(stale, ORIGINAL, DELETE, 0).drop());
    rules.push(rule().in_set(&ORIGINAL, "cluster-services").ret());
    rules.push(
        rule()
            .in_set(&ORIGINAL, "external-services")
            .address_is_not(Field::OriginalDaddr, super::key::zero(family))
            .ret(),
    );
    rules.extend(timeouts.iter().map(|t| refresh(ORIGINAL_NODE_PORT, *t)));
    let stale = rule()
        .in_set(&ORIGINAL_NODE_PORT, "affinity-services")
        .comment(gone);
    rules.push(match addresses {
        NodePortAddresses::Only(_) => {
            let listed = stale.in_set(&[Field::OriginalDaddr], "node-port-addresses");
            dynset(listed, ORIGINAL_NODE_PORT, DELETE, 0).drop()
        }
        NodePortAddresses::All => dynset(stale, ORIGINAL_NODE_PORT, DELETE, 0).done(),
    });
    rules
}

/// `update` or `delete @affinity { FRONT-END-AND-CLIENT : ENDPOINT }`.
fn dynset(mut rule: Rule, front_end: [Field; 3], op: u32, seconds: u32) -> Rule {
    let [first, rest @ ..] = front_end;
    let key = [&[first, Field::Saddr], &rest[..]].concat();
    let data = rule.load(&key, 0);
    rule.load(&ENDPOINT, data);
    let family = rule.family();
    let verb = if op == UPDATE { "update" } else { "delete" };
    let timeout = if seconds == 0 {
        String::new()
    } else {
        format!(" timeout {seconds}s")
    };
    let (key, endpoint) = (key_text(family, &key), key_text(family, &ENDPOINT));
    let text = format!("{verb} @{AFFINITY} {{ {key}{timeout} : {endpoint} }}");
    let expr = Expr::Dynset {
        set: AFFINITY.into(),
        op,
        key: REG_1,
        data: Some(register(data)),
        timeout_ms: u64::from(seconds) * 1000,
    };
    rule.push(expr, text)
}
