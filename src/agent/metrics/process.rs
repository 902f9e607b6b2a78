//! The process itself, under the names that all Prometheus clients use.
//!
//! CPU time is read from `getrusage(2)`, which counts microseconds: what one change costs is far
//! below the ticks of `/proc`.

use std::fs;
use std::time::{Duration, SystemTime};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

use super::gauge_value;

/// Reads the process's figures whenever it is scraped.
pub(super) struct ProcessCollector {
    cpu: Counter,
    resident: Gauge,
    virtual_size: Gauge,
    open_files: Gauge,
    max_files: Gauge,
    start_time: Gauge,
}

impl ProcessCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| Gauge::new(name, help);
        let collector = Self {
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            resident: gauge(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            virtual_size: gauge(
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
            )?,
            open_files: gauge("process_open_fds", "Number of open file descriptors.")?,
            max_files: gauge(
                "process_max_fds",
                "Maximum number of open file descriptors.",
            )?,
            start_time: gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )?,
        };
        collector.start_time.set(start_time().unwrap_or_default());
        Ok(collector)
    }

    /// What cannot be read keeps its last value.
    fn read(&self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let spent = seconds(usage.user_time()) + seconds(usage.system_time());
            // Two scrapes at once may both have read the older value; a counter never goes back.
            self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
        }
        if let Some((resident, virtual_size)) = memory() {
            self.resident.set(resident);
            self.virtual_size.set(virtual_size);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            self.open_files
                .set(gauge_value(files.count().saturating_sub(1)));
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.max_files
                .set(usize::try_from(soft).map_or(f64::INFINITY, gauge_value));
        }
    }

    fn parts(&self) -> [&dyn Collector; 6] {
        [
            &self.cpu,
            &self.resident,
            &self.virtual_size,
            &self.open_files,
            &self.max_files,
            &self.start_time,
        ]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        let parts = self.parts().into_iter();
        parts.flat_map(Collector::collect).collect()
    }
}

fn seconds(time: TimeVal) -> f64 {
    let microseconds = u64::try_from(time.num_microseconds()).unwrap_or_default();
    Duration::from_micros(microseconds).as_secs_f64()
}

/// Resident and virtual size in bytes, from `/proc/self/status` (proc(5)).
fn memory() -> Option<(f64, f64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: usize = line.split_whitespace().next()?.parse().ok()?;
        Some(gauge_value(kib * 1024))
    };
    Some((bytes("VmRSS:")?, bytes("VmSize:")?))
}

/// When the process started: field 22 of `/proc/self/stat` (proc(5)), in ticks since boot.
fn start_time() -> Option<f64> {
    /// `USER_HZ`, the same on every architecture that Rust and Linux have in common but Alpha.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    Some(now.as_secs_f64() - (uptime - ticks / TICKS))
}
