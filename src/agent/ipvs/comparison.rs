//! What should be, what is, and the steps between: tables and virtual servers together.

use std::collections::{BTreeMap, BTreeSet};

use super::records::{Compared, compare, written_down};
use super::settings::{self, Settings};
use crate::agent::backend::Outcome;
use crate::agent::ipsets::KubeProxySets;
use crate::agent::leftovers::{For, Leftovers};
use crate::agent::nftables::read::read_table;
use crate::agent::sync::{Comparison, Load, SyncError};
use crate::config::{IpvsConfig, ProxyConfig};
use crate::kernel::ipvs::IpvsKernel;
use crate::kernel::nft::{NftKernel, read_consistently};
use crate::model::{IpFamily, Snapshot};
use crate::plan::ipvs::{Ownership, Plan, Present, Server, ServerKey, lingering, plan};
use crate::plan::nftables::TableState;
use crate::translate::ipvs::{IpvsOptions, IpvsTable};

/// A comparison with the kernel.
#[derive(Debug)]
pub struct IpvsComparison {
    generation: u32,
    /// The desired state, by family.
    pub tables: Vec<IpvsTable>,
    /// The tables, in the same order.
    pub compared: Vec<Compared>,
    /// Virtual servers and addresses as they are.
    pub present: Present,
    /// The steps between.
    pub plan: Plan,
    /// What was wrong with annotations.
    pub mistakes: Vec<String>,
    /// Rules and virtual servers of another proxy are to go.
    pub take_over: bool,
    /// What settings were before they were changed.
    pub settings: Settings,
    /// Conflicts that end if virtual servers of another proxy are to go.
    takeable: BTreeSet<ServerKey>,
    leftovers: Leftovers,
    /// kube-proxy's ipsets, as far as whoever compares has looked for them.
    pub(super) ipsets: KubeProxySets,
}

/// What a comparison is made from.
pub(super) struct Request<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) options: &'a [IpvsOptions],
    pub(super) config: &'a ProxyConfig,
    pub(super) take_over: bool,
    /// What settings were before this process changed them.
    pub(super) settings: Settings,
}

impl IpvsComparison {
    /// Reads the kernel and compares.
    pub(super) fn new<K: NftKernel>(
        kernel: &mut K,
        ipvs: &mut impl IpvsKernel,
        request: &Request<'_>,
    ) -> Result<Self, SyncError> {
        let (mut tables, mut mistakes) = (Vec::new(), Vec::new());
        for options in request.options {
            let (table, wrong) = IpvsTable::new(request.snapshot, options.clone());
            tables.push(table);
            mistakes.extend(wrong);
        }
        mistakes.dedup();
        let desired: Vec<_> = tables.iter().map(|table| TableState::of(table)).collect();
        let (generation, (leftovers, states)) = read_consistently(kernel, |kernel| {
            let leftovers = Leftovers::find(kernel, For::Ipvs, request.take_over)?;
            let mut states = Vec::new();
            for desired in &desired {
                states.push(read_table(kernel, desired)?);
            }
            Ok((leftovers, states))
        })?;
        let (present, plan) = servers(ipvs, &mut tables, &states, request)?;
        let mut known = recorded(&states);
        known.extend(request.settings.clone());
        let mut settings = settings::before(&settings::wanted(request.config), &known);
        let timeouts = settings::timeouts(&request.config.ipvs);
        settings::timeouts_before(ipvs, timeouts, &mut settings)?;
        let record = settings::record(&settings, &request.config.ipvs.excluded);
        let compared = compare(&mut tables, states, record);
        let takeable = plan.conflicts.iter().copied();
        let takeable = takeable.filter(|key| is_kube_proxys(key, &tables, request.config));
        let takeable = takeable.collect();
        Ok(Self {
            generation,
            tables,
            compared,
            present,
            plan,
            mistakes,
            take_over: request.take_over,
            settings,
            takeable,
            leftovers,
            ipsets: KubeProxySets::default(),
        })
    }

    /// Virtual servers in the place of ours that are nobody's whom `--take-over` replaces.
    pub(super) fn strangers(&self) -> impl Iterator<Item = &ServerKey> {
        let conflicts = self.plan.conflicts.iter();
        conflicts.filter(|key| !self.takeable.contains(*key))
    }

    /// Our virtual servers, by family in one list.
    pub(super) fn desired(&self) -> BTreeMap<ServerKey, &Server> {
        desired(&self.tables)
    }
}

/// What is written down of settings, in whichever family.
pub(super) fn recorded(states: &[Option<TableState>]) -> Settings {
    let states = states.iter();
    states
        .flat_map(|state| settings::recorded(state.as_ref()))
        .collect()
}

pub(super) fn desired(tables: &[IpvsTable]) -> BTreeMap<ServerKey, &Server> {
    let servers = tables.iter().flat_map(IpvsTable::servers);
    servers.map(|(key, server)| (*key, server)).collect()
}

