//! kube-proxy's configuration file: `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`.
//!
//! The file is another way to give flags: [`Document::parse`] reads it strictly, finding all
//! mistakes, and [`Document::flags`] words it as the command line of `portolan run`. Everything
//! after that is the same for both. Must not open the file.

mod decode;
mod flags;
mod schema;

pub use decode::{Document, Mistake};
pub use flags::{FLAGS_BESIDE_A_FILE, field_of_flag};
pub use schema::defaults;
