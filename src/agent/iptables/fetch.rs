//! Reading single chains again, for their text.

use crate::kernel::nft::{NftKernel, ReadError};
use crate::model::IpFamily;
use crate::plan::expr::RuleBody;
use crate::plan::op::TableRef;
use crate::plan::xtables::rule::XtTable;

/// How often a chain is read when other programs commit meanwhile.
const FETCH_ATTEMPTS: u32 = 50;

/// Reads a chain's present rules with their handles.
///
/// For texts only: what is read may be newer than the comparison that the plan was made from.
pub fn fetch<K: NftKernel>(
    kernel: &mut K,
    family: IpFamily,
) -> impl FnMut(XtTable, &str) -> Result<Vec<(u64, RuleBody)>, ReadError> {
    move |table, chain| {
        let table = TableRef {
            family,
            name: table.name().into(),
        };
        let mut attempt = 1;
        loop {
            let mut rules = Vec::new();
            match kernel.dump_rules(&table, Some(chain), &mut |rule| {
                rules.push((rule.handle, rule.body));
            }) {
                Err(ReadError::Interrupted) if attempt < FETCH_ATTEMPTS => attempt += 1,
                outcome => return outcome.map(|()| rules),
            }
        }
    }
}
