//! Rules under construction: every condition and action adds its expressions and its text, so
//! that what the kernel is told and what a person reads cannot drift apart.
//!
//! Registers: the k-th 4-byte word of a key is register 8 + k, which the kernel calls 1 to 4 where
//! it starts 16 bytes.

mod field;

use std::net::IpAddr;

use crate::model::IpFamily;
use crate::plan::expr::{CmpOp, Expr, PayloadBase, REG_1, Register, RuleBody, Verdict};
use crate::plan::nftables::RuleDef;
use crate::plan::nftables::text::address_len;

pub(in crate::translate) use field::{FE, Field, NP, field_text, key_text};

const META_MARK: u32 = 3;
const META_L4PROTO: u32 = 16;
const CT_PROTO_DST: u32 = 12;

/// A rule under construction.
#[derive(Clone, Debug)]
pub(in crate::translate) struct Rule {
    family: IpFamily,
    exprs: Vec<Expr>,
    texts: Vec<String>,
    comment: Option<&'static str>,
}

impl Rule {
    pub(in crate::translate) fn new(family: IpFamily) -> Self {
        Self {
            family,
            exprs: Vec::new(),
            texts: Vec::new(),
            comment: None,
        }
    }

    pub(in crate::translate) fn family(&self) -> IpFamily {
        self.family
    }

    fn words(&self) -> u32 {
        u32::try_from(address_len(self.family) / 4).unwrap_or(1)
    }

    fn width(&self, field: Field) -> u32 {
        match field {
            Field::Daddr
            | Field::Zero
            | Field::Saddr
            | Field::SaddrNet(_)
            | Field::OriginalDaddr => self.words(),
            _ => 1,
        }
    }

    /// Adds expressions without text, or with text that belongs to the next ones.
    pub(in crate::translate) fn push(mut self, expr: Expr, text: impl Into<String>) -> Self {
        self.exprs.push(expr);
        let text = text.into();
        if !text.is_empty() {
            self.texts.push(text);
        }
        self
    }

    pub(in crate::translate) fn text(mut self, text: impl Into<String>) -> Self {
        self.texts.push(text.into());
        self
    }

    pub(in crate::translate) fn comment(mut self, comment: &'static str) -> Self {
        self.comment = Some(comment);
        self
    }

    /// Loads the fields of a key to registers from a word on; returns the word after them.
    pub(in crate::translate) fn load(&mut self, fields: &[Field], mut word: u32) -> u32 {
        for field in fields {
            self.load_field(*field, register(word));
            word += self.width(*field);
        }
        word
    }

    fn load_field(&mut self, field: Field, dreg: Register) {
        let (source, destination, original) = match self.family {
            IpFamily::V4 => (12, 16, 20),
            IpFamily::V6 => (8, 24, 22),
        };
        let len = self.words() * 4;
        let network = |offset| Expr::Payload {
            base: PayloadBase::Network,
            offset,
            len,
            dreg,
        };
        let direction = Some(0);
        let expr = match field {
            Field::Daddr | Field::Zero => network(destination),
            Field::Saddr | Field::SaddrNet(_) => network(source),
            Field::Protocol => Expr::Meta {
                key: META_L4PROTO,
                dreg,
            },
            Field::Dport => Expr::Payload {
                base: PayloadBase::Transport,
                offset: 2,
                len: 2,
                dreg,
            },
            Field::Random(modulus, offset) => Expr::Random {
                modulus,
                offset,
                dreg,
            },
            Field::OriginalDaddr => Expr::Ct {
                key: original,
                direction,
                dreg,
            },
            Field::OriginalDport => Expr::Ct {
                key: CT_PROTO_DST,
                direction,
                dreg,
            },
        };
        self.exprs.push(expr);
        let mask = match field {
            Field::Zero => Some(0),
            Field::SaddrNet(length) if length < self.family.host_prefix() => Some(length),
            _ => None,
        };
        if let Some(length) = mask {
            self.exprs.push(Expr::Bitwise {
                sreg: dreg,
                dreg,
                mask: mask_bytes(self.family, length),
                xor: vec![0; address_len(self.family)].into(),
            });
        }
    }

    /// `KEY @set`: the packet's key is in the set.
    pub(in crate::translate) fn in_set(mut self, key: &[Field], set: &str) -> Self {
        self.load(key, 0);
        let text = format!("{} @{set}", key_text(self.family, key));
        self.push(
            Expr::Lookup {
                set: set.into(),
                sreg: REG_1,
                dreg: None,
                not: false,
            },
            text,
        )
    }

    /// `dnat to KEY map @map`: to the endpoint found, no match where there is none.
    pub(in crate::translate) fn dnat(mut self, key: &[Field], map: &str) -> Self {
        self.load(key, 0);
        let ip = self.family.nft_name();
        let text = format!("dnat {ip} to {} map @{map}", key_text(self.family, key));
        let (family, port) = match self.family {
            IpFamily::V4 => (2, register(1)),
            IpFamily::V6 => (10, register(4)),
        };
        self.push(
            Expr::Lookup {
                set: map.into(),
                sreg: REG_1,
                dreg: Some(REG_1),
                not: false,
            },
            text,
        )
        .push(
            Expr::Dnat {
                family,
                address: REG_1,
                port,
                flags: 3,
            },
            "",
        )
    }

    /// Compares register 1.
    pub(in crate::translate) fn compare(self, equal: bool, data: impl Into<Box<[u8]>>) -> Self {
        let op = if equal { CmpOp::Eq } else { CmpOp::Neq };
        let data = data.into();
        let sreg = REG_1;
        self.push(Expr::Cmp { sreg, op, data }, "")
    }

