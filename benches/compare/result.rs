//! What is measured: cases, the tools they are measured with, and the figures.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::manifests::Shape;
use crate::settings::Group;

/// portolan's modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    Nftables,
    Iptables,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Nftables, Self::Iptables];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// What happens; the order is the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// From nothing in the kernel to everything.
    Cold,
    /// Started again, with everything in the kernel as it should be.
    Restart,
    /// One endpoint has another address.
    Endpoint,
    /// The same, where one file holds the whole cluster.
    EndpointOneFile,
    ServiceAdded,
    ServiceRemoved,
    /// A hundred endpoints have other addresses.
    Rolling,
    /// Another program deleted the table.
    Repair,
}

impl Case {
    /// The group it is asked for with.
    pub(crate) fn group(self) -> Group {
        match self {
            Self::Cold => Group::Cold,
            Self::Restart => Group::Restart,
            Self::Endpoint | Self::EndpointOneFile => Group::Change,
            Self::ServiceAdded | Self::ServiceRemoved => Group::Service,
            Self::Rolling => Group::Rolling,
            Self::Repair => Group::Repair,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cold => "cold start",
            Self::Restart => "restart, equal state",
            Self::Endpoint => "one endpoint changed",
            Self::EndpointOneFile => "one endpoint changed, cluster in one file",
            Self::ServiceAdded => "one service added",
            Self::ServiceRemoved => "one service removed",
            Self::Rolling => "rolling update of 100 endpoints",
            Self::Repair => "table deleted by another program",
        }
    }
}

/// What it is done with; the order is the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tool {
    /// The agent in nftables mode
    RunNftables,
    /// `portolan apply` in nftables mode
    ApplyNftables,
    /// `nft -f`: the whole table, or only the elements that differ
    Nft,
    /// The agent in iptables mode
    RunIptables,
    /// `portolan apply` in iptables mode
    ApplyIptables,
    /// `iptables-restore`: whole tables, or (`--noflush`) only the chains that differ
    IptablesRestore,
    /// `iptables-restore --noflush` of all rules, what is there kept: kube-proxy's call
    IptablesRestoreNoflush,
    /// The agent in nftables mode, told by an API server
    ServedNftables,
    /// kube-proxy in nftables mode
    KubeProxyNftables,
    /// The agent in iptables mode, told by an API server
    ServedIptables,
    /// kube-proxy in iptables mode
    KubeProxyIptables,
}

impl Tool {
    /// The agent in a mode.
    pub(crate) fn run(mode: Mode) -> Self {
        match mode {
            Mode::Nftables => Self::RunNftables,
            Mode::Iptables => Self::RunIptables,
        }
    }

    /// `apply` in a mode.
    pub(crate) fn apply(mode: Mode) -> Self {
        match mode {
            Mode::Nftables => Self::ApplyNftables,
            Mode::Iptables => Self::ApplyIptables,
        }
    }

    /// It writes iptables rules.
    pub(crate) fn is_iptables(self) -> bool {
        use Tool::{
            ApplyIptables, IptablesRestore, IptablesRestoreNoflush, KubeProxyIptables, RunIptables,
            ServedIptables,
        };
        matches!(
            self,
            RunIptables
                | ApplyIptables
                | IptablesRestore
                | IptablesRestoreNoflush
                | KubeProxyIptables
                | ServedIptables
        )
    }

    /// The agent in a mode, told by an API server.
    pub(crate) fn served(mode: Mode) -> Self {
        match mode {
            Mode::Nftables => Self::ServedNftables,
            Mode::Iptables => Self::ServedIptables,
        }
    }

    /// kube-proxy in a mode.
    pub(crate) fn kube_proxy(mode: Mode) -> Self {
        match mode {
            Mode::Nftables => Self::KubeProxyNftables,
            Mode::Iptables => Self::KubeProxyIptables,
        }
    }

