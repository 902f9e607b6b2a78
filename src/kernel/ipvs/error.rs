//! What can go wrong between portolan and IPVS, said so that a person can act on it.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::kernel::link::LinkError;
use crate::kernel::netlink::ErrorReply;
use crate::plan::ipvs::Step;

/// Reading or changing IPVS failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum IpvsError {
    /// The kernel has no IPVS.
    #[error(
        "this kernel has no IPVS: load module ip_vs (modprobe ip_vs; it comes with the kernel's \
         package of modules, linux-image or linux-modules-extra, and is built with CONFIG_IP_VS=m)"
    )]
    Unavailable,
    /// The process may not use IPVS here.
    #[error("using IPVS needs root, or CAP_NET_ADMIN in the network namespace")]
    Permission,
    /// A question was refused.
    #[error("cannot {operation}: {}", reason(*errno, kernel_text.as_deref()))]
    Refused {
        /// What was asked.
        operation: String,
        /// Positive errno.
        errno: i32,
        /// The kernel's own sentence, where it gives one.
        kernel_text: Option<String>,
    },
    /// The socket failed.
    #[error("generic netlink socket: {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The dummy device or its addresses.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Connections cannot be listed.
    #[error("cannot read {path}")]
    Connections {
        /// Where they are.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl IpvsError {
    pub(super) fn io(operation: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }

    pub(super) fn of_reply(operation: &str, reply: ErrorReply) -> Self {
        if Errno::from_raw(reply.errno) == Errno::EPERM {
            return Self::Permission;
        }
        Self::Refused {
            operation: operation.to_owned(),
            errno: reply.errno,
            kernel_text: reply.text,
        }
    }
}

/// A step that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub step: Step,
    /// Positive errno.
    pub errno: i32,
    /// The kernel's own sentence, where it gives one.
    pub kernel_text: Option<String>,
}

impl Refused {
    /// What the errno usually means for this step, where its name says something else
    /// (`ip_vs_ctl.c`).
    fn hint(&self) -> Option<&'static str> {
        match (&self.step, Errno::from_raw(self.errno)) {
            (Step::AddServer(..) | Step::SetServer(..), Errno::ENOENT) => {
                Some("its scheduler's module is missing")
            }
            (Step::SetServer(..) | Step::DeleteServer(_), Errno::ESRCH) => {
                Some("there is no such virtual server")
            }
            (Step::AddReal(..) | Step::SetReal(..) | Step::DeleteReal(..), Errno::ESRCH) => {
                Some("there is no such virtual server")
            }
            (Step::SetReal(..) | Step::DeleteReal(..), Errno::ENOENT) => {
                Some("there is no such real server")
            }
            (Step::AddDevice, Errno::EOPNOTSUPP) => Some("module dummy is missing"),
            _ => None,
        }
    }
}

/// `add virtual server TCP 10.96.0.1:80: File exists`.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operation, object) = (self.step.operation(), self.step.object());
        let words = reason(self.errno, self.kernel_text.as_deref());
        write!(f, "{operation} {object}: {words}")?;
        if let Some(hint) = self.hint() {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

fn reason(errno: i32, kernel_text: Option<&str>) -> String {
    let words = Errno::from_raw(errno).desc();
    kernel_text.map_or_else(|| words.to_owned(), |text| format!("{words}: {text}"))
}
