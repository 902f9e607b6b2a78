//! What is in the kernel, as `iptables` and its relatives tell it.

use portolan::kernel::{Socket, nft};

use super::netns::Namespace;

/// An address family, by the programs that speak it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// `iptables` or `ip6tables`, with a suffix such as `-save`.
    pub(crate) fn program(self, suffix: &str) -> String {
        let stem = if self == Self::V4 {
            "iptables"
        } else {
            "ip6tables"
        };
        format!("{stem}{suffix}")
    }
}

impl Namespace {
    /// `iptables-save` without its remarks, which carry the date, and without counters.
    pub(crate) fn saved(&self, family: Family) -> String {
        let text = self.run(&family.program("-save"), &[]);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(without_counters)
            .collect()
    }

    /// Both families' [`saved`](Self::saved) texts.
    pub(crate) fn saved_both(&self) -> String {
        Family::BOTH.map(|family| self.saved(family)).concat()
    }

    /// The number that the kernel gives to each state of nf_tables: equal before and after means
    /// that nobody wrote anything (`NFT_MSG_GETGEN`).
    pub(crate) fn generation(&self) -> u32 {
        self.enter(|| nft::generation(&mut Socket::open().unwrap()).unwrap())
    }

    /// Loads rules beside those that are there (`--noflush`).
    pub(crate) fn restore(&self, family: Family, rules: &str) {
        self.run_with_input(&family.program("-restore"), &["--noflush"], rules);
    }
}

fn without_counters(line: &str) -> String {
    let chain = line.strip_prefix(':').and_then(|_| line.split(" [").next());
    chain.unwrap_or(line).to_owned() + "\n"
}
