//! Fingerprints of rules, so that two whole rulesets can be compared in little memory.
//!
//! A digest is 64 bits of SipHash under a key that is drawn anew in every process: nobody can
//! prepare two rules that collide, and two given different rules do with odds of 2⁻⁶⁴. Comparing
//! 320 000 rules in their places, a difference goes unseen with odds of 2·10⁻¹⁴. Digests mean
//! nothing outside of the process.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use super::expr::RuleBody;
use super::xtables::decode::{Decoded, decode};
use super::xtables::encode::canonical;
use super::xtables::rule::XtRule;
use crate::model::IpFamily;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The fingerprint of a rule in its canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleDigest(u64);

impl RuleDigest {
    /// The digest of every rule that is not of our vocabulary. No rule of ours has it.
    pub const FOREIGN: Self = Self(0);

    /// The digest of a rule of ours.
    #[must_use]
    pub fn of(rule: &XtRule) -> Self {
        Self(KEY.hash_one(canonical(rule)).max(1))
    }

    /// The digest of a rule that the kernel holds.
    #[must_use]
    pub fn of_body(body: &RuleBody, family: IpFamily) -> Self {
        match decode(body, family) {
            Decoded::Rule(rule) => Self::of(&rule),
            Decoded::Foreign => Self::FOREIGN,
        }
    }
}

/// The bits; there is no more to a digest.
impl fmt::Debug for RuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::FOREIGN {
            f.write_str("foreign")
        } else {
            write!(f, "{:016x}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::expr::{Expr, Verdict};
    use crate::plan::xtables::encode::encode;
    use crate::plan::xtables::rule::{Maybe, XtTarget};

    fn to(chain: &str) -> XtRule {
        XtRule {
            target: Some(XtTarget::Jump(chain.into())),
            ..XtRule::default()
        }
    }

    #[test]
    fn a_rule_and_its_expressions_have_one_digest() {
        let body = encode(&to("KUBE-A"), IpFamily::V4);
        assert_eq!(
            RuleDigest::of_body(&body, IpFamily::V4),
            RuleDigest::of(&to("KUBE-A"))
        );
        assert_ne!(RuleDigest::of(&to("KUBE-A")), RuleDigest::of(&to("KUBE-B")));
    }

    #[test]
    fn a_condition_that_is_always_true_makes_no_difference() {
        let any = Maybe::is("0.0.0.0/0".parse().unwrap());
        let rule = XtRule {
            source: Some(any),
            ..to("KUBE-A")
        };
        assert_eq!(RuleDigest::of(&rule), RuleDigest::of(&to("KUBE-A")));
    }

    #[test]
    fn a_foreign_rule_is_never_ours() {
        let exprs = vec![Expr::Verdict(Verdict::Goto("KUBE-A".into()))];
        let body = RuleBody {
            exprs,
            ..RuleBody::default()
        };
        assert_eq!(
            RuleDigest::of_body(&body, IpFamily::V4),
            RuleDigest::FOREIGN
        );
        assert_ne!(RuleDigest::of(&to("KUBE-A")), RuleDigest::FOREIGN);
    }
}
