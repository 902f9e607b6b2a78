//! One family's desired state, kept from change to change: a change of a Service costs time for
//! that Service only.
//!
//! The same operation makes the first state and every later one, so that any sequence of changes
//! ends as a fresh start on the last snapshot would.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::front_end::{FrontEnd, Translation};
use super::options::IpvsOptions;
use super::rules;
use super::sets::IpvsSet;
use crate::model::{NamespacedName, Snapshot, proxied_ports};
use crate::plan::ipvs::{Server, ServerKey, ServerSpec};
use crate::plan::nftables::{
    ChainDef, IPVS_COMMENT, IPVS_TABLE, NftRuleset, SOURCE_RANGES, SetChange, SetDef, TableDelta,
};
use crate::plan::op::{Element, TableRef};
use crate::translate::nftables::configured;
use crate::translate::nftables::key::Key;
use crate::translate::nftables::sets::SetId;

/// Who claims a front end; the first in this order has it. Cluster IPs come before all others,
/// because those are allocated and others are asked for; what nobody claims any more comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claimant {
    Cluster(NamespacedName, u16),
    Outside(NamespacedName, u16),
    Lingering,
}

/// An element by set and key.
type ElementId = (IpvsSet, Box<[u8]>);

/// How many hold an element, and its comment.
#[derive(Clone, Debug)]
struct Held {
    count: usize,
    comment: Option<Arc<str>>,
}

/// What a Service holds.
#[derive(Clone, Debug, Default)]
struct Holding {
    claims: Vec<(ServerKey, Claimant)>,
    hairpins: BTreeSet<Box<[u8]>>,
}

/// What a change changes.
#[derive(Clone, Debug)]
pub struct TableUpdate {
    /// Virtual servers that differ: before and after.
    pub servers: BTreeMap<ServerKey, (Option<Server>, Option<Server>)>,
    /// Addresses that come to the dummy device.
    pub addresses_added: BTreeSet<IpAddr>,
    /// Addresses that go from it.
    pub addresses_deleted: BTreeSet<IpAddr>,
    /// Elements that come, with the sets and rules they need.
    pub added: TableDelta,
    /// Elements that go, when what they are for is gone.
    pub deleted: TableDelta,
    /// What was wrong with annotations.
    pub mistakes: Vec<String>,
}

impl TableUpdate {
    /// Nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
            && self.addresses_added.is_empty()
            && self.addresses_deleted.is_empty()
            && self.added.is_empty()
            && self.deleted.is_empty()
    }
}

/// The desired state of one family.
#[derive(Clone, Debug)]
pub struct IpvsTable {
    options: IpvsOptions,
    services: HashMap<NamespacedName, Holding>,
    front_ends: HashMap<ServerKey, BTreeMap<Claimant, FrontEnd>>,
    elements: HashMap<ElementId, Held>,
    /// How many elements there are for each length of source ranges.
    lengths: BTreeMap<u8, usize>,
    /// Front ends where somebody else's virtual servers are: nobody gets them.
    forbidden: BTreeSet<ServerKey>,
    /// Kernel settings as they were before, `name=value` each.
    settings: Vec<Arc<str>>,
}

/// What was before a change, of everything it touches.
#[derive(Default)]
struct Before {
    front_ends: BTreeMap<ServerKey, Option<FrontEnd>>,
    elements: BTreeMap<ElementId, Option<Option<Arc<str>>>>,
    lengths: Vec<u8>,
}

