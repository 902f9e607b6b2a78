//! Foreign changes in words: one line for the log, one label for the metric.

use std::fmt;

use crate::kernel::nft::{Damage, ObjectKind, Process, Transaction};

/// Objects named in one line.
const NAMED: usize = 4;

/// What became of an object, as a value of a metric's label: few, and the same for ever.
#[must_use]
pub fn label(damage: &Damage) -> &'static str {
    use ObjectKind::{Chain, Element, Flowtable, Object, Rule, Set, Table};
    match (damage.kind, damage.deleted > 0, damage.added > 0) {
        (Table, true, false) => "table_deleted",
        (Table, true, true) => "table_replaced",
        (Table, false, _) => "table_changed",
        (Chain, true, false) => "chain_deleted",
        (Chain, true, true) => "chain_replaced",
        (Chain, false, _) => "chain_added",
        (Rule, true, false) => "rules_deleted",
        (Rule, true, true) => "rules_replaced",
        (Rule, false, _) => "rules_added",
        (Set, true, false) => "set_deleted",
        (Set, true, true) => "set_replaced",
        (Set, false, _) => "set_added",
        (Element, true, false) => "elements_deleted",
        (Element, true, true) => "elements_replaced",
        (Element, false, _) => "elements_added",
        (Object | Flowtable, ..) => "object_changed",
    }
}

/// What a transaction did to one object, or to many.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a>(&'a Damage);

/// The damage worth telling: what lies in a deleted table goes without saying, as do the rules of
/// a deleted chain and the elements of a deleted set.
#[must_use]
pub fn told(transaction: &Transaction) -> Vec<Told<'_>> {
    let damage = &transaction.damage;
    let within_another = |inner: &Damage| {
        damage.iter().any(|outer| {
            let same_table = (outer.family, &outer.table) == (inner.family, &inner.table);
            let contains = match (outer.kind, inner.kind) {
                (ObjectKind::Table, kind) => kind != ObjectKind::Table,
                (ObjectKind::Chain, ObjectKind::Rule) | (ObjectKind::Set, ObjectKind::Element) => {
                    outer.name.is_some() && outer.name == inner.name
                }
                _ => false,
            };
            same_table && contains && (outer.deleted > 0 || outer.kind != ObjectKind::Table)
        })
    };
    damage
        .iter()
        .filter(|inner| !within_another(inner))
        .map(Told)
        .collect()
}

/// A whole transaction in one line: `table ip portolan deleted by nft (pid 123)`.
#[must_use]
pub fn by(transaction: &Transaction) -> String {
    let told = told(transaction);
    let mut parts: Vec<String> = told.iter().take(NAMED).map(ToString::to_string).collect();
    if told.len() > NAMED {
        parts.push(format!("and {} more changes", told.len() - NAMED));
    }
    format!("{} by {}", parts.join(", "), Author(&transaction.process))
}

/// What several transactions did, in one line: the first few, and how many more.
#[must_use]
pub fn together<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = texts.len().saturating_sub(NAMED);
    let mut parts: Vec<_> = texts.take(NAMED).map(str::to_owned).collect();
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join("; ")
}

impl Told<'_> {
    /// See [`label`].
    #[must_use]
    pub fn label(&self) -> &'static str {
        label(self.0)
    }

    /// The damage itself.
    #[must_use]
    pub fn damage(&self) -> &Damage {
        self.0
    }

    /// `table ip portolan`, `chain services in table ip portolan`, `127 chains in table …`.
    fn object(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let damage = self.0;
        let table = format!("table {} {}", damage.family.nft_name(), damage.table);
        match (damage.kind, &damage.name) {
            (ObjectKind::Table, _) => f.write_str(&table),
            (_, Some(name)) => write!(f, "{} {name} of {table}", noun(damage)),
            (_, None) => write!(f, "other {}s of {table}", noun(damage)),
        }
    }
}

/// What the object with the name is.
fn noun(damage: &Damage) -> &'static str {
    match damage.kind {
        ObjectKind::Table => "table",
        ObjectKind::Chain | ObjectKind::Rule => "chain",
        ObjectKind::Set | ObjectKind::Element if damage.map => "map",
        ObjectKind::Set | ObjectKind::Element => "set",
        ObjectKind::Object => "object",
        ObjectKind::Flowtable => "flow table",
    }
}

