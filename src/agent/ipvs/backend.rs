//! [`Backend`] of the IPVS mode.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::comparison::{IpvsComparison, Request};
use super::drain::Drains;
use super::options::ipvs_options;
use super::records::Stay;
use super::settings::Settings;
use super::{settings, words};
use crate::agent::backend::{Backend, FamilyChanges};
use crate::agent::facts::{NodeFacts, Prerequisites};
use crate::agent::ipsets::KubeProxySets;
use crate::agent::sync::{Done, Load, SyncError, until_done};
use crate::config::ProxyConfig;
use crate::kernel::ipvs::{IpvsKernel, IpvsSocket, Timeouts, probe};
use crate::kernel::nft::NftKernel;
use crate::model::Snapshot;
use crate::plan::ipvs::Step;
use crate::translate::ipvs::{IpvsOptions, IpvsTable};

/// The IPVS mode on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipvs {
    config: ProxyConfig,
    options: Vec<IpvsOptions>,
}

impl Ipvs {
    /// Settings by family, IPv4 first.
    #[must_use]
    pub fn options(&self) -> &[IpvsOptions] {
        &self.options
    }

    /// The desired state of a snapshot, by family, and what was wrong with annotations.
    #[must_use]
    pub fn tables(&self, snapshot: &Snapshot) -> (Vec<IpvsTable>, Vec<String>) {
        let tables = self.options.iter();
        let tables = tables.map(|options| IpvsTable::new(snapshot, options.clone()));
        let (tables, mistakes): (Vec<_>, Vec<_>) = tables.unzip();
        (tables, mistakes.concat())
    }

    /// Compares over these sockets.
    pub(super) fn compare_with<K: NftKernel>(
        &self,
        kernel: &mut K,
        ipvs: &mut impl IpvsKernel,
        snapshot: &Snapshot,
        take_over: bool,
        settings: Settings,
    ) -> Result<IpvsComparison, SyncError> {
        let request = Request {
            snapshot,
            options: &self.options,
            config: &self.config,
            take_over,
            settings,
        };
        IpvsComparison::new(kernel, ipvs, &request)
    }

    /// Brings the kernel there: the table, virtual servers, the rest of the table. Gives the
    /// comparison that the kernel now corresponds to.
    pub(super) fn commit_with<K: NftKernel, I: IpvsKernel>(
        &self,
        kernel: &mut K,
        ipvs: &mut I,
        snapshot: &Snapshot,
        comparison: IpvsComparison,
        drains: &mut Drains,
    ) -> Result<(Done, IpvsComparison), SyncError> {
        let take_over = comparison.take_over;
        let settings = comparison.settings.clone();
        let again =
            |kernel: &mut K| self.compare_with(kernel, ipvs, snapshot, take_over, settings.clone());
        let (mut done, comparison) = until_done(kernel, comparison, again)?;
        let refused = take(ipvs, &comparison.plan.steps)?;
        done.messages += comparison.plan.steps.len();
        done.transactions += usize::from(!comparison.plan.steps.is_empty());
        drains.replace(comparison.plan.retired.clone(), Instant::now());
        // A refusal costs no other virtual server its record, nor leaves it one it should lose.
        let stay = Stay::of(&refused);
        let mut load = Load::new(kernel, None, &mut done);
        for table in &comparison.compared {
            let last = table.last(&stay);
            table.after(&last).ops(&mut |step| load.take(step))?;
        }
        load.flush()?;
        if !refused.is_empty() {
            return Err(SyncError::Steps { refused });
        }
        let drained = drains.look(ipvs, None, Instant::now())?;
        done.messages += drained.steps;
        if !drained.refused.is_empty() {
            let refused = drained.refused;
            return Err(SyncError::Steps { refused });
        }
        Ok((done, comparison))
    }
}

