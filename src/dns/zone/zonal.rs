//! Endpoints of a topology zone, asked for by name: `ZONE.pin._zone.SERVICE.NAMESPACE.svc` and
//! `ZONE.prefer._zone.…`, as CoreDNS' option `zonal` has them. Never silently: a Service's own name
//! means all its endpoints.

use super::Zone;
use super::answer::{Answer, Ask};
use super::entry::{Entry, Kind, Target};
use super::question::Rest;
use super::srv::Filter;

/// What to do where no endpoint is in the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    /// There is none.
    Pin,
    /// Take all.
    Prefer,
}

impl Zone {
    /// The answer to a name of the zonal form; `None` if it has not got that form.
    pub(super) fn zonal(&self, ask: Ask<'_>, rest: &Rest<'_>) -> Option<Answer> {
        let labels = rest.labels()?;
        let is = |label: &[u8], text: &str| label.eq_ignore_ascii_case(text.as_bytes());
        let [category, namespace, service, zonal, directive, zone @ ..] = labels else {
            return None;
        };
        if !is(category, "svc") || !is(zonal, "_zone") || zone.is_empty() {
            return None;
        }
        let directive = match directive {
            label if is(label, "pin") => Directive::Pin,
            label if is(label, "prefer") => Directive::Prefer,
            _ => return Some(self.no_name(ask)),
        };
        let entry = self.entry(service, namespace);
        let entry = entry.filter(|entry| entry.kind == Kind::Headless);
        Some(match entry {
            Some(entry) if !entry.has_no_endpoints() => {
                self.in_zone(ask, entry, directive, &dotted(zone))
            }
            _ => self.no_name(ask),
        })
    }

    fn in_zone(&self, ask: Ask<'_>, entry: &Entry, directive: Directive, zone: &[u8]) -> Answer {
        let is_there = |target: &&Target| {
            let there = target.zone.as_deref();
            there.is_some_and(|there| there.as_bytes().eq_ignore_ascii_case(zone))
        };
        let there = |family: &[Target]| family.iter().filter(is_there).cloned().collect::<Vec<_>>();
        let [v4, v6] = entry.targets().map(there);
        if v4.is_empty() && v6.is_empty() && directive == Directive::Prefer {
            return self.of_targets(ask, entry, entry.targets(), Filter::All);
        }
        self.of_targets(ask, entry, [&v4, &v6], Filter::All)
    }
}

/// Labels from the right as a value: zones may have dots.
fn dotted(labels: &[&[u8]]) -> Vec<u8> {
    let labels: Vec<&[u8]> = labels.iter().rev().copied().collect();
    labels.join(&b'.')
}
