//! Tables held in memory, compared with the kernel's.

use std::time::Duration;

use crate::agent::backend::Outcome;
use crate::agent::leftovers::{For, Leftovers};
use crate::agent::nftables::STAGE_BYTES;
use crate::agent::nftables::read::{SetCounts, read_objects};
use crate::agent::sync::{Comparison, Load, SyncError};
use crate::kernel::nft::{NftKernel, ReadError, read_within};
use crate::model::Snapshot;
use crate::plan::diff;
use crate::plan::nftables::{Counts, NftRuleset, TableDelta, TableState};
use crate::plan::op::Op;
use crate::plan::op::SetRef;
use crate::translate::nftables::{Adopted, Adoption, LiveTable, NftablesOptions};

/// Elements of a set that is listed to find those that nobody wants. Beyond, the square of their
/// number makes replacing the table quicker.
const LISTED: u32 = 150_000;
/// The sets whose elements come from configuration.
const CONFIGURED: [&str; 2] = ["node-port-addresses", "service-cidrs"];

/// What has to happen to one table.
#[derive(Debug)]
enum Step {
    /// It is written whole; in place of one that is there, or not.
    Load { replaces: bool },
    /// It stays; this changes.
    Change(TableDelta),
}

/// A table with what the kernel lacks of it.
#[derive(Debug)]
struct Compared {
    table: LiveTable,
    step: Step,
}

/// Tables with what the kernel lacks of them, at one generation.
#[derive(Debug)]
pub struct LiveComparison {
    generation: u32,
    tables: Vec<Compared>,
    leftovers: Leftovers,
}

impl Compared {
    fn is_equal(&self) -> bool {
        matches!(&self.step, Step::Change(delta) if delta.is_empty())
    }

    fn counts(&self) -> Counts {
        match &self.step {
            Step::Change(delta) => delta.counts(),
            Step::Load { replaces } => Counts {
                elements_added: self.table.elements(),
                sets_added: self.table.sets().len(),
                chains_written: self.table.chains().len(),
                replaced: *replaces,
                ..Counts::default()
            },
        }
    }

    fn summary(&self) -> String {
        let what = match &self.step {
            Step::Load { replaces: false } => "new table, ",
            Step::Load { replaces: true } => "table replaced, ",
            Step::Change(_) => "",
        };
        let family = self.table.options().family;
        format!("{family}: {what}{}", self.counts())
    }

    /// Streams all steps but those from the first base chain on, and gives these.
    fn emit_unseen<K: NftKernel>(
        &self,
        load: &mut Load<'_, K>,
    ) -> Result<Vec<diff::Step>, SyncError> {
        let mut seen = Vec::new();
        self.table.load(false, &mut |step| {
            let is_base = |op: &Op| matches!(op, Op::AddChain { hook: Some(_), .. });
            let starts = matches!(&step, diff::Step::Op(op) if is_base(op));
            if starts || !seen.is_empty() {
                seen.push(step);
                return Ok(());
            }
            load.take(step)
        })?;
        Ok(seen)
    }
}

impl LiveComparison {
    /// Translates a snapshot and compares. Other programs may get in the way of reading for as
    /// long as `patience` says.
    pub(in crate::agent::nftables) fn new<K: NftKernel>(
        kernel: &mut K,
        snapshot: &Snapshot,
        options: &[NftablesOptions],
        take_over: bool,
        patience: Duration,
    ) -> Result<Self, ReadError> {
        let options = options.iter().cloned();
        let mut tables: Vec<_> = options.map(|o| LiveTable::new(snapshot, o)).collect();
        let (generation, (steps, leftovers)) = read_within(kernel, patience, |kernel| {
            let leftovers = Leftovers::find(kernel, For::Nftables, take_over)?;
            let steps = tables.iter_mut().map(|table| step(kernel, table));
            Ok((steps.collect::<Result<Vec<_>, _>>()?, leftovers))
        })?;
        let tables = tables.into_iter().zip(steps);
        Ok(Self {
            generation,
            tables: tables
                .map(|(table, step)| Compared { table, step })
                .collect(),
            leftovers,
        })
    }

    /// The tables as they should be.
    pub(in crate::agent::nftables) fn tables(&self) -> impl Iterator<Item = &LiveTable> {
        self.tables.iter().map(|compared| &compared.table)
    }

    /// Whether what another proxy left is to be replaced.
    pub(in crate::agent::nftables) fn take_over(&self) -> bool {
        self.leftovers.take_over()
    }

    /// The changes of tables that stay.
    pub(in crate::agent::nftables) fn changes(&self) -> impl Iterator<Item = &TableDelta> {
        let steps = self.tables.iter().map(|compared| &compared.step);
        steps.filter_map(|step| match step {
            Step::Change(delta) => Some(delta),
            Step::Load { .. } => None,
        })
    }