impl IpvsTable {
    /// The state of a snapshot, and what was wrong with annotations.
    #[must_use]
    pub fn new(snapshot: &Snapshot, options: IpvsOptions) -> (Self, Vec<String>) {
        let mut table = Self {
            options,
            services: HashMap::new(),
            front_ends: HashMap::new(),
            elements: HashMap::new(),
            lengths: BTreeMap::new(),
            forbidden: BTreeSet::new(),
            settings: Vec::new(),
        };
        let all = snapshot.services.keys().cloned().collect();
        let update = table.update(snapshot, &all, false);
        (table, update.mistakes)
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &IpvsOptions {
        &self.options
    }

    /// Writes down what kernel settings were, `name=value` each.
    pub fn remember(&mut self, settings: impl IntoIterator<Item = String>) {
        self.settings = settings.into_iter().map(Into::into).collect();
    }

    /// The virtual servers.
    pub fn servers(&self) -> impl Iterator<Item = (&ServerKey, &Server)> {
        let owners = self.front_ends.iter();
        owners.filter_map(|(key, claims)| Some((key, &claims.values().next()?.server)))
    }

    /// A virtual server.
    #[must_use]
    pub fn server(&self, key: &ServerKey) -> Option<&Server> {
        self.owner(key).map(|front_end| &front_end.server)
    }

    /// Who a virtual server is for: `default/web:http`.
    #[must_use]
    pub fn name_of(&self, key: &ServerKey) -> Option<&Arc<str>> {
        self.owner(key).map(|front_end| &front_end.name)
    }

    /// Addresses of the dummy device.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        let owners = self.front_ends.iter();
        let bound = owners.filter(|(_, claims)| claims.values().next().is_some_and(|f| f.bound));
        bound.map(|(key, _)| key.address).collect()
    }

    /// Whether an address belongs on the dummy device.
    #[must_use]
    pub fn is_bound(&self, address: IpAddr) -> bool {
        let key = Key::new().address(address).bytes();
        self.elements.contains_key(&(IpvsSet::Addresses, key))
    }

    /// Front ends that several claim: which, who has it, who goes without.
    pub fn conflicts(&self) -> impl Iterator<Item = (&ServerKey, &Arc<str>, &Arc<str>)> {
        self.front_ends.iter().flat_map(|(key, claims)| {
            let owner = claims.values().next();
            let losers = claims.iter().skip(1);
            let losers = losers.filter(|(claimant, _)| **claimant != Claimant::Lingering);
            losers.filter_map(move |(_, loser)| Some((key, &owner?.name, &loser.name)))
        })
    }

    fn owner(&self, key: &ServerKey) -> Option<&FrontEnd> {
        self.front_ends.get(key)?.values().next()
    }

    /// Follows a change of these Services. With `linger`, virtual servers that nobody claims any
    /// more stay, without real servers, until [`release`](Self::release).
    pub fn update(
        &mut self,
        snapshot: &Snapshot,
        touched: &BTreeSet<NamespacedName>,
        linger: bool,
    ) -> TableUpdate {
        let mut before = self.before();
        let mut mistakes = Vec::new();
        for name in touched {
            self.forget(name, &mut before);
        }
        for name in touched {
            self.translate(snapshot, name, &mut before, &mut mistakes);
        }
        if linger {
            self.linger(&mut before);
        }
        let mut update = self.settle(before);
        update.mistakes = mistakes;
        update
    }

    /// Keeps virtual servers that nobody claims, without real servers.
    pub fn hold(&mut self, servers: impl IntoIterator<Item = (ServerKey, ServerSpec, bool)>) {
        let mut before = self.before();
        for (key, spec, bound) in servers {
            let server = Server {
                spec,
                reals: BTreeMap::new(),
            };
            let front_end = FrontEnd {
                name: "deleted".into(),
                server,
                bound,
                marks: Vec::new(),
            };
            self.claim(key, Claimant::Lingering, front_end, &mut before);
        }
        self.settle(before);
    }

    /// Nobody gets this front end: somebody else's virtual server is there.
    pub fn forbid(&mut self, key: &ServerKey) {
        self.forbidden.insert(*key);
        let mut before = self.before();
        let claims = self
            .front_ends
            .get(key)
            .map(|claims| claims.keys().cloned());
        let claims: Vec<_> = claims.into_iter().flatten().collect();
        for claimant in claims {
            self.renounce(key, &claimant, &mut before);
        }
        self.settle(before);
    }

