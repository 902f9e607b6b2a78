//! Real servers that wait for their connections.
//!
//! One that goes has weight 0 from then on: no new connection reaches it. It is deleted when none
//! of its connections carries data any more, or when its time is over. Nothing of it is kept on
//! disk: weight 0 in the kernel is the memory, and a restart begins the time anew.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::kernel::ipvs::{IpvsError, IpvsKernel, Refused};
use crate::plan::ipvs::{PresentReal, Retired, ServerKey, Step};

/// Those that wait.
#[derive(Clone, Debug)]
pub struct Drains {
    limit: Duration,
    /// Until when, by virtual server.
    waiting: HashMap<ServerKey, HashMap<SocketAddr, Instant>>,
}

/// What a look at them did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Steps taken.
    pub steps: usize,
    /// Steps refused; they are tried again.
    pub refused: Vec<Refused>,
}

impl Drains {
    /// Nobody waits. Connections are waited for at most this long.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            waiting: HashMap::new(),
        }
    }

    /// Somebody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.values().map(HashMap::len).sum()
    }

    /// Those of a virtual server.
    pub fn of(&self, key: &ServerKey) -> impl Iterator<Item = SocketAddr> {
        self.waiting
            .get(key)
            .into_iter()
            .flat_map(HashMap::keys)
            .copied()
    }

    /// These wait from now on, or still.
    pub fn wait(&mut self, retired: impl IntoIterator<Item = Retired>, now: Instant) {
        for (key, real) in retired {
            let of_key = self.waiting.entry(key).or_default();
            of_key.entry(real).or_insert(now + self.limit);
        }
    }

    /// These wait and no others: a comparison with the kernel has found them.
    pub fn replace(&mut self, retired: Vec<Retired>, now: Instant) {
        let known = std::mem::take(&mut self.waiting);
        self.wait(retired, now);
        for (key, reals) in &mut self.waiting {
            for (real, until) in reals {
                if let Some(earlier) = known.get(key).and_then(|known| known.get(real)) {
                    *until = *earlier;
                }
            }
        }
    }

    /// This one waits no more: it is back.
    pub fn returned(&mut self, key: &ServerKey, real: SocketAddr) {
        self.forget(&(*key, real));
    }

    fn forget(&mut self, (key, real): &Retired) {
        if let Some(of_key) = self.waiting.get_mut(key) {
            of_key.remove(real);
            if of_key.is_empty() {
                self.waiting.remove(key);
            }
        }
    }

    /// A virtual server has gone, and its real servers with it.
    pub fn server_gone(&mut self, key: &ServerKey) {
        self.waiting.remove(key);
    }

    /// Deletes those whose connections have ended or whose time is over, among `only` or all.
    ///
    /// # Errors
    /// The kernel does not answer; nobody is forgotten.
    pub fn look(
        &mut self,
        kernel: &mut impl IpvsKernel,
        only: Option<&[Retired]>,
        now: Instant,
    ) -> Result<Drained, IpvsError> {
        let mut done = Vec::new();
        let mut gone = Vec::new();
        let mut in_question = HashSet::new();
        let keys: HashSet<ServerKey> = match only {
            Some(only) => only.iter().map(|(key, _)| *key).collect(),
            None => self.waiting.keys().copied().collect(),
        };
        for key in keys {
            let reals = kernel.reals(&key)?.unwrap_or_default();
            let reals: HashMap<SocketAddr, PresentReal> = reals.into_iter().collect();
            for (socket, until) in self.waiting.get(&key).into_iter().flatten() {
                let real = (key, *socket);
                let late = *until <= now;
                match reals.get(socket) {
                    // Somebody else's doing; a comparison finds what is to be done.
                    None => gone.push(real),
                    Some(there) if there.weight != 0 => gone.push(real),
                    Some(there) if there.connections == 0 || late => done.push(real),
                    Some(_) => {
                        in_question.insert(real);
                    }
                }
            }
        }
        if !in_question.is_empty() {
            let busy = kernel.busy(&in_question)?;
            done.extend(in_question.difference(&busy));
        }
        for real in &gone {
            self.forget(real);
        }
        self.delete(kernel, &done)
    }

    fn delete(
        &mut self,
        kernel: &mut impl IpvsKernel,
        done: &[Retired],
    ) -> Result<Drained, IpvsError> {
        let steps = done.iter().map(|(key, real)| Step::DeleteReal(*key, *real));
        let steps: Vec<_> = steps.collect();
        let refused = kernel.take(&steps)?;
        for (real, step) in done.iter().zip(&steps) {
            if refused.iter().all(|refused| refused.step != *step) {
                self.forget(real);
            }
        }
        let steps = steps.len() - refused.len();
        Ok(Drained { steps, refused })
    }
}
