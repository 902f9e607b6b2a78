//! Who holds which value, and how to take the latest changes of that back.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use super::NamespacedName;

/// Who holds an address or port, for telling two claimants apart and naming the other one.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) name: NamespacedName,
    pub(super) field: Field,
    /// It holds the value from an earlier run and not because its manifest asks for it.
    pub(super) remembered: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to Service {}", self.name)?;
        if self.remembered {
            f.write_str(" by an earlier run")?;
        }
        Ok(())
    }
}

/// The field through which a Service holds a value; the number is its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ClusterIp(usize),
    NodePort(usize),
    HealthCheckNodePort,
    LoadBalancerIp,
}

/// The path, as the API writes it.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterIp(index) => write!(f, "spec.clusterIPs[{index}]"),
            Self::NodePort(index) => write!(f, "spec.ports[{index}].nodePort"),
            Self::HealthCheckNodePort => f.write_str("spec.healthCheckNodePort"),
            Self::LoadBalancerIp => f.write_str("spec.loadBalancerIP"),
        }
    }
}

/// Values and their holders.
#[derive(Debug)]
pub(super) struct Held<V> {
    holders: HashMap<V, Holder>,
    /// Values that changed hands and who had them before, oldest first.
    before: Vec<(V, Option<Holder>)>,
}

impl<V> Default for Held<V> {
    fn default() -> Self {
        Self {
            holders: HashMap::new(),
            before: Vec::new(),
        }
    }
}

impl<V: Copy + Eq + Hash> Held<V> {
    pub(super) fn get(&self, value: V) -> Option<&Holder> {
        self.holders.get(&value)
    }

    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }

    pub(super) fn insert(&mut self, value: V, holder: Holder) {
        let before = self.holders.insert(value, holder);
        self.before.push((value, before));
    }

    /// Takes a value from a Service; false if that does not hold it.
    pub(super) fn remove(&mut self, value: V, service: &NamespacedName) -> bool {
        if self.get(value).is_none_or(|holder| holder.name != *service) {
            return false;
        }
        let before = self.holders.remove(&value);
        self.before.push((value, before));
        true
    }

    /// There is nothing to take back any more.
    pub(super) fn keep(&mut self) {
        self.before = Vec::new();
    }

    /// Takes the latest change back: the value, and whether somebody holds it now.
    pub(super) fn undo_one(&mut self) -> Option<(V, bool)> {
        let (value, holder) = self.before.pop()?;
        let is_held = holder.is_some();
        match holder {
            Some(holder) => self.holders.insert(value, holder),
            None => self.holders.remove(&value),
        };
        Some((value, is_held))
    }
}
