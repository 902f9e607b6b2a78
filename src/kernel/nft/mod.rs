//! nf_tables over netlink: transactions, dumps, notifications, and the boundary the rest of
//! portolan sees.
//!
//! Built on libnftnl for tables, chains and rules, and libmnl for the socket; neither shows outside
//! of this module. Sets and elements are written directly, because there can be a million of them.
//! Must not know iptables: xtables matches and targets are carried as the bytes they are.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ops: Vec<portolan::plan::op::Op> = Vec::new();
//! use portolan::kernel::nft::{Batch, generation};
//! let mut socket = portolan::kernel::Socket::open()?;
//! let mut batch = Batch::new(Some(generation(&mut socket)?));
//! for op in &ops {
//!     batch.push(op)?;
//! }
//! let committed = batch.commit(&mut socket)?;
//! # Ok(())
//! # }
//! ```

mod batch;
mod blame;
mod boundary;
mod commit;
mod decode;
mod decode_native;
mod decode_set;
mod encode;
mod encode_expr;
mod encode_native;
mod encode_set;
mod error;
pub mod fake;
mod frame;
mod monitor;
mod object;
mod read;
mod read_set;
mod view;
mod wire;

pub use batch::{Batch, Committed, FinishedBatch};
pub use boundary::{NftBatch, NftKernel, READ_PATIENCE, read_consistently, read_within};
pub use error::{CommitError, EncodeError, EncodeReason, ReadError, Refusal};
pub use monitor::{
    Change, Damage, Heard, Interest, MonitorError, NftListener, NftMonitor, ObjectKind, Process,
    Transaction,
};
pub use read::{dump_chains, dump_family_chains, dump_rules, dump_tables, generation};
pub use read_set::{dump_elements, dump_sets, get_elements};
pub use view::{BaseView, ChainView, ElementView, RuleView, SetView, TableView};
