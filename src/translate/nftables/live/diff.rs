//! What differs between what some Services held and what they hold.
//!
//! All of them are compared at once, because a front end may move from one to another. Must not
//! change either side.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::super::elements::{Held, element, endpoint_len, slot_element};
use super::super::key::{FrontEnd, front_end, socket};
use super::super::sets::{Comment, SetId};
use super::Lists;
use super::holding::Holding;
use crate::model::{IpFamily, NamespacedName, ServicePortName};
use crate::plan::nftables::SetChange;
use crate::plan::op::Element;

/// A Service and what it held or holds.
pub(super) type Entry = (NamespacedName, Option<Holding>);

/// Elements that come and go, by set.
pub(super) type Changes = BTreeMap<SetId, SetChange>;

/// Adds elements that come or go.
pub(super) fn change(changes: &mut Changes, set: SetId) -> &mut SetChange {
    changes.entry(set).or_insert_with(|| SetChange {
        set: set.name().into(),
        ..SetChange::default()
    })
}

/// Two sides, old and new.
type Sides<T> = [Option<T>; 2];

/// A list of endpoints with who holds it.
type HeldList<'a> = (Holder<'a>, &'a [u8]);

/// Who holds something.
#[derive(Clone, Copy)]
struct Holder<'a> {
    service: &'a NamespacedName,
    holding: &'a Holding,
    port: u16,
}

impl Holder<'_> {
    fn name(&self) -> ServicePortName {
        self.holding.port_name(self.service, self.port)
    }
}

