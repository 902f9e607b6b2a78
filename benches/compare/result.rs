//! What is measured: cases, the tools they are measured with, and the figures.

use serde::Serialize;

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
}

impl Case {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Cold => "cold start",
            Self::Restart => "restart, equal state",
            Self::Endpoint => "one endpoint changed",
            Self::EndpointOneFile => "one endpoint changed, cluster in one file",
            Self::ServiceAdded => "one service added",
            Self::ServiceRemoved => "one service removed",
            Self::Rolling => "rolling update of 100 endpoints",
        }
    }
}

/// What it is done with; the order is the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tool {
    RunNftables,
    ApplyNftables,
    /// `nft -f`: the whole table, or only the elements that differ.
    Nft,
    RunIptables,
    ApplyIptables,
    /// `iptables-restore`: whole tables, or (`--noflush`) only the chains that differ.
    IptablesRestore,
    /// All rules, with what is there kept: kube-proxy's call.
    IptablesRestoreNoflush,
    KubeProxy,
}

impl Tool {
    pub(crate) const ALL: [Self; 8] = [
        Self::RunNftables,
        Self::ApplyNftables,
        Self::Nft,
        Self::RunIptables,
        Self::ApplyIptables,
        Self::IptablesRestore,
        Self::IptablesRestoreNoflush,
        Self::KubeProxy,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RunNftables => "portolan run, nftables",
            Self::ApplyNftables => "portolan apply, nftables",
            Self::Nft => "nft -f",
            Self::RunIptables => "portolan run, iptables",
            Self::ApplyIptables => "portolan apply, iptables",
            Self::IptablesRestore => "iptables-restore",
            Self::IptablesRestoreNoflush => "iptables-restore --noflush, all rules",
            Self::KubeProxy => "kube-proxy",
        }
    }
}

/// One run of one case.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// From the start of the process, or from the change of the file, until the kernel has it.
    pub(crate) wall_seconds: f64,
    /// CPU time, of the process and of the kernel for it.
    pub(crate) cpu_seconds: Option<f64>,
    /// The kernel's share; counted in ticks, so that small values mean nothing.
    pub(crate) kernel_seconds: Option<f64>,
    /// Time within commits, by the agent's own metric.
    pub(crate) commit_seconds: Option<f64>,
    /// Most memory at any time.
    pub(crate) peak_megabytes: Option<f64>,
    /// Memory after a time without work.
    pub(crate) steady_megabytes: Option<f64>,
    /// It did not end within the limit and was killed.
    pub(crate) stopped: bool,
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

/// Results as they come in.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Measured>,
    /// What was left out, and why, a line each.
    pub(crate) left_out: Vec<String>,
}

impl Results {
    pub(crate) fn add(&mut self, at: (u32, u32), case: Case, tool: Tool, sample: Sample) {
        let (services, endpoints) = at;
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

impl Measured {
    /// The median of what `of` takes from the runs; `None` if none has it.
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().filter_map(of).collect())
    }

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
