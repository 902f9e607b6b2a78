//! iptables rules: reading what the kernel holds, planning, committing.

use crate::agent::sync::{self, Done, Load, SyncError};
use crate::kernel::nft::{NftKernel, ReadError, read_consistently};
use crate::model::IpFamily;
use crate::plan::diff::{DesiredState, NoRuleset, Plan, PresentState, cleanup, plan};
use crate::plan::op::TableRef;
use crate::plan::xtables::rule::{XtRuleset, XtTable};

/// Above this many rules in the kernel a load is not cut finer than [`sync::STAGE_BYTES`]: each
/// transaction makes the kernel walk all that packets can reach.
const FEW_RULES: usize = 2000;
/// Into fewer rules a load goes in transactions of about this size, as long as no packet sees them:
/// the room for a batch, and for what the kernel keeps of it until it is committed, grows with its
/// size.
const COLD_STAGE_BYTES: usize = 4 << 20;

/// What was read and what follows from it, at one generation of nf_tables.
#[derive(Debug)]
pub struct Comparison {
    /// The generation that was read.
    pub generation: u32,
    /// Present state by family, in the order asked for.
    pub present: Vec<PresentState>,
    /// The steps from there to the desired state, likewise.
    pub plans: Vec<Plan>,
}

impl Comparison {
    /// Nothing is to be done.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.plans.iter().all(Plan::is_empty)
    }

    /// Streams the steps; `rulesets` are what the plans were made from.
    ///
    /// # Errors
    /// What `load` reports.
    pub fn emit<K: NftKernel>(
        &self,
        rulesets: &[&dyn XtRuleset],
        load: &mut Load<'_, K>,
    ) -> Result<(), SyncError> {
        let present = self.present.iter().map(PresentState::rules);
        if present.sum::<usize>() < FEW_RULES {
            load.stage_at(COLD_STAGE_BYTES);
        }
        for (plan, ruleset) in self.plans.iter().zip(rulesets) {
            load.begin_family()?;
            plan.ops(*ruleset, &mut |step| load.take(step))?;
        }
        Ok(())
    }
}

/// A comparison with the rulesets it was made from.
struct Bound<'a> {
    comparison: Comparison,
    rulesets: &'a [&'a dyn XtRuleset],
}

impl sync::Comparison for Bound<'_> {
    fn generation(&self) -> u32 {
        self.comparison.generation
    }

    fn is_equal(&self) -> bool {
        self.comparison.is_equal()
    }

    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        self.comparison.emit(self.rulesets, load)
    }
}

/// Reads what the kernel holds of the given families, all of one generation.
///
/// # Errors
/// No permission, or the kernel never held still long enough.
pub fn read_present<K: NftKernel>(
    kernel: &mut K,
    families: &[IpFamily],
) -> Result<(u32, Vec<PresentState>), ReadError> {
    read_consistently(kernel, |kernel| read_families(kernel, families))
}

/// Reads what the kernel holds of the given families, of whatever generation; to be called within
/// [`read_consistently`].
///
/// # Errors
/// See [`ReadError`].
pub fn read_families<K: NftKernel>(
    kernel: &mut K,
    families: &[IpFamily],
) -> Result<Vec<PresentState>, ReadError> {
    families
        .iter()
        .map(|family| read_family(kernel, *family))
        .collect()
}

fn read_family<K: NftKernel>(kernel: &mut K, family: IpFamily) -> Result<PresentState, ReadError> {
    let mut present = PresentState::new(family);
    kernel.dump_tables(family, &mut |table| {
        if let Some(table) = known_table(table.name) {
            present.add_table(table);
        }
    })?;
    let mut chains = Vec::<(XtTable, Box<str>)>::new();
    kernel.dump_family_chains(family, &mut |chain| {
        if let Some(table) = known_table(chain.table) {
            present.add_chain(table, chain.name, chain.base.is_some(), chain.uses);
            chains.push((table, chain.name.into()));
        }
    })?;
    // Chain by chain, not table by table: that would list the chains again.
    for (table, chain) in chains {
        let name = TableRef {
            family,
            name: table.name().into(),
        };
        kernel.dump_rules(&name, Some(&chain), &mut |rule| {
            present.add_rule(table, rule.chain, rule.handle, &rule.body);
        })?;
    }
    Ok(present)
}

/// The tables that iptables rules are in.
fn known_table(name: &str) -> Option<XtTable> {
    [XtTable::Filter, XtTable::Nat, XtTable::Mangle]
        .into_iter()
        .find(|table| table.name() == name)
}

/// Compares rulesets with the kernel.
///
/// # Errors
/// See [`read_present`].
pub fn compare<K: NftKernel>(
    kernel: &mut K,
    desired: &[DesiredState],
) -> Result<Comparison, ReadError> {
    let families: Vec<IpFamily> = desired.iter().map(DesiredState::family).collect();
    let (generation, present) = read_present(kernel, &families)?;
    let plans = desired
        .iter()
        .zip(&present)
        .map(|(desired, present)| plan(desired, present));
    Ok(Comparison {
        generation,
        plans: plans.collect(),
        present,
    })
}

/// Finds what is ours in the kernel; the plans remove it.
///
/// # Errors
/// See [`read_present`].
pub fn compare_for_cleanup<K: NftKernel>(
    kernel: &mut K,
    families: &[IpFamily],
) -> Result<Comparison, ReadError> {
    let (generation, present) = read_present(kernel, families)?;
    Ok(Comparison {
        generation,
        plans: present.iter().map(cleanup).collect(),
        present,
    })
}

/// Makes the kernel hold `rulesets`, starting from a comparison that was already made.
///
/// Both families change in one transaction. Only a load above [`STAGE_BYTES`](sync::STAGE_BYTES), or 4 MiB into
/// a kernel that has hardly any rules, takes several:
/// chains that nothing points to yet go first, and the last one makes them reachable, so that
/// packets see the old or the new rules of a family and nothing between.
///
/// # Errors
/// See [`SyncError`].
pub fn commit<K: NftKernel>(
    kernel: &mut K,
    rulesets: &[&dyn XtRuleset],
    comparison: Comparison,
) -> Result<Done, SyncError> {
    let bound = |comparison| Bound {
        comparison,
        rulesets,
    };
    sync::until_done(kernel, bound(comparison), |kernel| {
        let desired: Vec<DesiredState> = rulesets.iter().map(|r| DesiredState::of(*r)).collect();
        compare(kernel, &desired).map(bound)
    })
    .map(|(done, _)| done)
}

/// Removes what [`compare_for_cleanup`] found.
///
/// # Errors
/// See [`SyncError`].
pub fn clean_up<K: NftKernel>(kernel: &mut K, comparison: Comparison) -> Result<Done, SyncError> {
    let families: Vec<IpFamily> = comparison.plans.iter().map(Plan::family).collect();
    let nothing: Vec<NoRuleset> = families.iter().copied().map(NoRuleset).collect();
    let nothing: Vec<&dyn XtRuleset> = nothing.iter().map(|r| r as &dyn XtRuleset).collect();
    let bound = |comparison| Bound {
        comparison,
        rulesets: &nothing,
    };
    sync::until_done(kernel, bound(comparison), |kernel| {
        compare_for_cleanup(kernel, &families).map(bound)
    })
    .map(|(done, _)| done)
}