/// The comparison of two sides.
pub(super) struct Diff<'a> {
    family: IpFamily,
    elements: BTreeMap<(SetId, &'a [u8]), Sides<Holder<'a>>>,
    /// By front end and first slot.
    lists: BTreeMap<(&'a [u8], u32), Sides<HeldList<'a>>>,
}

impl<'a> Diff<'a> {
    /// Compares what the same Services held and hold. Shared elements are left out: whether they
    /// change depends on others.
    pub(super) fn new(family: IpFamily, old: &'a [Entry], new: &'a [Entry]) -> Self {
        let mut diff = Self {
            family,
            elements: BTreeMap::new(),
            lists: BTreeMap::new(),
        };
        for (old, new) in old.iter().zip(new) {
            if old.1 != new.1 {
                diff.side(0, old);
                diff.side(1, new);
            }
        }
        diff
    }

    fn side(&mut self, side: usize, (service, holding): &'a Entry) {
        let Some(holding) = holding else {
            return;
        };
        for (port, held) in holding.items(self.family) {
            let holder = Holder {
                service,
                holding,
                port,
            };
            match held {
                Held::Element { set, .. } if set.is_shared() => {}
                Held::Element { set, key } => {
                    let sides = self.elements.entry((set, key)).or_default();
                    if let Some(side) = sides.get_mut(side) {
                        *side = Some(holder);
                    }
                }
                Held::List {
                    front_end,
                    base,
                    endpoints,
                } => {
                    let sides = self.lists.entry((front_end, base)).or_default();
                    if let Some(side) = sides.get_mut(side) {
                        *side = Some((holder, endpoints));
                    }
                }
            }
        }
    }

    /// Adds the elements that differ to `changes`, and the service ports that hold them.
    pub(super) fn changes(&self, changes: &mut Changes, ports: &mut BTreeSet<ServicePortName>) {
        for ((set, key), [old, new]) in &self.elements {
            let is_commented = set.comment_of_element() != Comment::Nothing;
            let same = match (old, new) {
                (Some(old), Some(new)) => !is_commented || text(old) == text(new),
                _ => false,
            };
            if same {
                continue;
            }
            ports.extend(old.iter().chain(new).map(Holder::name));
            let change = change(changes, *set);
            change
                .deleted
                .extend(old.map(|holder| commented(*set, key, &holder)));
            change
                .added
                .extend(new.map(|holder| commented(*set, key, &holder)));
        }
        let len = endpoint_len(self.family);
        for ((front_end, base), [old, new]) in &self.lists {
            let endpoints =
                |side: &Option<HeldList<'a>>| side.map_or(&[][..], |(_, endpoints)| endpoints);
            let (was, is) = (endpoints(old), endpoints(new));
            if was == is {
                continue;
            }
            let holders = old.iter().chain(new);
            ports.extend(holders.map(|(holder, _)| holder.name()));
            let change = change(changes, SetId::Endpoints);
            let (was, is) = (was.chunks_exact(len), is.chunks_exact(len));
            let differ = |of: &std::slice::ChunksExact<'a, u8>,
                          from: &std::slice::ChunksExact<'a, u8>| {
                let from = from.clone().map(Some).chain(std::iter::repeat(None));
                let slots = (*base..).zip(of.clone()).zip(from);
                let differ = slots.filter(|((_, endpoint), other)| Some(*endpoint) != *other);
                let elements =
                    differ.map(|((slot, endpoint), _)| slot_element(front_end, slot, endpoint));
                elements.collect::<Vec<_>>()
            };
            change.deleted.extend(differ(&was, &is));
            change.added.extend(differ(&is, &was));
        }
    }

    /// Endpoints that front ends do not send to any more, under either policy.
    pub(super) fn gone(&self) -> Vec<(FrontEnd, SocketAddr)> {
        let len = endpoint_len(self.family);
        let mut changed: HashMap<&[u8], Sides<HashSet<&[u8]>>> = HashMap::new();
        for ((front_end, _), [old, new]) in &self.lists {
            let same = match (old, new) {
                (Some((_, old)), Some((_, new))) => old == new,
                _ => false,
            };
            if !same {
                changed.entry(front_end).or_default();
            }
        }
        for ((front_end, _), lists) in &self.lists {
            let Some(sides) = changed.get_mut(front_end) else {
                continue;
            };
            for (side, list) in sides.iter_mut().zip(lists) {
                let endpoints = list.iter().flat_map(|(_, list)| list.chunks_exact(len));
                side.get_or_insert_default().extend(endpoints);
            }
        }
        let gone = changed.into_iter().flat_map(|(key, [old, new])| {
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            let gone: Vec<_> = old.difference(&new).filter_map(|e| socket(e)).collect();
            gone.into_iter()
                .filter_map(move |socket| Some((front_end(key)?, socket)))
        });
        let mut gone: Vec<_> = gone.collect();
        gone.sort_unstable();
        gone
    }

    /// Front ends with affinity whose outside traffic is to stay on this node from now on.
    pub(super) fn became_local(&self) -> Vec<FrontEnd> {
        let fronts = self.elements.iter().filter_map(|((set, key), sides)| {
            let joined = *set == SetId::LocalPolicy && matches!(sides, [None, Some(_)]);
            let affinity = self.elements.get(&(SetId::AffinityServices, *key));
            let had_affinity = matches!(affinity, Some([Some(_), Some(_)]));
            (joined && had_affinity).then(|| front_end(key)).flatten()
        });
        fronts.collect()
    }
}

/// The endpoint lists of one side.
pub(super) fn lists(side: &[Entry], family: IpFamily) -> Lists<'_> {
    let holdings = side.iter().filter_map(|(_, holding)| holding.as_ref());
    let lists = holdings.flat_map(|holding| holding.items(family));
    let lists = lists.filter_map(|(_, held)| match held {
        Held::List {
            front_end,
            base,
            endpoints,
        } => Some(((front_end, base), endpoints)),
        Held::Element { .. } => None,
    });
    lists.collect()
}

/// What comments of a service port say; its protocol is no part of it.
fn text(holder: &Holder<'_>) -> (NamespacedName, Arc<str>) {
    let name = holder.name();
    (name.service, name.port)
}

fn commented(set: SetId, key: &[u8], holder: &Holder<'_>) -> Element {
    let names = holder.holding.element_names(holder.service, holder.port);
    element(key.into(), None, names.comment(set))
}
