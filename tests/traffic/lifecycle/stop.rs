//! Work in the background of a test, and its end.

use std::sync::atomic::{AtomicBool, Ordering};

/// Tells what works in the background to end, also when the test fails.
#[derive(Default)]
pub(crate) struct Stop(AtomicBool);

/// Says so at the end of a scope.
pub(crate) struct StopAtEnd<'a>(&'a Stop);

impl Stop {
    pub(crate) fn at_end(&self) -> StopAtEnd<'_> {
        StopAtEnd(self)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
