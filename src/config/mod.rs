//! From flags, or kube-proxy's configuration file, to one validated configuration.
//!
//! Owns defaults and the rules flags must keep, reporting every mistake of a command line at once.
//! Must not bind, open or program anything.

mod duration;
mod flags;
mod ipvs;
pub mod kube_proxy;
mod node;
mod proxy;

pub use duration::duration;
pub use flags::{DetectLocalMode, Mode, ProxyFlags};
pub use ipvs::{IpvsConfig, IpvsFlags};
pub use node::NodeFlags;
pub use proxy::{ConfigErrors, DetectLocal, NodePortSelector, ProxyConfig};
