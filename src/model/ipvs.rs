//! What a Service asks of IPVS in annotations: a scheduler, and weights of its endpoints.
//!
//! Owns how both are written. The words are `ipvsadm`'s.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::{EndpointSlice, Service};

/// `IP_VS_SVC_F_SCHED1` (`include/uapi/linux/ip_vs.h`): `sh-fallback`, `mh-fallback`.
pub(crate) const FALLBACK: u32 = 0x8;
/// `IP_VS_SVC_F_SCHED2`: `sh-port`, `mh-port`.
pub(crate) const BY_PORT: u32 = 0x10;

/// A scheduler with its flags.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scheduler {
    /// The module's name without `ip_vs_`.
    pub name: Arc<str>,
    /// [`FALLBACK`] and [`BY_PORT`], where the scheduler has them.
    pub flags: u32,
}

impl Scheduler {
    /// The schedulers of Linux (`net/netfilter/ipvs/Kconfig`).
    pub const NAMES: [&'static str; 13] = [
        "rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq",
    ];

    /// A scheduler without flags.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self {
            name: name.into(),
            flags: 0,
        }
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::plain("rr")
    }
}

/// Reads `rr`, or `sh,sh-port,sh-fallback`. `mh` alone hashes the port too, as kube-proxy has it;
/// `mh,mh-fallback` says otherwise.
impl FromStr for Scheduler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',').map(str::trim);
        let name = words.next().unwrap_or_default();
        if !Self::NAMES.contains(&name) {
            let known = Self::NAMES.join(", ");
            return Err(format!(
                "\"{name}\" is no IPVS scheduler: use one of {known}"
            ));
        }
        let mut flags = None;
        for word in words {
            let flag = word.strip_prefix(name).unwrap_or_default();
            let bit = match (name, flag) {
                ("sh" | "mh", "-fallback") => FALLBACK,
                ("sh" | "mh", "-port") => BY_PORT,
                _ => {
                    return Err(format!(
                        "\"{word}\" is no flag of scheduler {name}: sh and mh have NAME-fallback \
                         and NAME-port"
                    ));
                }
            };
            flags = Some(flags.unwrap_or(0) | bit);
        }
        let default = if name == "mh" { BY_PORT } else { 0 };
        Ok(Self {
            name: name.into(),
            flags: flags.unwrap_or(default),
        })
    }
}

/// How `ipvsadm -b` has the flags: `rr`, `mh,mh-port`.
impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (bit, word) in [(FALLBACK, "fallback"), (BY_PORT, "port")] {
            if self.flags & bit != 0 {
                write!(f, ",{}-{word}", self.name)?;
            }
        }
        Ok(())
    }
}

/// The Service's scheduler: `wrr`, or `sh,sh-port`.
pub const SCHEDULER_ANNOTATION: &str = "portolan.dev/ipvs-scheduler";
/// Weights of its endpoints: `2` for all of them, `2,web-1=5,10.233.65.7=0` with exceptions by
/// pod name or address.
pub const WEIGHT_ANNOTATION: &str = "portolan.dev/ipvs-weight";

/// The largest weight that portolan takes; the kernel's schedulers multiply it (`int`).
const MAX_WEIGHT: u32 = 65_535;

/// The scheduler that a Service asks for.
///
/// # Errors
/// There is no such scheduler.
pub fn scheduler_of(service: &Service) -> Result<Option<Scheduler>, String> {
    let text = service.annotations.get(SCHEDULER_ANNOTATION);
    text.map(|text| text.trim().parse()).transpose()
}

/// Weights of a Service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    default: u32,
    exceptions: BTreeMap<Box<str>, u32>,
    by_pod: BTreeMap<IpAddr, u32>,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            default: 1,
            exceptions: BTreeMap::new(),
            by_pod: BTreeMap::new(),
        }
    }
}

impl Weights {
    /// Reads the value of [`WEIGHT_ANNOTATION`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut weights = Self::default();
        for (position, part) in text.split(',').map(str::trim).enumerate() {
            let number = |text: &str| {
                let number = text.trim().parse().ok();
                number
                    .filter(|weight| *weight <= MAX_WEIGHT)
                    .ok_or_else(|| format!("\"{text}\" is no weight from 0 to {MAX_WEIGHT}"))
            };
            match part.split_once('=') {
                Some((whose, weight)) => {
                    let whose = whose.trim().into();
                    weights.exceptions.insert(whose, number(weight)?);
                }
                None if position == 0 => weights.default = number(part)?,
                None => {
                    return Err(format!(
                        "\"{part}\" is not POD=WEIGHT or ADDRESS=WEIGHT: only the first part may \
                         be a weight for all"
                    ));
                }
            }
        }
        Ok(weights)
    }

    /// The weights that a Service asks for, for the pods of its slices.
    ///
    /// # Errors
    /// What is wrong with the annotation.
    pub fn of(service: &Service, slices: &[EndpointSlice]) -> Result<Self, String> {
        let Some(text) = service.annotations.get(WEIGHT_ANNOTATION) else {
            return Ok(Self::default());
        };
        let mut weights = Self::parse(text)?;
        let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
        for endpoint in endpoints {
            let pod = endpoint.pod.as_deref();
            let weight = pod.and_then(|pod| weights.exceptions.get(pod)).copied();
            let address = endpoint.address.to_string();
            let weight = weight.or_else(|| weights.exceptions.get(&*address).copied());
            if let Some(weight) = weight {
                weights.by_pod.insert(endpoint.address, weight);
            }
        }
        Ok(weights)
    }

    /// The weight of the endpoint at an address.
    #[must_use]
    pub fn weight(&self, address: IpAddr) -> u32 {
        self.by_pod.get(&address).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_are_read_as_ipvsadm_has_them() {
        let parse = |text: &str| text.parse::<Scheduler>();
        assert_eq!(parse("rr").unwrap(), Scheduler::default());
        assert_eq!(parse("sh").unwrap().flags, 0);
        assert_eq!(parse("sh, sh-port,sh-fallback").unwrap().flags, 0x18);
        assert_eq!(parse("mh").unwrap().to_string(), "mh,mh-port");
        assert_eq!(parse("mh,mh-fallback").unwrap().flags, FALLBACK);
        for name in Scheduler::NAMES {
            let scheduler = parse(name).unwrap();
            assert_eq!(parse(&scheduler.to_string()).unwrap(), scheduler);
        }
        for wrong in ["", "round-robin", "rr,rr-port", "sh,mh-port", "sh,"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn weights_are_for_all_with_exceptions() {
        let weights = Weights::parse("2, web-1=5,10.1.0.7=0").unwrap();
        assert_eq!(weights.default, 2);
        assert_eq!(weights.exceptions.len(), 2);
        assert_eq!(Weights::parse("web-1=5").unwrap().default, 1);
        for wrong in ["", "x", "-1", "65536", "1,2", "web=", "web=x"] {
            assert!(Weights::parse(wrong).is_err(), "{wrong}");
        }
    }
}
