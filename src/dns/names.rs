//! The zone as it is now, shared between the loop that follows the cluster and the servers.

use std::sync::{PoisonError, RwLock};
use std::time::SystemTime;

use crate::model::{Snapshot, Touched};

use super::zone::{Zone, ZoneOptions};

/// A zone that servers read while it is kept up. Empty until the first complete snapshot.
#[derive(Debug)]
pub struct Names {
    options: ZoneOptions,
    zone: RwLock<Option<Zone>>,
}

impl Names {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(options: ZoneOptions) -> Self {
        Self {
            options,
            zone: RwLock::new(None),
        }
    }

    /// What the zone is made with.
    #[must_use]
    pub fn options(&self) -> &ZoneOptions {
        &self.options
    }

    /// Puts a complete snapshot in force.
    pub fn replace(&self, snapshot: &Snapshot) {
        let zone = Zone::new(self.options.clone(), snapshot, now());
        *self.zone.write().unwrap_or_else(PoisonError::into_inner) = Some(zone);
    }

    /// Follows the snapshot, which changed in what is touched.
    pub fn follow(&self, snapshot: &Snapshot, touched: &Touched) {
        let mut zone = self.zone.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = zone.as_mut() {
            zone.follow(snapshot, touched, now());
        }
    }

    /// Reads the zone; `None` before the first complete snapshot.
    pub fn read<T>(&self, look: impl FnOnce(Option<&Zone>) -> T) -> T {
        let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
        look(zone.as_ref())
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
