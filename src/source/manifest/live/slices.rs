//! Which slices a Service has: those in the input, else those that mirror its Endpoints object,
//! else those made from the pods it selects.

use std::collections::HashSet;

use super::LiveManifests;
use super::commit::After;
use crate::model::{EndpointSlice, NamespacedName, slices_for_pods};

/// What changes about the slices of a Service.
#[derive(Debug, Default)]
pub(super) struct Touch {
    /// EndpointSlices that went; some of them may come back in [`added`](Self::added).
    pub(super) removed: HashSet<NamespacedName>,
    pub(super) added: Vec<EndpointSlice>,
    /// The Endpoints object: what it says now, or that it went.
    pub(super) endpoints: Option<Option<Vec<EndpointSlice>>>,
    /// The Service or pods it selects changed.
    pub(super) pods: bool,
}

/// Where the slices of a Service come from that are not EndpointSlices of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MadeFrom {
    Endpoints,
    Pods,
}

impl LiveManifests {
    /// The slices of a Service after a change, if they are others than before.
    pub(super) fn settle(
        &mut self,
        service: &NamespacedName,
        touch: Touch,
        after: &After<'_>,
    ) -> Option<Vec<EndpointSlice>> {
        let before = after.current.slices_of(service);
        let made_from = self.made.get(service).copied();
        let is_given = match made_from {
            None => !before.is_empty(),
            Some(from) => from == MadeFrom::Endpoints,
        };
        let only_pods =
            touch.removed.is_empty() && touch.added.is_empty() && touch.endpoints.is_none();
        if only_pods && is_given {
            return None;
        }
        let now = self.slices(service, touch, after, made_from, before);
        (now != before).then_some(now)
    }

    fn slices(
        &mut self,
        service: &NamespacedName,
        touch: Touch,
        after: &After<'_>,
        made_from: Option<MadeFrom>,
        before: &[EndpointSlice],
    ) -> Vec<EndpointSlice> {
        self.made.remove(service);
        let mut given = match made_from {
            None => before.to_vec(),
            Some(_) => Vec::new(),
        };
        given.retain(|slice| !touch.removed.contains(&slice.name));
        given.extend(touch.added);
        given.sort_by(|a, b| a.name.cmp(&b.name));
        let mirrored = match (touch.endpoints, made_from) {
            (Some(endpoints), _) => endpoints,
            (None, Some(MadeFrom::Endpoints)) => Some(before.to_vec()),
            (None, _) => self.overruled.remove(service),
        };
        self.overruled.remove(service);
        if !given.is_empty() {
            if let Some(mirrored) = mirrored {
                self.overruled.insert(service.clone(), mirrored);
            }
            return given;
        }
        if let Some(mirrored) = mirrored {
            self.made.insert(service.clone(), MadeFrom::Endpoints);
            return mirrored;
        }
        let made = self.make_from_pods(service, after);
        if !made.is_empty() {
            self.made.insert(service.clone(), MadeFrom::Pods);
        }
        made
    }

    fn make_from_pods(&self, service: &NamespacedName, after: &After<'_>) -> Vec<EndpointSlice> {
        let Some(service) = after.service(service) else {
            return Vec::new();
        };
        let pods = self.pods.selected(service);
        slices_for_pods(service, pods.into_iter(), |name| after.node(name))
    }
}
