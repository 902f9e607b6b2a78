//! What is watched, and with which selectors: kube-proxy's.

use std::fmt::Write;

use crate::source::api::SERVICE_PROXY_NAME_LABEL;

/// Label on the EndpointSlices of headless Services.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// A kind of object that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// Services.
    Services,
    /// EndpointSlices.
    EndpointSlices,
    /// The Node that rules are made for, and no other.
    Nodes,
    /// The ranges that cluster IPs come from.
    ServiceCidrs,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Services,
        Self::EndpointSlices,
        Self::Nodes,
        Self::ServiceCidrs,
    ];

    /// The plural that the API has in its paths; a value of the label `resource` of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::Nodes => "nodes",
            Self::ServiceCidrs => "servicecidrs",
        }
    }

    /// Rules can be made without it: the server may be too old, or not let us.
    #[must_use]
    pub fn is_optional(self) -> bool {
        self == Self::ServiceCidrs
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Services => "/api/v1/services",
            Self::EndpointSlices => "/apis/discovery.k8s.io/v1/endpointslices",
            Self::Nodes => "/api/v1/nodes",
            Self::ServiceCidrs => "/apis/networking.k8s.io/v1/servicecidrs",
        }
    }
}

/// Which objects of the resources are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The own node.
    pub node_name: String,
    /// Everything that has a name in DNS is wanted: headless Services and those of other proxies.
    pub names: bool,
}

/// Path and query of a request.
#[derive(Clone, Debug)]
pub(super) struct Target(String);

impl Selection {
    /// A request for the objects that are selected.
    pub(super) fn target(&self, resource: Resource) -> Target {
        let target = Target(format!("{}?", resource.path()));
        match resource {
            Resource::Services if !self.names => target
                .with("labelSelector", &format!("!{SERVICE_PROXY_NAME_LABEL}"))
                .with("fieldSelector", "spec.clusterIP!=None"),
            Resource::EndpointSlices if !self.names => {
                target.with("labelSelector", &format!("!{HEADLESS_LABEL}"))
            }
            Resource::Nodes => {
                let selector = format!("metadata.name={}", self.node_name);
                target.with("fieldSelector", &selector)
            }
            _ => target,
        }
    }
}

impl Target {
    /// Adds a parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.ends_with('?') {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing into a string cannot fail.
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_kube_proxy_asks_for() {
        let selection = |names| Selection {
            node_name: "n0".to_owned(),
            names,
        };
        let target = |resource, names| selection(names).target(resource).as_str().to_owned();
        assert_eq!(
            target(Resource::Services, false),
            "/api/v1/services?labelSelector=%21service.kubernetes.io%2Fservice-proxy-name\
             &fieldSelector=spec.clusterIP%21%3DNone"
        );
        assert_eq!(
            target(Resource::EndpointSlices, false),
            "/apis/discovery.k8s.io/v1/endpointslices?labelSelector=\
             %21service.kubernetes.io%2Fheadless"
        );
        assert_eq!(
            target(Resource::Nodes, true),
            "/api/v1/nodes?fieldSelector=metadata.name%3Dn0"
        );
        assert_eq!(target(Resource::Services, true), "/api/v1/services?");
    }
}
