//! The in-memory nf_tables behind the boundary: commits as the real one reports them, and dumps.

use super::ruleset::Chain;
use super::sets::Set;
use super::{FakeBatch, FakeKernel};
use crate::kernel::nft::batch::{Batch, Committed};
use crate::kernel::nft::boundary::NftKernel;
use crate::kernel::nft::error::{CommitError, ReadError};
use crate::kernel::nft::view::{BaseView, ChainView, ElementView, RuleView, SetView, TableView};
use crate::model::IpFamily;
use crate::plan::op::{Element, SetRef, TableRef};

impl NftKernel for FakeKernel {
    type Batch = FakeBatch;

    fn batch(&self, generation: Option<u32>) -> FakeBatch {
        FakeBatch {
            encoded: Batch::new(generation),
            steps: Vec::new(),
            generation,
        }
    }

    fn commit(&mut self, batch: FakeBatch) -> Result<Committed, CommitError> {
        if let Some(ops) = self.foreign.pop_front() {
            self.commit_as_foreign(&ops)?;
        }
        if let Some(expected) = batch.generation
            && expected != self.generation
        {
            return Err(CommitError::Conflict { expected });
        }
        let before = self.generation;
        let handles = self.apply(batch.steps.iter().map(|step| (&step.op, step.echo)))?;
        let messages = batch.steps.len();
        self.commits += usize::from(self.generation != before);
        if std::mem::take(&mut self.lose_next_answer) {
            return Err(CommitError::Unconfirmed {
                messages,
                committed: None,
            });
        }
        Ok(Committed {
            generation: self.generation,
            handles,
            messages,
            bytes: batch.encoded.finish().len_bytes(),
        })
    }

    fn generation(&mut self) -> Result<u32, ReadError> {
        Ok(self.generation)
    }

    fn dump_tables(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(TableView<'_>),
    ) -> Result<(), ReadError> {
        for (key, table) in self.ruleset.tables() {
            if key.family == family {
                visit(TableView {
                    family,
                    name: &key.name,
                    handle: table.handle,
                    dormant: false,
                    comment: table.comment.as_deref(),
                    uses: u32::try_from(table.chains().len() + table.sets().len())
                        .unwrap_or(u32::MAX),
                });
            }
        }
        self.check_interruption()
    }

    fn dump_family_chains(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError> {
        let tables = self.ruleset.tables();
        for (key, table) in tables.filter(|(key, _)| key.family == family) {
            for chain in table.chains() {
                visit(chain_view(key, chain, table.uses(&chain.name)));
            }
        }
        self.check_interruption()
    }

    fn dump_chains(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError> {
        if let Some(found) = self.ruleset.table(table) {
            for chain in found.chains() {
                visit(chain_view(table, chain, found.uses(&chain.name)));
            }
        }
        self.check_interruption()
    }

    fn dump_rules(
        &mut self,
        table: &TableRef,
        chain: Option<&str>,
        visit: &mut dyn FnMut(RuleView<'_>),
    ) -> Result<(), ReadError> {
        let Some(found) = self.ruleset.table(table) else {
            return self.check_interruption();
        };
        for in_chain in found.chains() {
            if chain.is_some_and(|wanted| wanted != &*in_chain.name) {
                continue;
            }
            let mut position = None;
            for rule in &in_chain.rules {
                let mut body = rule.body.clone();
                body.compat = None;
                visit(RuleView {
                    family: table.family,
                    table: &table.name,
                    chain: &in_chain.name,
                    handle: rule.handle,
                    position: position.replace(rule.handle),
                    body,
                });
            }
        }
        self.check_interruption()
    }

    fn dump_sets(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(SetView<'_>),
    ) -> Result<(), ReadError> {
        if let Some(found) = self.ruleset.table(table) {
            for (name, set) in found.sets() {
                visit(set_view(table, name, set));
            }
        }
        self.check_interruption()
    }

    fn dump_elements(
        &mut self,
        set: &SetRef,
        visit: &mut dyn FnMut(ElementView<'_>),
    ) -> Result<(), ReadError> {
        if let Some(found) = self.set(set) {
            found.elements().map(element_view).for_each(visit);
        }
        self.check_interruption()
    }

    fn get_elements(
        &mut self,
        set: &SetRef,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<ElementView<'_>>),
    ) -> Result<(), ReadError> {
        let found = self.set(set);
        for (index, key) in keys.iter().enumerate() {
            let element = found.and_then(|set| set.get(key));
            visit(index, element.map(element_view));
        }
        self.check_interruption()
    }
}

fn element_view(element: &Element) -> ElementView<'_> {
    ElementView {
        key: &element.key,
        data: element.data.as_deref(),
        interval_end: element.interval_end,
        comment: element.comment.as_deref(),
        ..ElementView::default()
    }
}

fn set_view<'a>(table: &'a TableRef, name: &'a str, set: &'a Set) -> SetView<'a> {
    SetView {
        family: table.family,
        table: &table.name,
        name,
        handle: set.handle,
        flags: set.spec.flags,
        key_type: set.spec.key_type,
        key_len: set.spec.key_len,
        data: set.spec.data,
        size: set.spec.size,
        userdata: &set.spec.userdata,
        count: u32::try_from(set.elements().len()).ok(),
    }
}

fn chain_view<'a>(table: &'a TableRef, chain: &'a Chain, uses: u32) -> ChainView<'a> {
    ChainView {
        family: table.family,
        table: &table.name,
        name: &chain.name,
        handle: chain.handle,
        uses,
        base: chain.hook.as_ref().map(|hook| BaseView {
            chain_type: hook.chain_type,
            hook: hook.hook,
            priority: hook.priority,
            policy_accept: true,
        }),
    }
}