    /// Gives up virtual servers that are kept though nobody claims them.
    pub fn release(&mut self, keys: &[ServerKey]) -> TableUpdate {
        let mut before = self.before();
        for key in keys {
            self.renounce(key, &Claimant::Lingering, &mut before);
        }
        self.settle(before)
    }

    /// Virtual servers that are kept though nobody claims them.
    pub fn lingering(&self) -> impl Iterator<Item = &ServerKey> {
        let all = self.front_ends.iter();
        let kept = all.filter(|(_, c)| c.keys().next() == Some(&Claimant::Lingering));
        kept.map(|(key, _)| key)
    }

    fn before(&self) -> Before {
        Before {
            lengths: self.lengths_in_use(),
            ..Before::default()
        }
    }

    fn linger(&mut self, before: &mut Before) {
        let gone: Vec<_> = before
            .front_ends
            .iter()
            .filter(|(key, _)| self.owner(key).is_none())
            .filter_map(|(key, old)| Some((*key, old.clone()?)))
            .collect();
        for (key, mut front_end) in gone {
            front_end.server.reals.clear();
            front_end.marks.clear();
            self.claim(key, Claimant::Lingering, front_end, before);
        }
    }

    fn forget(&mut self, name: &NamespacedName, before: &mut Before) {
        let Some(holding) = self.services.remove(name) else {
            return;
        };
        for (key, claimant) in &holding.claims {
            self.renounce(key, claimant, before);
        }
        for key in holding.hairpins {
            self.drop_element(&(IpvsSet::Hairpin, key), before);
        }
    }

    fn translate(
        &mut self,
        snapshot: &Snapshot,
        name: &NamespacedName,
        before: &mut Before,
        mistakes: &mut Vec<String>,
    ) {
        let Some(service) = snapshot.services.get(name) else {
            return;
        };
        let ports = proxied_ports(service, self.options.family());
        if ports.is_empty() {
            return;
        }
        let options = self.options.clone();
        let mut translation = Translation::new(service, snapshot.slices_of(name), &options);
        mistakes.append(&mut translation.mistakes);
        let mut holding = Holding::default();
        for (index, port) in (0..u16::MAX).zip(&ports) {
            let state = translation.port(port);
            holding.hairpins.extend(state.hairpins);
            for (key, outside, front_end) in state.front_ends {
                if self.is_kept_off(&key, &front_end, mistakes) {
                    continue;
                }
                let claimant = if outside {
                    Claimant::Outside(name.clone(), index)
                } else {
                    Claimant::Cluster(name.clone(), index)
                };
                self.claim(key, claimant.clone(), front_end, before);
                holding.claims.push((key, claimant));
            }
        }
        for key in &holding.hairpins {
            self.hold_element((IpvsSet::Hairpin, key.clone()), None, before);
        }
        self.services.insert(name.clone(), holding);
    }

    fn is_kept_off(
        &self,
        key: &ServerKey,
        front_end: &FrontEnd,
        mistakes: &mut Vec<String>,
    ) -> bool {
        let mut excluded = self.options.excluded.iter();
        if excluded.any(|net| net.contains(&key.address)) {
            let name = &front_end.name;
            mistakes.push(format!("{name}: {key} is excluded and not served"));
            return true;
        }
        self.forbidden.contains(key)
    }

    fn claim(
        &mut self,
        key: ServerKey,
        claimant: Claimant,
        front_end: FrontEnd,
        before: &mut Before,
    ) {
        let old = self.owner(&key).cloned();
        before.front_ends.entry(key).or_insert_with(|| old.clone());
        let claims = self.front_ends.entry(key).or_default();
        claims.insert(claimant, front_end);
        let new = claims.values().next().cloned();
        self.exchange(&key, old.as_ref(), new.as_ref(), before);
    }

