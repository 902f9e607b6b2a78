//! iptables' view of a ruleset: tables, chains and rules as `iptables-save` shows them, and how
//! they are written in nf_tables expressions.
//!
//! [`rule`] is the vocabulary, [`encode`] and [`decode`] go to and from [`super::expr`], [`save`]
//! prints. `decode(encode(r)) == r` for every rule that portolan writes; rules that other versions
//! of iptables wrote in other expressions decode to the same [`rule::XtRule`] where they mean the
//! same.

pub mod decode;
pub mod encode;
mod info;
pub mod rule;
pub mod save;