/// Reads virtual servers and plans; those that linger are added to the tables.
fn servers(
    ipvs: &mut impl IpvsKernel,
    tables: &mut [IpvsTable],
    states: &[Option<TableState>],
    request: &Request<'_>,
) -> Result<(Present, Plan), SyncError> {
    let config: &IpvsConfig = &request.config.ipvs;
    let recorded = written_down(states);
    let mut addresses = BTreeSet::new();
    for table in tables.iter() {
        addresses.extend(table.addresses());
    }
    let theirs = |key: &ServerKey| request.take_over && is_kube_proxys(key, tables, request.config);
    let families: Vec<IpFamily> = tables
        .iter()
        .map(|table| table.options().family())
        .collect();
    let ours = |key: &ServerKey, present: &Present| {
        families.contains(&key.family())
            && (tables.iter().any(|table| table.server(key).is_some())
                || recorded.contains(key)
                || present.addresses.contains(&key.address)
                || theirs(key))
    };
    let mut present = ipvs.read(&mut |key, present| ours(key, present))?;
    // A family that the node does not speak is left alone.
    present
        .addresses
        .retain(|ip| families.contains(&IpFamily::of(*ip)));
    present
        .servers
        .retain(|key, _| families.contains(&key.family()));
    let ownership = Ownership {
        recorded: &recorded,
        excluded: &config.excluded,
        taken_over: &theirs,
    };
    let drain = !config.drain_timeout.is_zero();
    let kept = if drain && config.drain_services {
        lingering(&desired(tables), &present, &ownership)
    } else {
        Vec::new()
    };
    addresses.extend(
        kept.iter()
            .filter(|(.., bound)| *bound)
            .map(|(key, ..)| key.address),
    );
    let mut all = desired(tables);
    let held: Vec<_> = kept
        .iter()
        .map(|(key, spec, _)| {
            let reals = BTreeMap::new();
            let spec = spec.clone();
            (*key, Server { spec, reals })
        })
        .collect();
    all.extend(held.iter().map(|(key, server)| (*key, server)));
    let plan = plan(&all, &addresses, &present, &ownership, drain);
    for table in tables {
        let family = table.options().family();
        let kept = kept.iter().filter(|(key, ..)| key.family() == family);
        table.hold(kept.cloned());
        let conflicts = plan.conflicts.iter();
        for key in conflicts.filter(|key| key.family() == family) {
            table.forbid(key);
        }
    }
    Ok((present, plan))
}

/// A virtual server that kube-proxy in IPVS mode would have made for a node port: at an address of
/// this node, with a port of the range.
fn is_kube_proxys(key: &ServerKey, tables: &[IpvsTable], config: &ProxyConfig) -> bool {
    let options = tables.iter().map(IpvsTable::options);
    let of_node = |options: &IpvsOptions| options.local_addresses.contains(&key.address);
    config.node_ports.contains(&key.port) && options.into_iter().any(of_node)
}

/// The part that comes before the steps of IPVS, as one transaction.
impl Comparison for IpvsComparison {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_equal(&self) -> bool {
        self.compared.iter().all(|table| table.before().is_empty()) && self.leftovers.steps() == 0
    }

    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        for table in &self.compared {
            load.begin_family()?;
            table.before().ops(&mut |step| load.take(step))?;
        }
        self.leftovers.emit(load)
    }
}

impl Outcome for IpvsComparison {
    fn is_equal(&self) -> bool {
        self.steps() == 0
    }

    fn steps(&self) -> usize {
        let tables = self.compared.iter().map(|table| {
            let counts = table.all().counts();
            let elements = counts.elements_added + counts.elements_deleted;
            let objects = counts.sets_added + counts.sets_deleted + counts.chains_written;
            elements + objects + usize::from(counts.replaced)
        });
        let ipsets = if self.take_over { self.ipsets.len() } else { 0 };
        tables.sum::<usize>() + self.plan.steps.len() + self.leftovers.steps() + ipsets
    }

    fn summary(&self) -> Vec<String> {
        let tables = self.compared.iter().filter(|table| !table.all().is_empty());
        let tables = tables.map(|table| {
            let family = table.desired.table.family;
            format!("{family}: {}", table.all().counts())
        });
        let steps = &self.plan.steps;
        let ipvs = (!steps.is_empty()).then(|| super::words::summary(steps));
        let removals = self.removals().into_iter();
        tables
            .chain(ipvs)
            .chain(removals.map(|what| format!("remove {what}")))
            .collect()
    }

    fn holdings(&self) -> String {
        let desired = self.desired();
        let reals: usize = desired.values().map(|server| server.reals.len()).sum();
        format!("{} virtual servers and {reals} real servers", desired.len())
    }

    fn removals(&self) -> Vec<String> {
        let mut removals = self.leftovers.removals();
        removals.extend(self.ipsets.summary().filter(|_| self.take_over));
        removals
    }

    fn competitors(&self) -> Vec<String> {
        let conflicts = self.takeable.iter();
        let conflicts =
            conflicts.map(|key| format!("virtual server {key}, which is not portolan's"));
        self.leftovers
            .staying()
            .into_iter()
            .chain(conflicts)
            .chain(self.ipsets.summary().filter(|_| !self.take_over))
            .collect()
    }
}
