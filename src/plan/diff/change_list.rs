//! The lines of a diff: what changes, by chain and by service.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use super::owned::is_service_chain;
use crate::model::IpFamily;
use crate::plan::xtables::rule::XtTable;

/// What happens to a chain or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is there and changes.
    Changed,
    /// It goes.
    Deleted,
}

/// One line of a diff: a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whether the rule is new; otherwise it goes.
    pub added: bool,
    /// The rule as `iptables-save` shows it; its expressions if it is not of our vocabulary.
    pub text: String,
    /// The service (`namespace/name:port`) its comment names.
    pub service: Option<Arc<str>>,
    /// The chain it jumps to.
    pub(super) jump: Option<Arc<str>>,
}

/// The change of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDiff {
    /// Its table.
    pub table: XtTable,
    /// Its name.
    pub chain: Arc<str>,
    /// What happens to it.
    pub kind: ChangeKind,
    /// The service it belongs to, as far as comments and names tell.
    pub service: Option<Arc<str>>,
    /// Its rules that change.
    pub lines: Vec<Line>,
}

/// A service whose rules change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChange {
    /// `namespace/name`, with `:port` if the port has a name.
    pub service: Arc<str>,
    /// Added if it only gains rules, deleted if it only loses some.
    pub kind: ChangeKind,
}

/// All that a plan changes, in order: chains of no service, then service by service.
///
/// Its text form is like a unified diff. Holds every changed rule as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The family.
    pub family: IpFamily,
    /// The services that change.
    pub services: Vec<ServiceChange>,
    /// The chains that change.
    pub chains: Vec<ChainDiff>,
}

impl ChainDiff {
    /// The service is the one its comments name, if it is a service's chain.
    pub(super) fn new(table: XtTable, chain: Arc<str>, kind: ChangeKind, lines: Vec<Line>) -> Self {
        let mut named = lines.iter().filter_map(|l| l.service.clone());
        let service = if is_service_chain(table, &chain) {
            named.next()
        } else {
            None
        };
        Self {
            table,
            chain,
            kind,
            service,
            lines,
        }
    }
}

/// Names the services of chains without comments (kube-proxy leaves them out beyond 1000
/// endpoints): chains of one service share the end of their names, and endpoint chains are jumped
/// to from one of those.
pub(super) fn name_services(chains: &mut [ChainDiff]) {
    let end = |name: &str| name.rsplit('-').next().unwrap_or_default().to_owned();
    let mut known: HashMap<String, Arc<str>> = HashMap::new();
    for chain in chains.iter() {
        if let Some(service) = &chain.service {
            known
                .entry(end(&chain.chain))
                .or_insert_with(|| Arc::clone(service));
        }
    }
    for chain in chains.iter() {
        for line in &chain.lines {
            let service = line.service.as_ref().or(chain.service.as_ref());
            if let (Some(service), Some(jump)) = (service, &line.jump) {
                known
                    .entry(end(jump))
                    .or_insert_with(|| Arc::clone(service));
            }
        }
    }
    for chain in chains
        .iter_mut()
        .filter(|c| is_service_chain(c.table, &c.chain))
    {
        chain.service = chain
            .service
            .take()
            .or_else(|| known.get(&end(&chain.chain)).cloned());
    }
}

/// A service that only gains rules is new, one that only loses rules goes.
pub(super) fn services(chains: &[ChainDiff]) -> Vec<ServiceChange> {
    let mut seen: BTreeMap<&Arc<str>, (bool, bool)> = BTreeMap::new();
    for chain in chains {
        if let Some(service) = &chain.service {
            let (gains, loses) = seen.entry(service).or_default();
            *gains |= chain.kind != ChangeKind::Deleted;
            *loses |= chain.kind != ChangeKind::Added;
        }
        for line in &chain.lines {
            if let Some(service) = &line.service {
                let (gains, loses) = seen.entry(service).or_default();
                *gains |= line.added;
                *loses |= !line.added;
            }
        }
    }
    let change = |(service, (gains, loses)): (&Arc<str>, (bool, bool))| {
        let kind = match (gains, loses) {
            (true, false) => ChangeKind::Added,
            (false, true) => ChangeKind::Deleted,
            _ => ChangeKind::Changed,
        };
        ServiceChange {
            service: Arc::clone(service),
            kind,
        }
    };
    seen.into_iter().map(change).collect()
}

/// A unified diff: a hunk a chain, and the chain's own line when it comes or goes.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.chains.is_empty() {
            return Ok(());
        }
        writeln!(f, "--- kernel {}\n+++ desired {}", self.family, self.family)?;
        self.chains
            .iter()
            .try_for_each(|chain| write!(f, "{chain}"))
    }
}

/// One hunk.
impl fmt::Display for ChainDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@@ {} {}", self.table.name(), self.chain)?;
        match &self.service {
            Some(service) => writeln!(f, " @@ {service}")?,
            None => writeln!(f, " @@")?,
        }
        match self.kind {
            ChangeKind::Added => writeln!(f, "+:{} - [0:0]", self.chain)?,
            ChangeKind::Deleted => writeln!(f, "-:{} - [0:0]", self.chain)?,
            ChangeKind::Changed => {}
        }
        let sign = |line: &Line| if line.added { '+' } else { '-' };
        self.lines
            .iter()
            .try_for_each(|line| writeln!(f, "{}{}", sign(line), line.text))
    }
}
