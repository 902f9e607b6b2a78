//! What can go wrong between portolan and nf_tables, said so that a person can act on it.
//!
//! Owns the error types of writing and reading. The kernel's own words come first; a short hint is
//! added where the bare errno is known to mislead.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// The sentence every refusal for lack of privilege ends in.
const PRIVILEGE: &str = "needs root, or CAP_NET_ADMIN in the network namespace";

/// A step could not be put into a batch. Not retryable: the step itself is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot encode {object}")]
pub struct EncodeError {
    /// The object, as [`Op::object`](crate::plan::op::Op::object) words it.
    pub object: String,
    /// Why.
    #[source]
    pub reason: EncodeReason,
}

/// Why a step cannot be put into a netlink message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeReason {
    /// A name is longer than the kernel accepts.
    #[error("name {name:?} is longer than {max} bytes")]
    NameTooLong {
        /// The name.
        name: String,
        /// The limit.
        max: usize,
    },
    /// A name holds a NUL byte.
    #[error("name {0:?} holds a NUL byte")]
    NulInName(String),
    /// Register data or user data is longer than the kernel accepts.
    #[error("{what} of {len} bytes, at most {max} are possible")]
    DataTooLong {
        /// What it is.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// All expressions together do not fit into one attribute.
    #[error("the rule's expressions take {0} bytes, more than one attribute holds")]
    RuleTooLarge(usize),
    /// The rule has an expression that is only known as somebody else's.
    #[error("expression {0:?} is not one that portolan writes")]
    ForeignExpression(String),
    /// libnftnl has no memory, or refused a value.
    #[error("libnftnl refused it")]
    Library,
}

/// A transaction did not (or not certainly) take place.
///
/// In every case but [`CommitError::Unconfirmed`] the kernel is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another program has committed since the generation this batch was planned on. Read again,
    /// plan again, retry.
    #[error("nf_tables were changed by another program since generation {expected}")]
    Conflict {
        /// The generation the batch was planned on.
        expected: u32,
    },
    /// The kernel refused one or more steps. Retrying the same batch will fail again unless
    /// somebody else's objects change.
    #[error("{}", RefusalList { refusals, more: *more })]
    Refused {
        /// The refused steps, in batch order, at most [`Refusal::MAX_LISTED`].
        refusals: Vec<Refusal>,
        /// How many more are known; of thousands, some answers may be lost.
        more: usize,
    },
    /// The process may not change nf_tables here.
    #[error("changing nf_tables {PRIVILEGE}")]
    Permission,
    /// The batch is larger than the socket may send. Use smaller batches.
    #[error(
        "a batch of {bytes} bytes is too large for the socket's send buffer; \
         raise net.core.wmem_max or run with CAP_NET_ADMIN"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The batch was processed, but the kernel's answer was lost: nothing tells whether it was
    /// committed, or what handles the new rules got. Read again before the next step.
    #[error("the kernel's answer to a batch of {messages} messages was lost")]
    Unconfirmed {
        /// Messages in the batch.
        messages: usize,
        /// Set if the commit itself was confirmed and only handles are missing.
        committed: Option<u32>,
    },
    /// The socket failed.
    #[error("netfilter netlink socket: {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl CommitError {
    /// Whether reading the kernel again and planning anew can succeed at once.
    #[must_use]
    pub fn wants_reread(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unconfirmed { .. })
    }

    pub(super) fn io(operation: &'static str, source: io::Error) -> Self {
        Self::Io { operation, source }
    }
}

/// One step the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Index of the step in its batch; `None` for the transaction as a whole.
    pub op: Option<usize>,
    /// What was tried: `add`, `insert`, `delete`, `flush`, `commit`.
    pub operation: &'static str,
    /// The object, as [`Op::object`](crate::plan::op::Op::object) words it.
    pub object: String,
    /// Positive errno.
    pub errno: i32,
    /// The kernel's own sentence, where it gives one.
    pub kernel_text: Option<String>,
    /// Which part of the message the kernel stumbled over.
    pub part: Option<String>,
}

impl Refusal {
    /// How many refusals are kept; a batch that is wrong from the first message on has as many
    /// as messages.
    pub const MAX_LISTED: usize = 32;

    /// What the errno usually means for this object, where its name says something else.
    fn hint(&self) -> Option<&'static str> {
        let rule = self.object.starts_with("rule");
        let adding = self.operation != "delete" && self.operation != "flush";
        match Errno::from_raw(self.errno) {
            Errno::ENOENT if rule && adding => {
                Some("the chain, a chain or set it refers to, or a kernel module for it is missing")
            }
            Errno::EBUSY => Some("it is still in use"),
            Errno::EMLINK | Errno::ELOOP => Some("chains jump in a circle, or too deep"),
            Errno::EEXIST | Errno::EOPNOTSUPP if adding && self.object.starts_with("chain") => {
                Some("it exists with another type, hook or priority")
            }
            Errno::EEXIST if self.object.starts_with("elements") => {
                Some("an element is there with other data")
            }
            Errno::EEXIST if self.object.starts_with("set") => {
                Some("it exists with another key, data or flags")
            }
            Errno::ENFILE if self.object.starts_with("elements") => Some("the set is full"),
            Errno::EPERM => Some("the table belongs to another program"),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = Errno::from_raw(self.errno);
        write!(f, "{} {}: {}", self.operation, self.object, errno.desc())?;
        if let Some(hint) = self.hint() {
            write!(f, " ({hint})")?;
        }
        if let Some(text) = &self.kernel_text {
            write!(f, ": {text}")?;
        }
        if let Some(part) = &self.part {
            write!(f, ", at {part}")?;
        }
        Ok(())
    }
}

/// The first refusals on one line.
struct RefusalList<'a> {
    refusals: &'a [Refusal],
    more: usize,
}

impl fmt::Display for RefusalList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        f.write_str("the kernel refused to ")?;
        for (index, refusal) in self.refusals.iter().take(SHOWN).enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{refusal}")?;
        }
        match self.refusals.len().saturating_sub(SHOWN) + self.more {
            0 => Ok(()),
            rest => write!(f, "; and {rest} more"),
        }
    }
}

/// Reading nf_tables failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Another program committed while the dump ran, so it may mix two states. What was visited
    /// must be thrown away; retry, as [`read_consistently`](super::read_consistently) does.
    #[error("nf_tables were changed by another program while they were read")]
    Interrupted,
    /// Retrying did not help: other programs kept committing.
    #[error("nf_tables were changed by other programs during each of {attempts} attempts to read")]
    Unstable {
        /// How often it was tried.
        attempts: u32,
    },
    /// The process may not read nf_tables here.
    #[error("reading nf_tables {PRIVILEGE}")]
    Permission,
    /// The kernel refused the request.
    #[error("the kernel refused to list {object}: {}", Errno::from_raw(*.errno).desc())]
    Refused {
        /// What was asked for.
        object: String,
        /// Positive errno.
        errno: i32,
    },
    /// The kernel's answer lacks something it always has.
    #[error("the kernel's list of {object} has an entry without {missing}")]
    Malformed {
        /// What was asked for.
        object: String,
        /// The attribute.
        missing: &'static str,
    },
    /// The socket failed.
    #[error("netfilter netlink socket: {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}
