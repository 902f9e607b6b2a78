//! What a zone is made with.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hickory_proto::rr::Name;
use ipnet::IpNet;

/// Which pod names `10-233-65-1.NAMESPACE.pod.ZONE` are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodRecords {
    /// None.
    Disabled,
    /// Any address in a namespace that exists: nobody looks whether there is such a pod.
    Insecure,
    /// Only those of pods that are known to be in that namespace.
    #[default]
    Verified,
}

/// For which addresses PTR is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReverseZones {
    /// All. An address that is no Service's and no endpoint's is somebody else's to answer for.
    #[default]
    Any,
    /// Those in these networks, with authority: what is not known there does not exist.
    Networks(Vec<IpNet>),
}

/// What a zone is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOptions {
    /// `--cluster-domain`, absolute.
    pub domain: Name,
    /// Time to live of records in seconds, 0 to 3600.
    pub ttl: u32,
    /// Pod names.
    pub pods: PodRecords,
    /// Name endpoints without a host name by their pod instead of by their address.
    pub endpoint_pod_names: bool,
    /// Namespaces that are answered for; all, if there is none. Others do not exist.
    pub namespaces: Vec<Box<str>>,
    /// A Service with a cluster IP but no ready endpoint does not exist.
    pub ignore_empty_service: bool,
    /// Names that ask for the endpoints of one topology zone are answered.
    pub zonal: bool,
    /// Reverse zones.
    pub reverse: ReverseZones,
    /// The addresses the server is reached at, for the zone's NS record.
    pub server_addresses: Vec<IpAddr>,
}

/// A zone cannot be made like that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The cluster domain.
    #[error("\"{0}\" is not a domain such as cluster.local")]
    Domain(String),
    /// The time to live.
    #[error("a TTL of {0} s is more than 3600 s")]
    Ttl(u32),
}

impl ZoneOptions {
    /// Time to live that CoreDNS gives. Answers are as new as the rules, so nothing is gained by
    /// making clients forget sooner, and little by making them remember longer.
    pub const DEFAULT_TTL: u32 = 5;

    /// The defaults, for a domain.
    ///
    /// # Errors
    /// The domain is none, or only the root.
    pub fn new(domain: &str) -> Result<Self, OptionsError> {
        let name = Name::from_ascii(domain.trim_end_matches('.'));
        let mut name = name.map_err(|_| OptionsError::Domain(domain.to_owned()))?;
        name.set_fqdn(true);
        let is_label = |label: &[u8]| {
            label
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
        };
        // Room for the longest name of an endpoint: three labels of 63 bytes.
        if name.is_root() || name.len() > 60 || !name.iter().all(is_label) {
            return Err(OptionsError::Domain(domain.to_owned()));
        }
        Ok(Self {
            domain: name,
            ttl: Self::DEFAULT_TTL,
            pods: PodRecords::default(),
            endpoint_pod_names: false,
            namespaces: Vec::new(),
            ignore_empty_service: false,
            zonal: false,
            reverse: ReverseZones::default(),
            server_addresses: Vec::new(),
        })
    }

    /// Whether a namespace is answered for.
    pub(super) fn exposes(&self, namespace: &str) -> bool {
        let mut named = self.namespaces.iter();
        self.namespaces.is_empty() || named.any(|name| **name == *namespace)
    }

    /// With this time to live, in seconds.
    ///
    /// # Errors
    /// It is more than CoreDNS takes: an hour.
    pub fn with_ttl(self, ttl: u32) -> Result<Self, OptionsError> {
        if ttl > 3600 {
            return Err(OptionsError::Ttl(ttl));
        }
        Ok(Self { ttl, ..self })
    }
}

impl fmt::Display for PodRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Insecure => "insecure",
            Self::Verified => "verified",
        })
    }
}

/// CoreDNS' spelling.
impl FromStr for PodRecords {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Disabled, Self::Insecure, Self::Verified]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| "one of disabled, insecure, verified".to_owned())
    }
}