    /// `value & bits != 0` of register 1, in host order.
    pub(in crate::translate) fn any_bit(self, bits: u32) -> Self {
        self.bitwise(bits, 0).compare(false, 0_u32.to_ne_bytes())
    }

    fn bitwise(self, mask: u32, xor: u32) -> Self {
        let expr = Expr::Bitwise {
            sreg: REG_1,
            dreg: REG_1,
            mask: mask.to_ne_bytes().into(),
            xor: xor.to_ne_bytes().into(),
        };
        self.push(expr, "")
    }

    /// `meta mark set (meta mark & mask) ^ xor`.
    pub(in crate::translate) fn set_mark(self, mask: u32, xor: u32, text: String) -> Self {
        let load = Expr::Meta {
            key: META_MARK,
            dreg: REG_1,
        };
        let store = Expr::MetaSet {
            key: META_MARK,
            sreg: REG_1,
        };
        self.push(load, text).bitwise(mask, xor).push(store, "")
    }

    /// Marks the packet for masquerading.
    pub(in crate::translate) fn mark(self, mark: u32) -> Self {
        self.set_mark(
            !mark,
            mark,
            format!("meta mark set meta mark | {mark:#010x}"),
        )
    }

    /// `meta mark & mark != 0`.
    pub(in crate::translate) fn marked(self, mark: u32) -> Self {
        let load = Expr::Meta {
            key: META_MARK,
            dreg: REG_1,
        };
        self.push(load, format!("meta mark & {mark:#010x} != 0x00000000"))
            .any_bit(mark)
    }

    /// `ip daddr != ADDRESS`, or of an original connection.
    pub(in crate::translate) fn address_is_not(mut self, field: Field, address: IpAddr) -> Self {
        self.load(&[field], 0);
        let text = format!("{} != {address}", field_text(self.family, field));
        let bytes: Box<[u8]> = match address {
            IpAddr::V4(v4) => v4.octets().into(),
            IpAddr::V6(v6) => v6.octets().into(),
        };
        self.text(text).compare(false, bytes)
    }

    /// `ct state new` (key 0, bit 8) and `ct status dnat` (key 2, bit 0x20).
    pub(in crate::translate) fn ct_bit(self, key: u32, bit: u32, text: &str) -> Self {
        let load = Expr::Ct {
            key,
            direction: None,
            dreg: REG_1,
        };
        self.push(load, text).any_bit(bit)
    }

    pub(in crate::translate) fn ct_new(self) -> Self {
        self.ct_bit(0, 8, "ct state new")
    }

    pub(in crate::translate) fn ct_dnat(self) -> Self {
        self.ct_bit(2, 0x20, "ct status dnat")
    }

    /// `fib saddr type local` (flags 1) or `fib daddr type local` (flags 2).
    pub(in crate::translate) fn fib_local(self, flags: u32, text: &str) -> Self {
        let load = Expr::Fib {
            flags,
            result: 3,
            dreg: REG_1,
        };
        self.push(load, text).compare(true, 2_u32.to_ne_bytes())
    }

    pub(in crate::translate) fn masquerade(self) -> Self {
        self.push(Expr::Masquerade { flags: 16 }, "masquerade fully-random")
    }

    pub(in crate::translate) fn reject(self) -> Self {
        let code = match self.family {
            IpFamily::V4 => 3,
            IpFamily::V6 => 4,
        };
        self.counted()
            .push(Expr::Reject { kind: 0, code }, "reject")
    }

    pub(in crate::translate) fn goto(self, chain: &str) -> RuleDef {
        self.push(
            Expr::Verdict(Verdict::Goto(chain.into())),
            format!("goto {chain}"),
        )
        .done()
    }

    pub(in crate::translate) fn jump(self, chain: &str) -> RuleDef {
        self.push(
            Expr::Verdict(Verdict::Jump(chain.into())),
            format!("jump {chain}"),
        )
        .done()
    }

    pub(in crate::translate) fn ret(self) -> RuleDef {
        self.push(Expr::Verdict(Verdict::Return), "return").done()
    }

    pub(in crate::translate) fn drop(self) -> RuleDef {
        self.counted()
            .push(Expr::Verdict(Verdict::Drop), "drop")
            .done()
    }

    /// Packets that go no further are counted, so that one sees which rule it was.
    fn counted(self) -> Self {
        self.push(Expr::Counter, "counter")
    }

    /// The finished rule.
    pub(in crate::translate) fn done(mut self) -> RuleDef {
        let mut userdata = Vec::new();
        if let Some(comment) = self.comment {
            // A comment of the layout is far shorter than 255 bytes.
            userdata.extend([0, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)]);
            userdata.extend(comment.as_bytes());
            userdata.push(0);
            self.texts.push(format!("comment \"{comment}\""));
        }
        RuleDef {
            body: RuleBody {
                exprs: self.exprs,
                compat: None,
                userdata: userdata.into(),
            },
            text: self.texts.join(" ").into(),
        }
    }
}

/// The register of a 4-byte word.
pub(in crate::translate) fn register(word: u32) -> Register {
    if word.is_multiple_of(4) {
        1 + word / 4
    } else {
        8 + word
    }
}

/// A netmask.
fn mask_bytes(family: IpFamily, length: u8) -> Box<[u8]> {
    let bits = usize::from(length);
    (0..address_len(family))
        .map(|at| match bits.saturating_sub(at * 8) {
            0 => 0,
            left if left >= 8 => 0xff,
            left => !(0xff_u8 >> left),
        })
        .collect()
}
