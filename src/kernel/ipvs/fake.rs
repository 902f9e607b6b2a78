//! IPVS and a dummy device in memory, refusing what the kernel refuses, for tests without one.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use nix::errno::Errno;

use super::{IpvsError, IpvsKernel, Refused, Timeouts};
use crate::plan::ipvs::{
    Present, PresentReal, PresentServer, Retired, ServerKey, ServerSpec, Step,
};

/// The kernel in memory.
#[derive(Clone, Debug, Default)]
pub struct FakeIpvs {
    /// What it has.
    pub present: Present,
    /// Its timeouts.
    pub timeouts: Timeouts,
    /// How many steps it was given.
    pub steps: usize,
    /// Steps that are refused whatever they are, by the text of their object.
    pub refuses: Vec<String>,
}

impl FakeIpvs {
    /// Gives a real server connections.
    pub fn connect(&mut self, key: &ServerKey, real: SocketAddr, connections: u32) {
        let server = self.present.servers.get_mut(key);
        if let Some(real) = server.and_then(|server| server.reals.get_mut(&real)) {
            real.connections = connections;
        }
    }

    fn try_step(&mut self, step: &Step) -> Result<(), Errno> {
        self.steps += 1;
        if self.refuses.contains(&step.object()) {
            return Err(Errno::ENOMEM);
        }
        let present = &mut self.present;
        match step {
            Step::AddDevice if present.device => Err(Errno::EEXIST),
            Step::AddDevice => {
                present.device = true;
                Ok(())
            }
            Step::DeleteDevice | Step::AddAddress(_) | Step::DeleteAddress(_)
                if !present.device =>
            {
                Err(Errno::ENODEV)
            }
            Step::DeleteDevice => {
                present.device = false;
                present.addresses.clear();
                Ok(())
            }
            Step::AddAddress(ip) if present.addresses.insert(*ip) => Ok(()),
            Step::AddAddress(_) => Err(Errno::EEXIST),
            Step::DeleteAddress(ip) if present.addresses.remove(ip) => Ok(()),
            Step::DeleteAddress(_) => Err(Errno::EADDRNOTAVAIL),
            _ => try_server_step(&mut present.servers, step),
        }
    }
}

fn try_server_step(
    servers: &mut BTreeMap<ServerKey, PresentServer>,
    step: &Step,
) -> Result<(), Errno> {
    let spec = |spec: &ServerSpec| Some(spec.clone());
    match step {
        Step::AddServer(key, _) if servers.contains_key(key) => Err(Errno::EEXIST),
        Step::AddServer(key, new) => {
            let (spec, reals) = (spec(new), BTreeMap::new());
            servers.insert(*key, PresentServer { spec, reals });
            Ok(())
        }
        Step::DeleteServer(key) => servers.remove(key).map(drop).ok_or(Errno::ESRCH),
        _ => {
            let key = step.server().ok_or(Errno::EINVAL)?;
            let server = servers.get_mut(&key).ok_or(Errno::ESRCH)?;
            if let Step::SetServer(_, new) = step {
                server.spec = spec(new);
                return Ok(());
            }
            try_real_step(&mut server.reals, step)
        }
    }
}

fn try_real_step(reals: &mut BTreeMap<SocketAddr, PresentReal>, step: &Step) -> Result<(), Errno> {
    match step {
        Step::AddReal(_, socket, _) if reals.contains_key(socket) => Err(Errno::EEXIST),
        Step::AddReal(_, socket, weight) => {
            let real = PresentReal {
                weight: *weight,
                usual: true,
                connections: 0,
            };
            reals.insert(*socket, real);
            Ok(())
        }
        Step::SetReal(_, socket, weight) => {
            let real = reals.get_mut(socket).ok_or(Errno::ENOENT)?;
            real.weight = *weight;
            real.usual = true;
            Ok(())
        }
        Step::DeleteReal(_, socket) => reals.remove(socket).map(drop).ok_or(Errno::ENOENT),
        _ => Err(Errno::EINVAL),
    }
}

impl IpvsKernel for FakeIpvs {
    fn read(
        &mut self,
        wanted: &mut dyn FnMut(&ServerKey, &Present) -> bool,
    ) -> Result<Present, IpvsError> {
        let mut present = self.present.clone();
        for (key, server) in &mut present.servers {
            if !wanted(key, &self.present) {
                server.reals.clear();
            }
        }
        Ok(present)
    }

    fn reals(
        &mut self,
        key: &ServerKey,
    ) -> Result<Option<Vec<(SocketAddr, PresentReal)>>, IpvsError> {
        let server = self.present.servers.get(key);
        let reals = server.map(|server| server.reals.iter().map(|(s, r)| (*s, *r)).collect());
        Ok(reals)
    }

    fn timeouts(&mut self) -> Result<Timeouts, IpvsError> {
        Ok(self.timeouts)
    }

    fn busy(&mut self, among: &HashSet<Retired>) -> Result<HashSet<Retired>, IpvsError> {
        let busy = |(key, socket): &&Retired| {
            let server = self.present.servers.get(key);
            let real = server.and_then(|server| server.reals.get(socket));
            real.is_some_and(|real| real.connections > 0)
        };
        Ok(among.iter().filter(busy).copied().collect())
    }

    fn take(&mut self, steps: &[Step]) -> Result<Vec<Refused>, IpvsError> {
        let mut refused = Vec::new();
        for step in steps {
            if let Err(errno) = self.try_step(step) {
                refused.push(Refused {
                    step: step.clone(),
                    errno: errno as i32,
                    kernel_text: None,
                });
            }
        }
        Ok(refused)
    }
}
