//! Small steps that rules are put together from, named as the command line words them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::Protocol;
use crate::plan::xtables::rule::{CtStates, Maybe, XtMatch, XtRule, XtTarget};

/// Building a rule left to right.
pub(super) trait RuleWords {
    /// `-m comment --comment TEXT`.
    fn comment(self, text: impl Into<Arc<str>>) -> Self;
    /// `-s NET`.
    fn from(self, source: IpNet) -> Self;
    /// `-d ADDRESS`.
    fn to(self, destination: IpAddr) -> Self;
    /// `-p PROTO -m PROTO [--dport PORT]`.
    fn port(self, protocol: Protocol, dport: Option<u16>) -> Self;
    /// `-m conntrack --ctstate STATES`.
    fn state(self, states: CtStates) -> Self;
    /// Another match.
    fn and(self, condition: XtMatch) -> Self;
    /// `-j CHAIN`.
    fn jump(self, chain: impl Into<Arc<str>>) -> Self;
    /// `-j TARGET`.
    fn target(self, target: XtTarget) -> Self;
}

impl RuleWords for XtRule {
    fn comment(self, text: impl Into<Arc<str>>) -> Self {
        self.and(XtMatch::Comment(text.into()))
    }

    fn from(mut self, source: IpNet) -> Self {
        self.source = Some(Maybe::is(source));
        self
    }

    fn to(mut self, destination: IpAddr) -> Self {
        self.destination = Some(Maybe::is(destination.into()));
        self
    }

    fn port(mut self, protocol: Protocol, dport: Option<u16>) -> Self {
        self.protocol = Some(protocol);
        self.and(XtMatch::Ports { dport })
    }

    fn state(self, states: CtStates) -> Self {
        self.and(XtMatch::Conntrack(Maybe::is(states)))
    }

    fn and(mut self, condition: XtMatch) -> Self {
        self.matches.push(condition);
        self
    }

    fn jump(self, chain: impl Into<Arc<str>>) -> Self {
        self.target(XtTarget::Jump(chain.into()))
    }

    fn target(mut self, target: XtTarget) -> Self {
        self.target = Some(target);
        self
    }
}

/// A rule without conditions, to build on.
pub(super) fn rule() -> XtRule {
    XtRule::default()
}
