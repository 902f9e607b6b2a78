//! Removing what the IPVS mode wrote, portolan's or kube-proxy's: the node is then as it was.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::backend::take;
use super::comparison::recorded;
use super::records::written_down;
use super::settings::{self, Settings};
use crate::agent::nftables::read::read_table;
use crate::agent::sync::SyncError;
use crate::kernel::ipvs::{IpvsError, IpvsKernel, IpvsSocket, Timeouts};
use crate::kernel::nft::NftKernel;
use crate::kernel::sysctl;
use crate::model::IpFamily;
use crate::plan::ipvs::{Ownership, Step, plan};
use crate::plan::nftables::{IPVS_TABLE, TableState};
use crate::plan::op::TableRef;

/// What there is to remove, beside tables.
#[derive(Debug, Default)]
pub struct IpvsRemoval {
    steps: Vec<Step>,
    settings: Settings,
}

impl IpvsRemoval {
    /// Finds it. A kernel without IPVS has nothing of it.
    ///
    /// # Errors
    /// The kernel could not be read.
    pub fn find<K: NftKernel>(kernel: &mut K) -> Result<Self, SyncError> {
        let mut states = Vec::new();
        for family in IpFamily::ALL {
            let name = IPVS_TABLE.into();
            let table = TableRef { family, name };
            states.push(read_table(kernel, &TableState::new(table))?);
        }
        match IpvsSocket::open() {
            Ok(mut ipvs) => Self::with(&mut ipvs, &states),
            Err(IpvsError::Unavailable) => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn with(ipvs: &mut impl IpvsKernel, states: &[Option<TableState>]) -> Result<Self, SyncError> {
        let recorded = written_down(states);
        let excluded: Vec<IpNet> = states
            .iter()
            .flat_map(|state| settings::excluded(state.as_ref()))
            .collect();
        let present = ipvs.read(&mut |_, _| false)?;
        let ownership = Ownership {
            recorded: &recorded,
            excluded: &excluded,
            taken_over: &|_| false,
        };
        let nothing = BTreeSet::new();
        let plan = plan(&Default::default(), &nothing, &present, &ownership, false);
        let mut steps = plan.steps;
        let mut addresses = present.addresses.iter();
        if present.device && !addresses.any(|ip| ownership.excludes(*ip)) {
            steps.push(Step::DeleteDevice);
        }
        Ok(Self {
            steps,
            settings: self::recorded(states),
        })
    }

    /// Nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.settings.is_empty()
    }

    /// What is going to be removed and put back, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let settings = self.settings.iter();
        let settings = settings.map(|(name, value)| format!("~{}", words(name, *value)));
        let steps = self.steps.iter().map(ToString::to_string);
        steps.chain(settings).collect()
    }

    /// A line of counts.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        (!self.is_empty()).then(|| super::words::summary(&self.steps))
    }

    /// Removes it, and puts settings back that are still as portolan has set them.
    ///
    /// # Errors
    /// The kernel refused something; the rest is gone.
    pub fn commit(self) -> Result<(), SyncError> {
        if !self.steps.is_empty() {
            let refused = take(&mut IpvsSocket::open()?, &self.steps)?;
            if !refused.is_empty() {
                return Err(SyncError::Steps { refused });
            }
        }
        for (name, value) in settings::sysctls_in(&self.settings) {
            if let Err(error) = sysctl::set(name, value) {
                tracing::warn!("cannot put {} back: {error}", words(name, value));
            }
        }
        let timeouts = settings::timeouts_in(&self.settings);
        if timeouts != Timeouts::default() {
            IpvsSocket::open()?.set_timeouts(timeouts)?;
        }
        Ok(())
    }
}

fn words(name: &str, value: i64) -> String {
    if let Some(timeout) = name.strip_prefix("ipvs-timeout/") {
        return format!("ipvs timeout {timeout} = {value}");
    }
    format!("sysctl {} = {value}", name.replace('/', "."))
}
