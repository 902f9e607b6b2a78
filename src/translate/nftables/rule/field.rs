//! Fields of packets that make up keys, and how nft writes them.

use crate::model::IpFamily;
use crate::translate::nftables::key::zero;

/// A field of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::translate) enum Field {
    /// `ip daddr`.
    Daddr,
    /// `ip daddr & ZERO`: the constant address of node ports.
    Zero,
    /// `ip saddr`.
    Saddr,
    /// `ip saddr & MASK`.
    SaddrNet(u8),
    /// `meta l4proto`.
    Protocol,
    /// `th dport`.
    Dport,
    /// `numgen random mod MODULUS offset OFFSET`.
    Random(u32, u32),
    /// `ct original ip daddr`.
    OriginalDaddr,
    /// `ct original proto-dst`.
    OriginalDport,
}

/// Front end as a packet carries it.
pub(in crate::translate) const FE: [Field; 3] = [Field::Daddr, Field::Protocol, Field::Dport];
/// Front end of a node port.
pub(in crate::translate) const NP: [Field; 3] = [Field::Zero, Field::Protocol, Field::Dport];

/// A key as nft writes it.
pub(in crate::translate) fn key_text(family: IpFamily, key: &[Field]) -> String {
    let fields: Vec<_> = key.iter().map(|f| field_text(family, *f)).collect();
    fields.join(" . ")
}

pub(in crate::translate) fn field_text(family: IpFamily, field: Field) -> String {
    let ip = family.nft_name();
    match field {
        Field::Daddr => format!("{ip} daddr"),
        Field::Zero => format!("{ip} daddr & {}", zero(family)),
        Field::Saddr => format!("{ip} saddr"),
        Field::SaddrNet(length) if length >= family.host_prefix() => format!("{ip} saddr"),
        Field::SaddrNet(length) => {
            let net = ipnet::IpNet::new(zero(family), length);
            let mask = net.map_or_else(|_| length.to_string(), |net| net.netmask().to_string());
            format!("{ip} saddr & {mask}")
        }
        Field::Protocol => "meta l4proto".to_owned(),
        Field::Dport => "th dport".to_owned(),
        Field::Random(modulus, offset) => {
            format!("numgen random mod {modulus} offset {offset}")
        }
        Field::OriginalDaddr => format!("ct original {ip} daddr"),
        Field::OriginalDport => "ct original proto-dst".to_owned(),
    }
}
