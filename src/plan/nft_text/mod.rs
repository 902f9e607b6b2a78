//! A ruleset in the words of nft, in the form of `nft list ruleset`.
//!
//! What nft 1.0.6 itself lists for these rules leaves out comments and, where libxtables is not at
//! hand, most conditions. Here every condition is said in nft's own words, comments are rule
//! comments, and `nft -f` takes the text, with two exceptions that have no words in nft: `recent`
//! and `nfacct` appear as nft names extensions it cannot translate, `xt match recent`, with
//! iptables' words behind `#`. The text is for reading and comparing: portolan writes the rules as
//! iptables does, not like this.

mod rule;

use std::fmt::{self, Write};

use super::diff::owned::{TABLES, builtin_hook};
use super::op::Hook;
use super::xtables::rule::{XtJump, XtRule, XtRuleset, XtTable};
use crate::model::IpFamily;

pub use rule::rule_text;

/// Writes a ruleset: tables with their built-in chains and ours.
///
/// # Errors
/// Only those of `out`.
pub fn write(ruleset: &dyn XtRuleset, out: &mut dyn Write) -> fmt::Result {
    let jumps = ruleset.jumps();
    for table in TABLES {
        let mut text = Table {
            family: ruleset.family(),
            out,
            chains: 0,
            table,
        };
        text.builtins(&jumps)?;
        let mut outcome = Ok(());
        ruleset.for_each_chain(&mut |chain| {
            if outcome.is_ok() && chain.table == table {
                outcome = text.chain(&chain.name, None, &mut chain.rules.iter());
            }
        });
        outcome?;
        text.end()?;
    }
    Ok(())
}

/// A table being written; nothing is written of one without chains.
struct Table<'a> {
    family: IpFamily,
    out: &'a mut dyn Write,
    chains: usize,
    table: XtTable,
}

impl Table<'_> {
    /// The built-in chains that are jumped from, the last jump first as they will be.
    fn builtins(&mut self, jumps: &[XtJump]) -> fmt::Result {
        let mut names: Vec<&str> = Vec::new();
        for jump in jumps.iter().filter(|j| j.table == self.table) {
            if !names.contains(&jump.chain) {
                names.push(jump.chain);
            }
        }
        let table = self.table;
        for name in names {
            let of_chain = jumps.iter().rev();
            let of_chain = of_chain.filter(|j| j.table == table && j.chain == name);
            let hook = builtin_hook(table, name);
            self.chain(name, hook.as_ref(), &mut of_chain.map(|j| &j.rule))?;
        }
        Ok(())
    }

    fn chain(
        &mut self,
        name: &str,
        hook: Option<&Hook>,
        rules: &mut dyn Iterator<Item = &XtRule>,
    ) -> fmt::Result {
        if self.chains == 0 {
            writeln!(
                self.out,
                "table {} {} {{",
                self.family.nft_name(),
                self.table.name()
            )?;
        } else {
            writeln!(self.out)?;
        }
        self.chains += 1;
        writeln!(self.out, "\tchain {name} {{")?;
        if let Some(hook) = hook {
            writeln!(self.out, "\t\t{}", hook_text(hook))?;
        }
        for rule in rules {
            writeln!(self.out, "\t\t{}", rule_text(rule, self.family))?;
        }
        writeln!(self.out, "\t}}")
    }

    fn end(self) -> fmt::Result {
        if self.chains > 0 {
            writeln!(self.out, "}}")
        } else {
            Ok(())
        }
    }
}

fn hook_text(hook: &Hook) -> String {
    let names = ["prerouting", "input", "forward", "output", "postrouting"];
    let name = usize::try_from(hook.hook)
        .ok()
        .and_then(|at| names.get(at))
        .unwrap_or(&"");
    let priority = match (hook.priority, *name) {
        (0, _) => "filter".to_owned(),
        (-100, "prerouting") => "dstnat".to_owned(),
        (100, "postrouting") => "srcnat".to_owned(),
        (-150, _) => "mangle".to_owned(),
        (other, _) => other.to_string(),
    };
    let kind = hook.chain_type;
    format!("type {kind} hook {name} priority {priority}; policy accept;")
}
