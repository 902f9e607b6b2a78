//! portolan's IPVS mode: virtual servers on the dummy device `kube-ipvs0`, and a small nftables
//! table beside them, as `docs/ipvs.md` describes it.
//!
//! [`IpvsTable`] is the way in: one family's desired state, kept from change to change.
//! [`IpvsOptions`] says how the node is set up. Masquerading, source ranges and refusals are the
//! table's work, elements of the sets in [`sets`]; which of the virtual servers are ours is written
//! down there too.
//!
//! Must not read or write the kernel.

mod front_end;
mod options;
mod rules;
pub mod sets;
mod table;

pub use front_end::FrontEnd;
pub use options::IpvsOptions;
pub use sets::{IpvsSet, SETTINGS};
pub use table::{IpvsTable, TableUpdate};