    fn renounce(&mut self, key: &ServerKey, claimant: &Claimant, before: &mut Before) {
        let old = self.owner(key).cloned();
        before.front_ends.entry(*key).or_insert_with(|| old.clone());
        let Some(claims) = self.front_ends.get_mut(key) else {
            return;
        };
        claims.remove(claimant);
        let new = claims.values().next().cloned();
        if claims.is_empty() {
            self.front_ends.remove(key);
        }
        self.exchange(key, old.as_ref(), new.as_ref(), before);
    }

    /// Takes the elements of the new owner's front end in place of the old one's.
    fn exchange(
        &mut self,
        key: &ServerKey,
        old: Option<&FrontEnd>,
        new: Option<&FrontEnd>,
        before: &mut Before,
    ) {
        if old == new {
            return;
        }
        for (set, element, _) in old.into_iter().flat_map(|f| f.elements(key)) {
            self.drop_element(&(set, element), before);
        }
        for (set, element, comment) in new.into_iter().flat_map(|f| f.elements(key)) {
            self.hold_element((set, element), comment, before);
        }
    }

    fn hold_element(&mut self, id: ElementId, comment: Option<Arc<str>>, before: &mut Before) {
        let held = self.elements.get(&id).map(|held| held.comment.clone());
        before.elements.entry(id.clone()).or_insert(held);
        if let IpvsSet::Sources(length) = id.0 {
            *self.lengths.entry(length).or_default() += 1;
        }
        let fresh = || Held {
            count: 0,
            comment: None,
        };
        let held = self.elements.entry(id).or_insert_with(fresh);
        held.count += 1;
        held.comment = comment;
    }

    fn drop_element(&mut self, id: &ElementId, before: &mut Before) {
        let held = self.elements.get(id).map(|held| held.comment.clone());
        before.elements.entry(id.clone()).or_insert(held);
        if let IpvsSet::Sources(length) = id.0
            && let Some(count) = self.lengths.get_mut(&length)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
        if let Some(held) = self.elements.get_mut(id) {
            held.count = held.count.saturating_sub(1);
            if held.count == 0 {
                self.elements.remove(id);
            }
        }
    }

    /// Compares what was with what is.
    fn settle(&self, before: Before) -> TableUpdate {
        let mut update = TableUpdate {
            servers: BTreeMap::new(),
            addresses_added: BTreeSet::new(),
            addresses_deleted: BTreeSet::new(),
            added: TableDelta::new(self.table()),
            deleted: TableDelta::new(self.table()),
            mistakes: Vec::new(),
        };
        for (key, old) in before.front_ends {
            let (old, new) = (old.map(|f| f.server), self.server(&key).cloned());
            if old != new {
                update.servers.insert(key, (old, new));
            }
        }
        let mut added: BTreeMap<IpvsSet, Vec<Element>> = BTreeMap::new();
        let mut deleted: BTreeMap<IpvsSet, Vec<Element>> = BTreeMap::new();
        for (id, old) in before.elements {
            let new = self.elements.get(&id).map(|held| held.comment.clone());
            if old == new {
                continue;
            }
            if id.0 == IpvsSet::Addresses
                && let Some(address) = address_of(&id.1)
            {
                match new {
                    Some(_) => update.addresses_added.insert(address),
                    None => update.addresses_deleted.insert(address),
                };
            }
            match (old, new) {
                (None, Some(comment)) => {
                    added.entry(id.0).or_default().push(element(id.1, comment));
                }
                (Some(_), None) => deleted.entry(id.0).or_default().push(element(id.1, None)),
                // Only the comment is another: exchanged within one transaction.
                (Some(_), Some(comment)) => {
                    let change = SetChange {
                        set: id.0.name().into(),
                        deleted: vec![element(id.1.clone(), None)],
                        added: vec![element(id.1, comment)],
                    };
                    update.added.elements.push(change);
                }
                (None, None) => {}
            }
        }
        self.lengths_changed(&before.lengths, &mut update);
        for (set, added) in added {
            update.added.elements.push(SetChange {
                set: set.name().into(),
                deleted: Vec::new(),
                added,
            });
        }
        let going =
            |set: &IpvsSet| !matches!(set, IpvsSet::Sources(l) if !self.lengths.contains_key(l));
        for (set, deleted) in deleted.into_iter().filter(|(set, _)| going(set)) {
            update.deleted.elements.push(SetChange {
                set: set.name().into(),
                deleted,
                added: Vec::new(),
            });
        }
        update
    }

