//! When the kernel changed its rules.
//!
//! nf_tables counts its commits. Asking for the count takes microseconds and waits for no commit
//! under way, unlike listening, which makes commits slower. The count changes at the moment from
//! which packets see the new rules.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use portolan::kernel::Socket;
use portolan::kernel::nft::NftKernel;

/// Between two looks; bounds the error of what is measured.
const POLL: Duration = Duration::from_micros(100);

/// Between two questions whether it is over.
const ASK: Duration = Duration::from_millis(25);

/// Watches the network namespace it was opened in.
pub(crate) struct Generation {
    socket: Socket,
}

impl Generation {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let socket = Socket::open().context("cannot open a netlink socket")?;
        Ok(Self { socket })
    }

    pub(crate) fn now(&mut self) -> anyhow::Result<u32> {
        self.socket
            .generation()
            .context("cannot ask for the generation")
    }

    /// Waits for a commit after `from`, and for those that follow it within `quiet` or before it
    /// is `over`, which is asked now and then; gives the moment of the last one, or nothing if
    /// that took longer than `limit`.
    pub(crate) fn settled(
        &mut self,
        from: u32,
        quiet: Duration,
        mut over: impl FnMut() -> bool,
        limit: Duration,
    ) -> anyhow::Result<Option<Instant>> {
        let begun = Instant::now();
        let mut last = (from, None::<Instant>);
        let mut asked = begun;
        loop {
            let generation = self.now()?;
            let now = Instant::now();
            if generation != last.0 {
                last = (generation, Some(now));
            }
            match last.1 {
                Some(at) if now - at >= quiet && now - asked >= quiet.min(ASK) => {
                    if over() {
                        return Ok(Some(at));
                    }
                    asked = now;
                }
                _ if now - begun >= limit => return Ok(None),
                // Once it has changed, precision is of no use any more.
                Some(_) => thread::sleep(POLL * 10),
                None => thread::sleep(POLL),
            }
        }
    }
}
