//! One family's desired state, kept from change to change: a change of a Service costs time for
//! that Service only.
//!
//! The same operation makes the first state and every later one, so that any sequence of changes
//! ends as a fresh start on the last snapshot would.

mod claims;
mod update;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::front_end::{FrontEnd, Translation};
use super::options::IpvsOptions;
use super::rules;
use super::sets::IpvsSet;
use crate::model::{NamespacedName, Snapshot, proxied_ports};
use crate::plan::ipvs::{Server, ServerKey, ServerSpec};
use crate::plan::nftables::{ChainDef, IPVS_COMMENT, IPVS_TABLE, NftRuleset, SetDef};
use crate::plan::op::{Element, TableRef};
use crate::translate::nftables::configured;
use crate::translate::nftables::key::Key;
use crate::translate::nftables::sets::SetId;
use claims::{Before, Claimant, ElementId, Held};
use update::element;

pub use update::TableUpdate;

/// What a Service holds.
#[derive(Clone, Debug, Default)]
struct Holding {
    claims: Vec<(ServerKey, Claimant)>,
    hairpins: BTreeSet<Box<[u8]>>,
}

/// The desired state of one family.
#[derive(Clone, Debug)]
pub struct IpvsTable {
    options: IpvsOptions,
    services: HashMap<NamespacedName, Holding>,
    front_ends: HashMap<ServerKey, BTreeMap<Claimant, FrontEnd>>,
    elements: HashMap<ElementId, Held>,
    /// Front ends that nobody claims, or did not when they were kept: looked at with every change.
    kept: BTreeSet<ServerKey>,
    /// How many elements there are for each length of source ranges.
    lengths: BTreeMap<u8, usize>,
    /// Front ends where somebody else's virtual servers are: nobody gets them.
    forbidden: BTreeSet<ServerKey>,
    /// Kernel settings as they were before, `name=value` each.
    settings: Vec<Arc<str>>,
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
            kept: BTreeSet::new(),
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
        let owner = |key| {
            self.front_ends
                .get(key)
                .and_then(|claims| claims.keys().next())
        };
        let kept = self.kept.iter();
        kept.filter(move |key| owner(*key) == Some(&Claimant::Lingering))
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

    /// Lengths of source ranges in use, longest first.
    fn lengths_in_use(&self) -> Vec<u8> {
        self.lengths.keys().rev().copied().collect()
    }
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
