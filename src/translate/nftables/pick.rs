//! The chains that choose one of n endpoints at random, each with the same chance.
//!
//! Slots are tried at random: a number below a power of two, and if no endpoint has that slot the
//! next try follows. 64 tries, of which at least half hit.

use super::rule::{FE, Field, NP, Rule};
use crate::model::IpFamily;
use crate::plan::nftables::slots::{LARGE_BASE, LOCAL};
use crate::plan::nftables::{AFFINITY, ChainDef, ENDPOINTS, RuleDef};

/// The chains of all four kinds of choice, each after those it leads to.
pub(super) fn chains(family: IpFamily) -> Vec<ChainDef> {
    [
        ("pick", FE, 0),
        ("pick-local", FE, LOCAL),
        ("node-port-pick", NP, 0),
        ("node-port-pick-local", NP, LOCAL),
    ]
    .into_iter()
    .flat_map(|(name, key, offset)| pick(family, name, key, offset))
    .collect()
}

fn chain(name: &str, rules: Vec<RuleDef>) -> ChainDef {
    ChainDef {
        name: name.into(),
        hook: None,
        rules,
    }
}

fn pick(family: IpFamily, name: &str, key: [Field; 3], offset: u32) -> [ChainDef; 5] {
    let rule = || Rule::new(family);
    let with = |number| [&key[..], &[number]].concat();
    let four = |target: &str| vec![rule().jump(target); 4];
    let try_slot = |power: u32| {
        let slot = with(Field::Random(power, offset + power));
        rule().dnat(&slot, ENDPOINTS).done()
    };
    let large = (5..=16).map(|bits| {
        let power = 1_u32 << bits;
        let size = with(Field::Random(1, offset + power));
        let slot = with(Field::Random(power, offset + LARGE_BASE));
        rule().in_set(&size, "sizes").dnat(&slot, ENDPOINTS).done()
    });
    let [first, rest @ ..] = key;
    let client = [&[first, Field::Saddr], &rest[..]].concat();
    let remembered = rule()
        .in_set(&key, "affinity-services")
        .dnat(&client, AFFINITY)
        .done();

    let large_name = format!("{name}-large");
    let one_name = format!("{name}-try");
    let four_name = format!("{name}-4-tries");
    let sixteen_name = format!("{name}-16-tries");
    let mut tries: Vec<_> = [16, 8, 4, 2, 1].map(try_slot).into();
    tries.push(rule().in_set(&key, "large").goto(&large_name));
    let mut all = vec![remembered];
    all.extend(four(&sixteen_name));
    [
        chain(&large_name, large.collect()),
        chain(&one_name, tries),
        chain(&four_name, four(&one_name)),
        chain(&sixteen_name, four(&four_name)),
        chain(name, all),
    ]
}
