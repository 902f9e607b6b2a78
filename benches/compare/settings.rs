//! What is measured, as the user asked.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::result::Tool;

/// Groups of cases, as `--cases` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Cold start, with memory
    Cold,
    /// Restart with equal state
    Restart,
    /// One endpoint changed
    Change,
    /// One Service added, and removed
    Service,
    /// Rolling update of 100 endpoints
    Rolling,
    /// The table deleted by another program, and repaired
    Repair,
    /// Connections through the first and the last of many Services
    DataPath,
}

/// What is measured.
#[derive(Args, Debug)]
pub(crate) struct SettingsArgs {
    /// Numbers of Services
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    sizes: Vec<u32>,
    /// 100, 1 000, 10 000 and 50 000 Services
    #[arg(long, conflicts_with = "sizes")]
    full: bool,
    /// 20 Services, one run, results to target/bench: does the benchmark itself work?
    #[arg(long, conflicts_with_all = ["sizes", "full"])]
    quick: bool,
    /// What to measure [default: everything]
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Group>,
    /// What to measure it with [default: everything that is here]
    #[arg(long, value_enum, value_delimiter = ',')]
    tools: Vec<Tool>,
    /// Endpoints of each Service
    #[arg(long, default_value_t = 10)]
    endpoints: u32,
    /// Most runs of each case; the median is shown
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds after which one run is stopped
    #[arg(long, default_value_t = 45)]
    limit: u64,
    /// Minutes after which nothing more is begun
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The portolan to measure [default: the one built with this benchmark]
    #[arg(long, value_name = "PATH")]
    portolan: Option<PathBuf>,
    /// A kube-proxy to measure as well; needs --kubeconfig
    #[arg(long, value_name = "PATH", env = "KUBE_PROXY_BIN")]
    kube_proxy: Option<PathBuf>,
    /// An API server for kube-proxy, one to be filled with Services
    #[arg(long, value_name = "PATH", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Directory for benchmarks.md and benchmarks/*
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The same, settled.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) sizes: Vec<u32>,
    pub(crate) endpoints: u32,
    pub(crate) runs: usize,
    pub(crate) limit: Duration,
    pub(crate) portolan: PathBuf,
    pub(crate) kube_proxy: Option<(PathBuf, PathBuf)>,
    pub(crate) out: PathBuf,
    groups: Vec<Group>,
    tools: Vec<Tool>,
    end: Instant,
}

impl Settings {
    pub(crate) fn new(args: SettingsArgs) -> Self {
        let top = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let (sizes, runs, out) = if args.quick {
            (vec![20], 1, top.join("target/bench"))
        } else if args.full {
            (vec![100, 1000, 10_000, 50_000], args.runs, top.join("docs"))
        } else {
            (args.sizes, args.runs, top.join("docs"))
        };
        Self {
            sizes,
            endpoints: args.endpoints,
            runs: runs.max(1),
            limit: Duration::from_secs(args.limit),
            portolan: args
                .portolan
                .unwrap_or_else(|| env!("CARGO_BIN_EXE_portolan").into()),
            kube_proxy: args.kube_proxy.zip(args.kubeconfig),
            out: args.out.unwrap_or(out),
            groups: args.cases,
            tools: args.tools,
            end: Instant::now() + Duration::from_secs(args.minutes * 60),
        }
    }

    pub(crate) fn wants(&self, group: Group) -> bool {
        self.groups.is_empty() || self.groups.contains(&group)
    }

    pub(crate) fn uses(&self, tool: Tool) -> bool {
        self.tools.is_empty() || self.tools.contains(&tool)
    }

    /// There is time to begin something.
    pub(crate) fn in_time(&self) -> bool {
        Instant::now() < self.end
    }
}