/// Takes the steps; an address does not appear where something of its virtual servers was refused.
pub(super) fn take(
    ipvs: &mut impl IpvsKernel,
    steps: &[Step],
) -> Result<Vec<crate::kernel::ipvs::Refused>, SyncError> {
    let split = steps
        .iter()
        .position(|step| matches!(step, Step::AddAddress(_)));
    let (first, addresses) = steps.split_at(split.unwrap_or(steps.len()));
    let mut refused = ipvs.take(first)?;
    let incomplete: BTreeSet<_> = refused
        .iter()
        .filter_map(|refused| Some(refused.step.server()?.address))
        .collect();
    let complete = addresses.iter().filter(|step| match step {
        Step::AddAddress(ip) => !incomplete.contains(ip),
        _ => true,
    });
    let complete: Vec<_> = complete.cloned().collect();
    refused.extend(ipvs.take(&complete)?);
    Ok(refused)
}

/// The schedulers that tables ask for.
pub(super) fn schedulers(tables: &[IpvsTable]) -> BTreeSet<Arc<str>> {
    let servers = tables.iter().flat_map(IpvsTable::servers);
    let names = servers.map(|(_, server)| Arc::clone(&server.spec.scheduler.name));
    let defaults = tables.iter().map(|table| &table.options().scheduler.name);
    names.chain(defaults.cloned()).collect()
}

impl Backend for Ipvs {
    type Comparison = IpvsComparison;

    fn new(snapshot: &Snapshot, config: &ProxyConfig, facts: &NodeFacts) -> Self {
        Self {
            options: ipvs_options(snapshot, config, facts),
            config: config.clone(),
        }
    }

    fn prerequisites(&self) -> Prerequisites {
        let timeouts = settings::timeouts(&self.config.ipvs);
        Prerequisites {
            sysctls: settings::wanted(&self.config),
            timeouts: (timeouts != Timeouts::default()).then_some(timeouts),
            ..Prerequisites::default()
        }
    }

    fn compare<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        take_over: bool,
    ) -> Result<Self::Comparison, SyncError> {
        let (tables, _) = self.tables(snapshot);
        probe(&schedulers(&tables))?;
        let mut ipvs = IpvsSocket::open()?;
        let mut comparison =
            self.compare_with(kernel, &mut ipvs, snapshot, take_over, Settings::new())?;
        comparison.ipsets = KubeProxySets::find();
        tell(&comparison);
        Ok(comparison)
    }

    fn commit<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        mut comparison: Self::Comparison,
    ) -> Result<Done, SyncError> {
        let take_over = comparison.take_over;
        let ipsets = std::mem::take(&mut comparison.ipsets);
        let mut ipvs = IpvsSocket::open()?;
        let mut drains = Drains::new(self.config.ipvs.drain_timeout);
        let (done, _) = self.commit_with(kernel, &mut ipvs, snapshot, comparison, &mut drains)?;
        if take_over {
            ipsets.destroy();
        }
        if !drains.is_empty() {
            tracing::warn!(
                real_servers = drains.len(),
                "left with weight 0 for their connections; the next apply removes those that \
                 have ended, portolan run by itself"
            );
        }
        Ok(done)
    }

    fn changes<K: NftKernel>(
        &self,
        _: &mut K,
        _: &Snapshot,
        comparison: &Self::Comparison,
    ) -> Result<Vec<FamilyChanges>, SyncError> {
        Ok(words::changes(comparison))
    }

    fn deviations<K: NftKernel>(
        &self,
        _: &mut K,
        _: &Snapshot,
        comparison: &Self::Comparison,
    ) -> Result<Vec<String>, SyncError> {
        Ok(words::deviations(comparison))
    }
}

/// Warns of front ends that are claimed twice or taken, and of annotations that mean nothing.
pub(super) fn tell(comparison: &IpvsComparison) {
    for mistake in &comparison.mistakes {
        tracing::warn!("{mistake}");
    }
    for key in comparison.strangers() {
        tracing::warn!(
            "virtual server {key} is somebody else's and stays: no Service is served there until \
             it is gone"
        );
    }
    for table in &comparison.tables {
        for (key, owner, loser) in table.conflicts() {
            tracing::warn!("{key} is claimed twice: {owner} has it, {loser} goes without");
        }
    }
}