    /// A name for pictures.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::IptablesRestoreNoflush => "iptables-restore --noflush",
            other => other.title(),
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RunNftables => "portolan run, nftables",
            Self::ApplyNftables => "portolan apply, nftables",
            Self::Nft => "nft -f",
            Self::RunIptables => "portolan run, iptables",
            Self::ApplyIptables => "portolan apply, iptables",
            Self::IptablesRestore => "iptables-restore",
            Self::IptablesRestoreNoflush => "iptables-restore --noflush, all rules",
            Self::ServedNftables => "API server → portolan, nftables",
            Self::ServedIptables => "API server → portolan, iptables",
            Self::KubeProxyNftables => "API server → kube-proxy, nftables",
            Self::KubeProxyIptables => "API server → kube-proxy, iptables",
        }
    }
}

/// Takes a figure from a run, if it is there.
pub(crate) type Of = fn(&Sample) -> Option<f64>;

/// One run of one case.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// From the start of the process, or from the change of the file, until the kernel has it.
    pub(crate) wall_seconds: f64,
    /// CPU time, of the process and of the kernel for it.
    pub(crate) cpu_seconds: Option<f64>,
    /// The kernel's share; counted in ticks, so that small values mean nothing.
    pub(crate) kernel_seconds: Option<f64>,
    /// From manifests already parsed to rules in the kernel, by the agent's own metric.
    pub(crate) sync_seconds: Option<f64>,
    /// Time within commits, by the agent's own metric: encoding, sending, the kernel's own work.
    pub(crate) commit_seconds: Option<f64>,
    /// Netlink messages in those commits.
    pub(crate) messages: Option<f64>,
    /// Most memory at any time.
    pub(crate) peak_megabytes: Option<f64>,
    /// Memory after a time without work.
    pub(crate) steady_megabytes: Option<f64>,
    /// It did not end within the limit and was killed.
    pub(crate) stopped: bool,
}

impl Sample {
    /// A run that took too long.
    pub(crate) fn stopped_after(limit: Duration) -> Self {
        Self {
            wall_seconds: limit.as_secs_f64(),
            stopped: true,
            ..Self::default()
        }
    }
}

/// All runs of one case with one tool at one size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
    pub(crate) case: Case,
    pub(crate) tool: Tool,
    pub(crate) runs: Vec<Sample>,
}

/// Connections through one Service: how long `connect` takes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connects {
    /// `None` without rules.
    pub(crate) mode: Option<Mode>,
    pub(crate) services: u32,
    /// Which Service, in words.
    pub(crate) through: &'static str,
    pub(crate) connections: usize,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
}

/// What was not measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) what: String,
    /// With so many Services; none if with any number.
    pub(crate) services: Vec<u32>,
    pub(crate) why: String,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes: Vec<_> = self.services.iter().map(u32::to_string).collect();
        match sizes.as_slice() {
            [] => write!(f, "{}: {}", self.what, self.why),
            sizes => write!(
                f,
                "{} ({} Services): {}",
                self.what,
                sizes.join(", "),
                self.why
            ),
        }
    }
}

/// Results as they come in.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Measured>,
    pub(crate) connects: Vec<Connects>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Results {
    pub(crate) fn add(&mut self, shape: Shape, case: Case, tool: Tool, sample: Sample) {
        let Shape {
            services,
            endpoints,
        } = shape;
        let known = self
            .rows
            .iter_mut()
            .find(|row| row.services == services && row.case == case && row.tool == tool);
        match known {
            Some(row) => row.runs.push(sample),
            None => self.rows.push(Measured {
                services,
                endpoints,
                case,
                tool,
                runs: vec![sample],
            }),
        }
    }
}

impl Results {
    /// In the order of the table.
    pub(crate) fn sort(&mut self) {
        self.rows
            .sort_by_key(|row| (row.services, row.case, row.tool));
    }

    /// What was measured of one case with one tool at one size.
    pub(crate) fn find(&self, services: u32, case: Case, tool: Tool) -> Option<&Measured> {
        let mut rows = self.rows.iter();
        rows.find(|row| (row.services, row.case, row.tool) == (services, case, tool))
    }
}

impl Measured {
    /// The median of what `of` takes from the runs; `None` if none has it.
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().filter_map(of).collect())
    }

    /// One of the runs did not end within the limit.
    pub(crate) fn stopped(&self) -> bool {
        self.runs.iter().any(|run| run.stopped)
    }
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => values.get(odd / 2).copied(),
        even => Some(f64::midpoint(values[even / 2 - 1], values[even / 2])),
    }
}
