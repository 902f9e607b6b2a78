//! API objects into the model, after defaulting and validation.
//!
//! Lenient on purpose, as kube-proxy is: what cannot be used is left out, so that the same code
//! serves objects that an API server has already accepted. Must not report anything: that is
//! [`super::validate`]'s part.

mod endpoints;
mod intern;
mod node;
mod pod;
mod service;
mod slice;

pub use endpoints::endpoints;
pub use intern::Interner;
pub use node::node;
pub use pod::pod;
pub use service::service;
pub use slice::{Ignored, endpoint_slice};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::{NamespacedName, Protocol};

pub(in crate::source) fn object_name(
    metadata: &ObjectMeta,
    names: &mut Interner,
) -> NamespacedName {
    NamespacedName {
        namespace: names.intern(metadata.namespace.as_deref().unwrap_or("default")),
        name: metadata.name.as_deref().unwrap_or_default().into(),
    }
}

fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text {
        None | Some("TCP" | "") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

/// A usable port number: 0 is as good as none.
fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|&port| port != 0)
}

fn boxed(text: Option<String>) -> Option<Box<str>> {
    text.filter(|text| !text.is_empty())
        .map(String::into_boxed_str)
}
