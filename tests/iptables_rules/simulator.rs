//! Sends the first packet of a connection through a ruleset, as the kernel would, and tells what
//! can become of it.
//!
//! Where a rule chooses at random, both outcomes are followed. A jump to a chain that does not
//! exist fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use portolan::model::{IpFamily, Protocol, Snapshot};
use portolan::plan::xtables::rule::{
    CtStates, Maybe, RecentOp, XtMatch, XtRule, XtRuleset, XtTable, XtTarget,
};
use portolan::translate::iptables::{IptablesOptions, IptablesRuleset};

/// A packet on its way.
#[derive(Clone, Debug)]
struct Packet {
    source: IpAddr,
    destination: IpAddr,
    port: u16,
    protocol: Protocol,
    /// Name of the interface it came in by; empty if this node sends it.
    interface: String,
    mark: u32,
    translated: bool,
    masqueraded: bool,
}

/// Why a chain was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At its end, or by RETURN.
    Fell,
    Accepted,
    Dropped,
    Rejected,
}

/// A ruleset, and what the simulator must know of the node.
pub(crate) struct Simulator {
    chains: BTreeMap<(XtTable, String), Vec<XtRule>>,
    /// Addresses of the node.
    local: Vec<IpAddr>,
    /// Names of the `recent` lists that have the client's address.
    pub(crate) remembered: BTreeSet<String>,
}

impl Simulator {
    pub(crate) fn new(snapshot: &Snapshot, options: &IptablesOptions) -> Self {
        let ruleset = IptablesRuleset::new(snapshot, options);
        let mut chains = BTreeMap::new();
        ruleset.for_each_chain(&mut |chain| {
            let key = (chain.table, chain.name.to_string());
            assert!(chains.insert(key, chain.rules).is_none(), "{}", chain.name);
        });
        for jump in ruleset.jumps() {
            let rules = chains
                .entry((jump.table, jump.chain.to_owned()))
                .or_default();
            rules.insert(0, jump.rule);
        }
        let loopback = match options.family {
            IpFamily::V4 => "127.0.0.1",
            IpFamily::V6 => "::1",
        };
        let mut local = options.node.addresses.clone();
        local.push(loopback.parse().unwrap());
        Self {
            chains,
            local,
            remembered: BTreeSet::new(),
        }
    }

    /// What can become of a TCP connection: endpoints separated by `, `, each followed by `*` if
    /// masqueraded; or `DROP`, `REJECT`, `ACCEPT` (let through by name), or nothing: untouched.
    pub(crate) fn tcp(&self, source: &str, destination: &str) -> String {
        self.send(Protocol::Tcp, source, destination)
    }

    pub(crate) fn send(&self, protocol: Protocol, source: &str, destination: &str) -> String {
        let source: IpAddr = source.parse().unwrap();
        let destination: SocketAddr = destination.parse().unwrap();
        let output = self.local.contains(&source);
        let packet = Packet {
            source,
            destination: destination.ip(),
            port: destination.port(),
            protocol,
            interface: if output { "" } else { "eth0" }.to_owned(),
            mark: 0,
            translated: false,
            masqueraded: false,
        };
        let outcomes: BTreeSet<String> = self
            .through(packet, output)
            .into_iter()
            .map(|(packet, end)| outcome(&packet, end))
            .collect();
        let outcomes: Vec<String> = outcomes.into_iter().collect();
        outcomes.join(", ")
    }

    /// All hooks that the packet meets.
    fn through(&self, packet: Packet, output: bool) -> Vec<(Packet, End)> {
        let entry = if output { "OUTPUT" } else { "PREROUTING" };
        let mut done = Vec::new();
        for (packet, _) in self.hook(XtTable::Nat, entry, packet) {
            let local = self.is_local(packet.destination);
            let filters: &[&str] = match (output, local) {
                (true, true) => &["OUTPUT", "INPUT"],
                (true, false) => &["OUTPUT"],
                (false, true) => &["INPUT"],
                (false, false) => &["FORWARD"],
            };
            for (packet, end) in self.filters(filters, packet) {
                let leaves = output || !local;
                if leaves && matches!(end, End::Fell | End::Accepted) {
                    let sent = self.hook(XtTable::Nat, "POSTROUTING", packet);
                    done.extend(sent.into_iter().map(|(packet, _)| (packet, end)));
                } else {
                    done.push((packet, end));
                }
            }
        }
        done
    }

    fn filters(&self, hooks: &[&str], packet: Packet) -> Vec<(Packet, End)> {
        let mut ends = vec![(packet, End::Fell)];
        for hook in hooks {
            let mut next = Vec::new();
            for (packet, end) in ends {
                if matches!(end, End::Dropped | End::Rejected) {
                    next.push((packet, end));
                } else {
                    next.extend(self.hook(XtTable::Filter, hook, packet));
                }
            }
            ends = next;
        }
        ends
    }

