//! `portolan lab down`: nothing of a lab is left, whatever became of the program that made it.

use std::time::{Duration, Instant};

use super::LabError;
use super::machines::remove_namespaces;
use super::place::{self, Place};
use crate::kernel::named_netns;

/// How long the kernel may take to let go of directories that were in use.
const PATIENCE: Duration = Duration::from_secs(5);

/// Removes a lab; false if there was nothing of it.
///
/// # Errors
/// The machine does not do it; asking again goes on where this ended.
pub fn down(name: &str) -> Result<bool, LabError> {
    let place = Place::new(name)?;
    place::check_root()?;
    if !stands(&place)? {
        return Ok(false);
    }
    let lock = place.lock().map_err(anyhow::Error::new)?;
    remove(&place)?;
    lock.remove();
    Ok(true)
}

/// Whether anything of a lab is left.
pub(super) fn stands(place: &Place) -> Result<bool, LabError> {
    Ok(place.directory().exists() || !named_netns::list(&place.prefix())?.is_empty())
}

/// Removes it, under the lock: by the names of its namespaces, not by what it remembers.
pub(super) fn remove(place: &Place) -> Result<(), LabError> {
    remove_namespaces(&named_netns::list(&place.prefix())?)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match place.remove() {
            // Something was written there until just now.
            Err(error) if Instant::now() < end => {
                tracing::debug!(%error, "removing the directory of a lab");
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return Ok(outcome?),
        }
    }
}
