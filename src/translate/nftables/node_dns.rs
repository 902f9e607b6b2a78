//! Table `portolan-dns`: packets to and from a name server on this node pass connection tracking by,
//! and with it every translation of addresses.
//!
//! The same in all modes. The table is its agent's own: it goes with the agent's socket, so that
//! nothing leads to a name server that is no longer there.

use std::net::IpAddr;

use super::elements::element;
use super::key::{FrontEnd, Key};
use super::rule::{FE, Field, Rule, register};
use super::sets::SetId;
use crate::model::{IpFamily, Protocol};
use crate::plan::expr::{Expr, PayloadBase, REG_1};
use crate::plan::nftables::RuleDef;
use crate::plan::op::{ChainRef, Element, Hook, Op, Place, SetRef, SetSpec, TableRef};

/// Name of the table.
pub const NODE_DNS_TABLE: &str = "portolan-dns";
/// DNS.
const PORT: u16 = 53;
/// Addresses that nothing but DNS is served at.
const ADDRESSES: &str = "addresses";
/// Address, protocol and port of the name server.
const FRONT_ENDS: &str = "front-ends";
const PREROUTING: &str = "raw-prerouting";
const OUTPUT: &str = "raw-output";
/// Before connection tracking, which is at -200.
const RAW: i32 = -300;
const FILTER: i32 = 0;
/// `NFT_META_IIF`, an interface's number in host order.
const META_IIF: u32 = 4;
/// The loopback device is number 1 of every namespace.
const LOOPBACK: [u8; 4] = 1_u32.to_ne_bytes();

/// The steps that add the table for the addresses of one family; none without an address.
#[must_use]
pub fn node_dns_table(family: IpFamily, addresses: &[IpAddr]) -> Vec<Op> {
    let addresses: Vec<IpAddr> = addresses
        .iter()
        .copied()
        .filter(|address| IpFamily::of(*address) == family)
        .collect();
    if addresses.is_empty() {
        return Vec::new();
    }
    let table = table(family);
    let mut ops = vec![Op::AddOwnedTable {
        table: table.clone(),
        comment: "cluster DNS on this node".into(),
    }];
    let keys = addresses.iter().map(|a| Key::new().address(*a));
    ops.extend(set(&table, ADDRESSES, SetId::ClusterIps, keys));
    let front_end = |address: &IpAddr, protocol| {
        Key::new().front_end(FrontEnd {
            address: *address,
            protocol,
            port: PORT,
        })
    };
    let keys = addresses
        .iter()
        .flat_map(|a| [Protocol::Udp, Protocol::Tcp].map(|protocol| front_end(a, protocol)));
    ops.extend(set(&table, FRONT_ENDS, SetId::ClusterServices, keys));
    let rule = || Rule::new(family);
    let to = || {
        let rule = rule().in_set(&FE, FRONT_ENDS);
        rule.push(Expr::Notrack, "notrack").done()
    };
    // The node's own questions come from the address itself, and so the answers go to it.
    let own = Expr::Meta {
        key: META_IIF,
        dreg: REG_1,
    };
    let own = rule().push(own, "iif lo").compare(true, LOOPBACK).ret();
    let serve = rule().in_set(&FE, FRONT_ENDS).ret();
    let others = rule().in_set(&[Field::Daddr], ADDRESSES).reject().done();
    ops.extend(chain(&table, PREROUTING, 0, RAW, vec![to()]));
    ops.extend(chain(&table, OUTPUT, 3, RAW, vec![to(), from(family)]));
    ops.extend(chain(
        &table,
        "filter-input",
        1,
        FILTER,
        vec![own, serve, others],
    ));
    ops
}

/// The steps that leave new questions to connection tracking again, while answers to those that came
/// before still pass it by: an answer that is tracked would make an entry of its own, and the next
/// question from that port would be taken for a reply to it.
#[must_use]
pub fn node_dns_leaving(family: IpFamily, addresses: &[IpAddr]) -> Vec<Op> {
    if !addresses.iter().any(|a| IpFamily::of(*a) == family) {
        return Vec::new();
    }
    let [prerouting, output] = [PREROUTING, OUTPUT].map(|name| ChainRef {
        table: table(family),
        name: name.into(),
    });
    let rule = Op::AddRule {
        chain: output.clone(),
        place: Place::Append,
        rule: from(family).body,
    };
    vec![Op::FlushChain(prerouting), Op::FlushChain(output), rule]
}

fn table(family: IpFamily) -> TableRef {
    TableRef {
        family,
        name: NODE_DNS_TABLE.into(),
    }
}

/// `ip saddr . meta l4proto . th sport @front-ends notrack`: the answers.
fn from(family: IpFamily) -> RuleDef {
    let mut rule = Rule::new(family);
    let word = rule.load(&[Field::Saddr, Field::Protocol], 0);
    let port = Expr::Payload {
        base: PayloadBase::Transport,
        offset: 0,
        len: 2,
        dreg: register(word),
    };
    let found = Expr::Lookup {
        set: FRONT_ENDS.into(),
        sreg: REG_1,
        dreg: None,
        not: false,
    };
    let ip = family.nft_name();
    let text = format!("{ip} saddr . meta l4proto . th sport @{FRONT_ENDS}");
    rule.push(port, text)
        .push(found, "")
        .push(Expr::Notrack, "notrack")
        .done()
}

/// A set of the shape of one of the services' table, with its elements.
fn set(table: &TableRef, name: &str, shape: SetId, keys: impl Iterator<Item = Key>) -> [Op; 2] {
    let set = SetRef {
        table: table.clone(),
        name: name.into(),
    };
    let spec = SetSpec {
        userdata: Box::default(),
        ..shape.definition(table.family).spec
    };
    let elements: Vec<Element> = keys.map(|key| element(key.bytes(), None, None)).collect();
    [
        Op::AddSet {
            set: set.clone(),
            spec,
        },
        Op::AddElements { set, elements },
    ]
}

fn chain(table: &TableRef, name: &str, hook: u32, priority: i32, rules: Vec<RuleDef>) -> Vec<Op> {
    let chain = ChainRef {
        table: table.clone(),
        name: name.into(),
    };
    let hook = Some(Hook {
        chain_type: "filter",
        hook,
        priority,
    });
    let rule = |rule: RuleDef| Op::AddRule {
        chain: chain.clone(),
        place: Place::Append,
        rule: rule.body,
    };
    let rules: Vec<Op> = rules.into_iter().map(rule).collect();
    let mut ops = vec![Op::AddChain { chain, hook }];
    ops.extend(rules);
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_without_an_address_has_no_table() {
        let v4: IpAddr = "10.233.0.3".parse().unwrap();
        assert!(node_dns_table(IpFamily::V6, &[v4]).is_empty());
        let ops = node_dns_table(IpFamily::V4, &[v4]);
        assert!(matches!(ops[0], Op::AddOwnedTable { .. }));
        let elements = |op: &Op| match op {
            Op::AddElements { elements, .. } => elements.len(),
            _ => 0,
        };
        // The address; UDP and TCP.
        assert_eq!(ops.iter().map(elements).sum::<usize>(), 3);
    }
}
