//! Whether the kernel can do what is going to be asked of it, found out without changing anything
//! that packets see.
//!
//! Nothing but trying tells whether a scheduler's module exists: built-in modules are listed
//! nowhere. It is tried in a network namespace of its own, which lives for the question only; the
//! kernel loads modules that it has while being asked.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use super::{IpvsError, IpvsKernel, IpvsSocket};
use crate::model::Protocol;
use crate::plan::ipvs::{DEVICE, Scheduler, ServerKey, ServerSpec, Step};

/// What the kernel lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// IPVS itself.
    pub ipvs: bool,
    /// Dummy devices.
    pub dummy: bool,
    /// Schedulers.
    pub schedulers: BTreeSet<Arc<str>>,
}

impl Missing {
    /// Nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl std::error::Error for Missing {}

/// One sentence, with every module.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut modules = Vec::new();
        if self.ipvs {
            modules.push("ip_vs (CONFIG_IP_VS)".to_owned());
        }
        if self.dummy {
            modules.push("dummy (CONFIG_DUMMY)".to_owned());
        }
        for name in &self.schedulers {
            let option = name.to_uppercase();
            modules.push(format!("ip_vs_{name} (CONFIG_IP_VS_{option})"));
        }
        let plural = if modules.len() == 1 { "" } else { "s" };
        write!(
            f,
            "--mode ipvs: this kernel lacks module{plural} {}; modprobe loads what is installed: \
             modules come with the kernel's package (linux-image, linux-modules-extra, \
             kernel-modules-core) or are built with these options; nothing was changed",
            modules.join(", ")
        )
    }
}

/// The question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel lacks something.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// IPVS did not answer.
    #[error(transparent)]
    Ipvs(#[from] IpvsError),
    /// No namespace to ask in.
    #[error("cannot make a network namespace to try IPVS in")]
    Namespace(#[source] io::Error),
}

/// Finds out whether there are IPVS, dummy devices and these schedulers.
///
/// Where a process may not make a network namespace (it needs `CAP_SYS_ADMIN`), only IPVS itself is
/// asked for: what else is missing then shows when it is needed.
///
/// # Errors
/// [`ProbeError::Missing`], which names all that is missing.
pub fn probe(schedulers: &BTreeSet<Arc<str>>) -> Result<(), ProbeError> {
    let missing = thread::scope(|scope| {
        let thread = thread::Builder::new().name("probe".to_owned());
        let thread = thread.spawn_scoped(scope, || inside(schedulers));
        let thread = thread.map_err(ProbeError::Namespace)?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing.into())
    }
}

fn inside(schedulers: &BTreeSet<Arc<str>>) -> Result<Missing, ProbeError> {
    let alone = match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => true,
        Err(Errno::EPERM) => false,
        Err(errno) => return Err(ProbeError::Namespace(errno.into())),
    };
    let mut missing = Missing::default();
    let mut kernel = match IpvsSocket::open() {
        Err(IpvsError::Unavailable) => {
            missing.ipvs = true;
            missing.schedulers.clone_from(schedulers);
            None
        }
        other => Some(other?),
    };
    if !alone {
        return Ok(missing);
    }
    missing.dummy = lacks_dummy()?;
    if let Some(kernel) = &mut kernel {
        for name in schedulers {
            if lacks_scheduler(kernel, name)? {
                missing.schedulers.insert(Arc::clone(name));
            }
        }
    }
    Ok(missing)
}

fn lacks_dummy() -> Result<bool, IpvsError> {
    let mut refused = Vec::new();
    let mut link = crate::kernel::link::LinkSocket::open()?;
    link.take(DEVICE, &[Step::AddDevice], &mut refused)?;
    Ok(!refused.is_empty())
}

/// Makes a virtual server at an address of documentation (RFC 5737), as kube-proxy does.
fn lacks_scheduler(kernel: &mut IpvsSocket, name: &Arc<str>) -> Result<bool, IpvsError> {
    let key = ServerKey {
        address: std::net::Ipv4Addr::new(198, 51, 100, 0).into(),
        protocol: Protocol::Tcp,
        port: 20_000,
    };
    let spec = ServerSpec {
        scheduler: Scheduler::plain(name),
        persistence: None,
    };
    let steps = [Step::AddServer(key, spec), Step::DeleteServer(key)];
    let refused = kernel.take(&steps)?;
    Ok(refused
        .iter()
        .any(|refused| matches!(refused.step, Step::AddServer(..))))
}
