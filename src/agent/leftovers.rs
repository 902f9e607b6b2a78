//! Rules of another proxy, or of another mode of portolan: recognised by their names, and removed
//! in the transaction that brings the new ones, so that no packet finds neither.
//!
//! Source of the names: kube-proxy 1.36, `pkg/proxy/nftables/proxier.go` (table `kube-proxy`) and
//! `pkg/proxy/iptables/proxier.go` (chains `KUBE-…`). Rules of kube-proxy in iptables mode and of
//! portolan's own look the same, so the iptables mode never counts them as somebody else's.

use super::iptables::sync as iptables;
use super::sync::{Load, SyncError};
use crate::kernel::nft::{NftKernel, ReadError};
use crate::model::IpFamily;
use crate::plan::diff::{NoRuleset, Plan, Step, cleanup};
use crate::plan::nftables::IPVS_TABLE;
use crate::plan::op::{Op, TableRef};
use crate::plan::xtables::rule::XtTable;
use crate::translate::nftables::TABLE;

/// The table of kube-proxy in nftables mode.
const KUBE_PROXY: &str = "kube-proxy";
/// The chain that every proxy with rules of iptables has.
const KUBE_SERVICES: &str = "KUBE-SERVICES";
/// A chain of its table nat that only kube-proxy's IPVS mode has (`pkg/proxy/ipvs/proxier.go`).
const KUBE_LOAD_BALANCER: &str = "KUBE-LOAD-BALANCER";

/// What another proxy left.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Whole tables of nf_tables.
    tables: Vec<TableRef>,
    /// Families with rules of iptables, and whose mode's.
    iptables: Vec<(IpFamily, &'static str)>,
    /// Families with the table of the IPVS mode, which says what virtual servers are ours: it goes
    /// with them, and that is `cleanup`'s business.
    ipvs: Vec<IpFamily>,
    /// What removes those; empty where they are to stay.
    plans: Vec<Plan>,
    /// They are to go.
    remove: bool,
    /// As [`Leftovers::find`] was told.
    take_over: bool,
}

/// In whose way the leftovers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// portolan's iptables mode.
    Iptables,
    /// portolan's nftables mode.
    Nftables,
    /// portolan's IPVS mode.
    Ipvs,
    /// Nobody: everything of portolan's and of kube-proxy's but iptables rules.
    Cleanup,
}

impl Leftovers {
    /// Finds what is left of others. portolan's own tables always go when the mode changes;
    /// everything else only if `take_over` says so.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn find<K: NftKernel>(
        kernel: &mut K,
        whose: For,
        take_over: bool,
    ) -> Result<Self, ReadError> {
        let mut found = Self {
            remove: take_over || whose == For::Cleanup,
            take_over,
            ..Self::default()
        };
        for family in IpFamily::ALL {
            let mut nat = false;
            kernel.dump_tables(family, &mut |table| {
                nat |= table.name == XtTable::Nat.name();
                let of_ipvs = table.name == IPVS_TABLE;
                let own = (table.name == TABLE && whose != For::Nftables)
                    || (of_ipvs && whose == For::Cleanup);
                if of_ipvs && matches!(whose, For::Iptables | For::Nftables) {
                    found.ipvs.push(family);
                }
                if table.name == KUBE_PROXY || own {
                    found.tables.push(table_ref(family, table.name));
                }
            })?;
            let native = matches!(whose, For::Nftables | For::Ipvs);
            if nat
                && native
                && let Some(mode) = mode_of_rules(kernel, family)?
            {
                found.iptables.push((family, mode));
            }
        }
        if take_over && !found.iptables.is_empty() {
            let families: Vec<_> = found.iptables.iter().map(|(family, _)| *family).collect();
            let present = iptables::read_families(kernel, &families)?;
            found.plans = present.iter().map(cleanup).collect();
        }
        Ok(found)
    }

    /// Whether they were searched for in order to be replaced.
    #[must_use]
    pub fn take_over(&self) -> bool {
        self.take_over
    }

    /// How many steps their removal takes.
    #[must_use]
    pub fn steps(&self) -> usize {
        let plans = self.plans.iter().map(|plan| plan.counts().steps);
        self.going().count() + plans.sum::<usize>()
    }

    /// What is going to be removed, a line each.
    #[must_use]
    pub fn removals(&self) -> Vec<String> {
        let tables = self.going().map(words);
        let plans = self.plans.iter().filter(|plan| !plan.is_empty());
        let plans = plans.map(|plan| format!("{} KUBE- chains: {}", plan.family(), plan.counts()));
        tables.chain(plans).collect()
    }

    /// What stays, a line each.
    #[must_use]
    pub fn staying(&self) -> Vec<String> {
        let ipvs = self.ipvs.iter();
        let ipvs = ipvs.map(|family| format!("{family} virtual servers of the IPVS mode"));
        if self.remove {
            return ipvs.collect();
        }
        let tables = self.tables.iter().filter(|table| !is_ours(table));
        let iptables = self.iptables.iter();
        tables
            .map(words)
            .chain(
                iptables.map(|(family, mode)| format!("{family} KUBE- chains of the {mode} mode")),
            )
            .chain(ipvs)
            .collect()
    }

    /// Streams the steps of their removal.
    ///
    /// # Errors
    /// What `load` reports.
    pub fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        for table in self.going() {
            load.take(Step::Op(Op::DeleteTable(table.clone())))?;
        }
        for plan in &self.plans {
            plan.ops(&NoRuleset(plan.family()), &mut |step| load.take(step))?;
        }
        Ok(())
    }

    fn going(&self) -> impl Iterator<Item = &TableRef> {
        let tables = self.tables.iter();
        tables.filter(|table| self.remove || is_ours(table))
    }
}

fn is_ours(table: &TableRef) -> bool {
    [TABLE, IPVS_TABLE].contains(&&*table.name)
}

fn words(table: &TableRef) -> String {
    format!("table {} {}", table.family.nft_name(), table.name)
}

fn table_ref(family: IpFamily, name: &str) -> TableRef {
    TableRef {
        family,
        name: name.into(),
    }
}

/// The mode whose rules of iptables are there, if there are any.
fn mode_of_rules<K: NftKernel>(
    kernel: &mut K,
    family: IpFamily,
) -> Result<Option<&'static str>, ReadError> {
    let (mut found, mut ipvs) = (false, false);
    kernel.dump_chains(&table_ref(family, XtTable::Nat.name()), &mut |chain| {
        found |= chain.name == KUBE_SERVICES;
        ipvs |= chain.name == KUBE_LOAD_BALANCER;
    })?;
    let mode = if ipvs { "IPVS" } else { "iptables" };
    Ok(found.then_some(mode))
}