    fn hook(&self, table: XtTable, chain: &str, packet: Packet) -> Vec<(Packet, End)> {
        match self.chains.get(&(table, chain.to_owned())) {
            Some(rules) => self.walk(table, rules, packet),
            None => vec![(packet, End::Fell)],
        }
    }

    fn walk(&self, table: XtTable, rules: &[XtRule], packet: Packet) -> Vec<(Packet, End)> {
        let Some((rule, rest)) = rules.split_first() else {
            return vec![(packet, End::Fell)];
        };
        let mut ends = Vec::new();
        let (may_match, may_pass) = self.matches(rule, &packet);
        if may_pass {
            ends.extend(self.walk(table, rest, packet.clone()));
        }
        if may_match {
            ends.extend(self.take(table, rule, rest, packet));
        }
        ends
    }

    /// Runs a rule's target, and the rest of the chain where it goes on.
    fn take(
        &self,
        table: XtTable,
        rule: &XtRule,
        rest: &[XtRule],
        mut packet: Packet,
    ) -> Vec<(Packet, End)> {
        match &rule.target {
            None => self.walk(table, rest, packet),
            Some(XtTarget::Return) => vec![(packet, End::Fell)],
            Some(XtTarget::Accept) => vec![(packet, End::Accepted)],
            Some(XtTarget::Drop) => vec![(packet, End::Dropped)],
            Some(XtTarget::Reject) => vec![(packet, End::Rejected)],
            Some(XtTarget::Mark { value, mask }) => {
                packet.mark = (packet.mark & !mask) ^ value;
                self.walk(table, rest, packet)
            }
            Some(XtTarget::Masquerade { .. }) => {
                packet.masqueraded = true;
                vec![(packet, End::Accepted)]
            }
            Some(XtTarget::Dnat(to)) => {
                packet.destination = to.ip();
                packet.port = to.port();
                packet.translated = true;
                vec![(packet, End::Accepted)]
            }
            Some(XtTarget::Jump(chain)) => {
                let Some(rules) = self.chains.get(&(table, chain.to_string())) else {
                    panic!("jump to {chain}, which does not exist");
                };
                let mut ends = Vec::new();
                for (packet, end) in self.walk(table, rules, packet) {
                    if end == End::Fell {
                        ends.extend(self.walk(table, rest, packet));
                    } else {
                        ends.push((packet, end));
                    }
                }
                ends
            }
        }
    }

    /// Whether the rule can match, and whether it can fail to.
    fn matches(&self, rule: &XtRule, packet: &Packet) -> (bool, bool) {
        let in_net = |net: &Option<Maybe<ipnet::IpNet>>, ip: IpAddr| {
            net.as_ref()
                .is_none_or(|net| net.value.contains(&ip) != net.not)
        };
        let fixed = in_net(&rule.source, packet.source)
            && in_net(&rule.destination, packet.destination)
            && rule.in_interface.as_ref().is_none_or(|wanted| {
                let name = &*wanted.value.name;
                let same = if wanted.value.prefix {
                    packet.interface.starts_with(name)
                } else {
                    packet.interface == name
                };
                same != wanted.not
            })
            && rule
                .protocol
                .is_none_or(|protocol| protocol == packet.protocol)
            && rule.matches.iter().all(|m| self.condition(m, packet));
        let random = rule
            .matches
            .iter()
            .any(|m| matches!(m, XtMatch::Random { .. }));
        (fixed, !fixed || random)
    }

    fn condition(&self, condition: &XtMatch, packet: &Packet) -> bool {
        match condition {
            XtMatch::Comment(_) | XtMatch::Random { .. } | XtMatch::Nfacct(_) => true,
            XtMatch::Ports { dport } => dport.is_none_or(|port| port == packet.port),
            XtMatch::Mark { value, mask, not } => (packet.mark & mask == *value) != *not,
            XtMatch::Conntrack(states) => {
                let mut now = CtStates::NEW.0;
                if packet.translated {
                    now |= CtStates::DNAT.0;
                }
                (states.value.0 & now != 0) != states.not
            }
            XtMatch::SourceIsLocal => self.is_local(packet.source),
            XtMatch::DestinationIsLocal => self.is_local(packet.destination),
            XtMatch::Recent {
                op: RecentOp::Set, ..
            } => true,
            XtMatch::Recent { list, .. } => self.remembered.contains(&**list),
        }
    }

    fn is_local(&self, ip: IpAddr) -> bool {
        self.local.contains(&ip)
    }
}

fn outcome(packet: &Packet, end: End) -> String {
    match end {
        End::Dropped => "DROP".to_owned(),
        End::Rejected => "REJECT".to_owned(),
        _ if packet.translated => {
            let to = SocketAddr::new(packet.destination, packet.port);
            format!("{to}{}", if packet.masqueraded { "*" } else { "" })
        }
        End::Accepted => "ACCEPT".to_owned(),
        End::Fell => String::new(),
    }
}