/// `3 elements`, `1 rule`.
fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { added, deleted, .. } = *self.0;
        let inner = match self.0.kind {
            ObjectKind::Rule => "rule",
            ObjectKind::Element => "element",
            _ => {
                self.object(f)?;
                return f.write_str(match (deleted > 0, added > 0) {
                    (true, false) => " deleted",
                    (true, true) => " deleted and made anew",
                    (false, _) => " added or changed",
                });
            }
        };
        match (deleted, added) {
            (_, 0) => write!(f, "{} deleted from ", count(deleted, inner))?,
            (0, _) => write!(f, "{} added to ", count(added, inner))?,
            _ => write!(
                f,
                "{} deleted from and {added} added to ",
                count(deleted, inner)
            )?,
        }
        self.object(f)
    }
}

/// Who did it.
struct Author<'a>(&'a Process);

impl fmt::Display for Author<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.name {
            // Any program may call itself anything.
            Some(name) => write!(f, "{}", name.escape_debug())?,
            None => f.write_str("an unknown program")?,
        }
        match self.0.pid {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IpFamily;

    fn damage(kind: ObjectKind, name: &str, added: usize, deleted: usize) -> Damage {
        let name = (!name.is_empty()).then(|| name.into());
        let mut damage = Damage::new(IpFamily::V4, "portolan".into(), kind, name);
        damage.added = added;
        damage.deleted = deleted;
        damage
    }

    fn transaction(damage: Vec<Damage>) -> Transaction {
        Transaction {
            generation: 7,
            process: Process {
                pid: Some(123),
                name: Some("nft".into()),
            },
            damage,
        }
    }

    #[test]
    fn a_deleted_table_is_told_without_its_contents() {
        let transaction = transaction(vec![
            damage(ObjectKind::Rule, "services", 0, 12),
            damage(ObjectKind::Set, "endpoints", 0, 1),
            damage(ObjectKind::Chain, "services", 0, 1),
            damage(ObjectKind::Table, "portolan", 0, 1),
        ]);
        assert_eq!(
            by(&transaction),
            "table ip portolan deleted by nft (pid 123)"
        );
        let labels: Vec<_> = told(&transaction).iter().map(Told::label).collect();
        assert_eq!(labels, ["table_deleted"]);
    }

    #[test]
    fn rules_of_a_deleted_chain_and_elements_of_a_deleted_set_go_without_saying() {
        let transaction = transaction(vec![
            damage(ObjectKind::Rule, "services", 0, 12),
            damage(ObjectKind::Chain, "services", 0, 1),
            damage(ObjectKind::Rule, "pick", 0, 1),
            damage(ObjectKind::Element, "large", 0, 2),
            damage(ObjectKind::Set, "large", 0, 1),
        ]);
        assert_eq!(
            by(&transaction),
            "chain services of table ip portolan deleted, \
             1 rule deleted from chain pick of table ip portolan, \
             set large of table ip portolan deleted by nft (pid 123)"
        );
    }

    #[test]
    fn rules_and_elements_are_counted() {
        let of = |damage: Damage| told(&transaction(vec![damage])).remove(0).to_string();
        assert_eq!(
            of(damage(ObjectKind::Rule, "services", 0, 12)),
            "12 rules deleted from chain services of table ip portolan"
        );
        assert_eq!(
            of(damage(ObjectKind::Element, "large", 0, 3)),
            "3 elements deleted from set large of table ip portolan"
        );
        let mut of_map = damage(ObjectKind::Element, "endpoints", 1, 0);
        of_map.map = true;
        assert_eq!(
            of(of_map),
            "1 element added to map endpoints of table ip portolan"
        );
        assert_eq!(
            of(damage(ObjectKind::Rule, "", 2, 2000)),
            "2000 rules deleted from and 2 added to other chains of table ip portolan"
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let damage: Vec<_> = (0..9)
            .map(|n| damage(ObjectKind::Chain, &format!("c{n}"), 0, 1))
            .collect();
        let text = by(&transaction(damage));
        assert!(
            text.ends_with(
                "chain c3 of table ip portolan deleted, and 5 more changes by nft (pid 123)"
            ),
            "{text}"
        );
    }

    #[test]
    fn many_transactions_are_one_line() {
        let texts = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(together(texts[..1].iter().copied()), "a");
        assert_eq!(together(texts.into_iter()), "a; b; c; d; and 2 more");
    }

    #[test]
    fn a_program_cannot_forge_a_log_line_with_its_name() {
        let mut transaction = transaction(vec![damage(ObjectKind::Table, "portolan", 0, 1)]);
        transaction.process.name = Some("a\nb\u{1b}[2J".into());
        assert_eq!(
            by(&transaction),
            "table ip portolan deleted by a\\nb\\u{1b}[2J (pid 123)"
        );
        transaction.process = Process::default();
        assert_eq!(
            by(&transaction),
            "table ip portolan deleted by an unknown program"
        );
    }
}
