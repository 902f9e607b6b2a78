//! What a person asks for, in kubectl's words.

use std::fmt;
use std::str::FromStr;

use crate::model::{Protocol, WorkloadKind};

/// `TYPE/NAME`, as `kubectl port-forward` takes it; a name alone is a Pod's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service: any of its endpoints.
    Service(String),
    /// One Pod.
    Pod(String),
    /// Any Pod of a Deployment, StatefulSet, ReplicaSet or DaemonSet.
    Workload(WorkloadKind, String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((kind, name)) = text.split_once('/') else {
            return Ok(Self::Pod(text.to_owned()));
        };
        if name.is_empty() || name.contains('/') {
            return Err("not a resource such as svc/web".to_owned());
        }
        let name = name.to_owned();
        match kind.to_lowercase().as_str() {
            "svc" | "service" | "services" => Ok(Self::Service(name)),
            "po" | "pod" | "pods" => Ok(Self::Pod(name)),
            "deploy" | "deployment" | "deployments" | "deployments.apps" => {
                Ok(Self::Workload(WorkloadKind::Deployment, name))
            }
            "rs" | "replicaset" | "replicasets" => {
                Ok(Self::Workload(WorkloadKind::ReplicaSet, name))
            }
            "sts" | "statefulset" | "statefulsets" => {
                Ok(Self::Workload(WorkloadKind::StatefulSet, name))
            }
            "ds" | "daemonset" | "daemonsets" => Ok(Self::Workload(WorkloadKind::DaemonSet, name)),
            _ => Err(format!(
                "no ports of a \"{kind}\" can be forwarded: svc/, pod/, deploy/, sts/, rs/ or ds/"
            )),
        }
    }
}

/// As messages name it: `service/web`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service/{name}"),
            Self::Pod(name) => write!(f, "pod/{name}"),
            Self::Workload(kind, name) => write!(f, "{}/{name}", kind.as_str().to_lowercase()),
        }
    }
}

/// A port by its number or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// `[LOCAL:]REMOTE[/udp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// The port here; `None` for the remote one's number, 0 for any.
    pub local: Option<u16>,
    /// The port there: a Service's, or a Pod's.
    pub remote: Remote,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl FromStr for PortSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "not a port such as 80, 8080:80, :80, 8443:https or 5353:53/udp".to_owned();
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, protocol)) => match protocol.to_lowercase().as_str() {
                "tcp" => (ports, Protocol::Tcp),
                "udp" => (ports, Protocol::Udp),
                _ => return Err(wrong()),
            },
        };
        let (local, remote) = match ports.split_once(':') {
            None => (None, ports),
            Some(("", remote)) => (Some(0), remote),
            Some((local, remote)) => (Some(local.parse().map_err(|_| wrong())?), remote),
        };
        let remote = match remote.parse::<u16>() {
            Ok(0) => return Err(wrong()),
            Ok(number) => Remote::Number(number),
            Err(_) if is_name(remote) => Remote::Name(remote.to_owned()),
            Err(_) => return Err(wrong()),
        };
        Ok(Self {
            local,
            remote,
            protocol,
        })
    }
}

/// Names of ports hold a letter (RFC 6335), so that no number is one.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.len() <= 63 && text.bytes().all(fits) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_have_kubectls_names() {
        let shown = |text: &str| text.parse::<Target>().map(|target| target.to_string());
        for (text, expected) in [
            ("web-0", "pod/web-0"),
            ("po/web-0", "pod/web-0"),
            ("svc/web", "service/web"),
            ("service/web", "service/web"),
            ("deploy/web", "deployment/web"),
            ("sts/web", "statefulset/web"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
        for wrong in ["node/n1", "svc/", "svc/a/b"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_are_written_as_for_kubectl() {
        let parsed = |text: &str| {
            let spec = text.parse::<PortSpec>().ok()?;
            Some((spec.local, spec.remote.to_string(), spec.protocol))
        };
        let remote = |text: &str| text.to_owned();
        assert_eq!(parsed("80"), Some((None, remote("80"), Protocol::Tcp)));
        assert_eq!(
            parsed("8080:80"),
            Some((Some(8080), remote("80"), Protocol::Tcp))
        );
        assert_eq!(parsed(":80"), Some((Some(0), remote("80"), Protocol::Tcp)));
        assert_eq!(
            parsed("8443:https"),
            Some((Some(8443), remote("https"), Protocol::Tcp))
        );
        assert_eq!(
            parsed("53:53/udp"),
            Some((Some(53), remote("53"), Protocol::Udp))
        );
        for wrong in ["", ":", "80:", "x:80", "80/sctp", "80:0", "99999", "1:2:3"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