    /// The tables alone, when the kernel holds them.
    pub(super) fn into_tables(self) -> Vec<LiveTable> {
        let tables = self.tables.into_iter();
        tables.map(|compared| compared.table).collect()
    }
}

impl Outcome for LiveComparison {
    fn is_equal(&self) -> bool {
        self.tables.iter().all(Compared::is_equal) && self.leftovers.steps() == 0
    }

    fn steps(&self) -> usize {
        let counts = self.tables.iter().map(Compared::counts);
        let steps = counts.map(|c| c.elements_added + c.elements_deleted);
        steps.sum::<usize>() + self.leftovers.steps()
    }

    fn summary(&self) -> Vec<String> {
        let tables = self.tables.iter().filter(|table| !table.is_equal());
        let removals = self.removals().into_iter();
        let removals = removals.map(|what| format!("remove {what}"));
        tables.map(Compared::summary).chain(removals).collect()
    }

    fn holdings(&self) -> String {
        let elements: usize = self.tables().map(LiveTable::elements).sum();
        let chains = self.tables().flat_map(LiveTable::chains);
        let rules: usize = chains.map(|chain| chain.rules.len()).sum();
        format!("{rules} rules and {elements} elements")
    }

    fn removals(&self) -> Vec<String> {
        self.leftovers.removals()
    }

    fn competitors(&self) -> Vec<String> {
        self.leftovers.staying()
    }
}

impl Comparison for LiveComparison {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_equal(&self) -> bool {
        Outcome::is_equal(self)
    }

    /// New tables first, in stages that no packet sees; what makes them and all else visible is one
    /// transaction.
    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        load.stage_at(STAGE_BYTES);
        let mut seen = Vec::new();
        for compared in &self.tables {
            if matches!(compared.step, Step::Load { replaces: false }) {
                seen.extend(compared.emit_unseen(load)?);
            }
        }
        for Compared { table, step } in &self.tables {
            match step {
                Step::Load { replaces: false } => {}
                Step::Load { replaces: true } => {
                    load.begin_family()?;
                    table.load(true, &mut |step| load.take(step))?;
                }
                Step::Change(delta) => {
                    load.begin_family()?;
                    delta.ops(&mut |step| load.take(step))?;
                }
            }
        }
        for step in seen {
            load.take(step)?;
        }
        self.leftovers.emit(load)
    }
}

fn step<K: NftKernel>(kernel: &mut K, table: &mut LiveTable) -> Result<Step, ReadError> {
    let Some((mut present, counts)) = read_objects(kernel, &table.table())? else {
        return Ok(Step::Load { replaces: false });
    };
    for set in CONFIGURED {
        if !present.sets.contains_key(set) {
            continue;
        }
        let name = set_ref(table, set);
        kernel.dump_elements(&name, &mut |view| {
            present.add_element(set, view.to_element());
        })?;
    }
    match adopt(kernel, table, &present)? {
        Adoption::Replace => Ok(Step::Load { replaces: true }),
        Adoption::Keep(adopted) => without_strangers(kernel, table, adopted, &counts),
    }
}

fn adopt<K: NftKernel>(
    kernel: &mut K,
    table: &mut LiveTable,
    present: &TableState,
) -> Result<Adoption, ReadError> {
    let family_table = table.table();
    table.adopt(present, &mut |set, keys, visit| {
        let set = SetRef {
            table: family_table.clone(),
            name: set.into(),
        };
        kernel.get_elements(&set, keys, &mut |index, view| {
            visit(index, view.map(|view| view.to_element()));
        })
    })
}

/// Finds the elements that nobody wants, by their number first.
fn without_strangers<K: NftKernel>(
    kernel: &mut K,
    table: &LiveTable,
    mut adopted: Adopted,
    counts: &SetCounts,
) -> Result<Step, ReadError> {
    for (name, count) in counts {
        let Some(found) = adopted.found.get(name) else {
            continue;
        };
        if count.is_some_and(|count| usize::try_from(count) == Ok(*found)) {
            continue;
        }
        if count.is_some_and(|count| count > LISTED) {
            return Ok(Step::Load { replaces: true });
        }
        let set = set_ref(table, name);
        let strangers = table.strangers(name, |visit| {
            kernel.dump_elements(&set, &mut |view| visit(view.to_element()))
        })?;
        if !strangers.is_empty() {
            adopted.delete(name, strangers);
        }
    }
    Ok(Step::Change(adopted.delta))
}

fn set_ref(table: &LiveTable, name: &str) -> SetRef {
    SetRef {
        table: table.table(),
        name: name.into(),
    }
}