    /// Sets of source ranges come and go with their lengths, and with them the rules.
    fn lengths_changed(&self, before: &[u8], update: &mut TableUpdate) {
        let now = self.lengths_in_use();
        if now == before {
            return;
        }
        let rules = |lengths: &[u8]| {
            let chains = rules::chains(&self.options, lengths);
            let chain = chains
                .into_iter()
                .find(|chain| &*chain.name == SOURCE_RANGES);
            let rules = chain.into_iter().flat_map(|chain| chain.rules);
            (SOURCE_RANGES.into(), rules.map(|rule| rule.body).collect())
        };
        let new = now.iter().filter(|length| !before.contains(length));
        for length in new {
            let set = IpvsSet::Sources(*length).definition(self.options.family());
            update.added.add_sets.push((set.name, set.spec));
        }
        let gone = before.iter().filter(|length| !now.contains(length));
        let gone: Vec<Arc<str>> = gone
            .map(|length| IpvsSet::Sources(*length).name().into())
            .collect();
        if !update.added.add_sets.is_empty() {
            let mut both: Vec<u8> = now.iter().chain(before).copied().collect();
            both.sort_unstable_by(|a, b| b.cmp(a));
            both.dedup();
            update.added.refill.push(rules(&both));
        }
        if !gone.is_empty() {
            update.deleted.refill.push(rules(&now));
            update.deleted.delete_sets = gone;
        }
    }

    /// Lengths of source ranges in use, longest first.
    fn lengths_in_use(&self) -> Vec<u8> {
        self.lengths.keys().rev().copied().collect()
    }
}

fn element(key: Box<[u8]>, comment: Option<Arc<str>>) -> Element {
    Element {
        key,
        data: None,
        interval_end: false,
        comment,
    }
}

fn address_of(key: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(key).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(key).map(IpAddr::from);
    v4.or(v6).ok()
}

impl NftRuleset for IpvsTable {
    fn table(&self) -> TableRef {
        TableRef {
            family: self.options.family(),
            name: IPVS_TABLE.into(),
        }
    }

    fn comment(&self) -> &str {
        IPVS_COMMENT
    }

    fn sets(&self) -> Vec<SetDef> {
        let lengths = self.lengths_in_use().into_iter().map(IpvsSet::Sources);
        let all = IpvsSet::FIXED.into_iter().chain(lengths);
        all.map(|set| set.definition(self.options.family()))
            .collect()
    }

    fn chains(&self) -> Vec<ChainDef> {
        rules::chains(&self.options, &self.lengths_in_use())
    }

    fn for_each_element(&self, visit: &mut dyn FnMut(&str, Element)) {
        configured::elements(&self.options.rules, &mut |set, element| {
            if set == SetId::ServiceCidrs {
                visit(&IpvsSet::ServiceCidrs.name(), element);
            }
        });
        for (number, setting) in (0_u32..).zip(&self.settings) {
            let key = number.to_ne_bytes().into();
            let comment = Some(Arc::clone(setting));
            visit(&IpvsSet::Settings.name(), element(key, comment));
        }
        for ((set, key), held) in &self.elements {
            visit(&set.name(), element(key.clone(), held.comment.clone()));
        }
    }
}
