//! Where and when: figures mean nothing without it.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::settings::Settings;

/// More than this of the processors in use is not quiet.
const QUIET_PERCENT: f64 = 15.0;
/// How long is looked for it.
const LOOK: Duration = Duration::from_secs(2);

/// The machine as it was before anything was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    date: String,
    kernel: String,
    processor: String,
    cores: usize,
    memory_gigabytes: f64,
    /// Share of the processors in use before anything was measured: others' work.
    busy_percent: f64,
    /// Others were using the machine, so that times are too long.
    busy: bool,
    nft: String,
    iptables: String,
    commit: String,
}

impl Machine {
    pub(crate) fn look() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let busy_percent = busy_percent()?;
        Ok(Self {
            date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            processor: value_in("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores,
            memory_gigabytes: value_in("/proc/meminfo", "MemTotal")
                .and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok())
                .map_or(0.0, |kilobytes| (kilobytes / 1e5).round() / 10.0),
            busy_percent,
            busy: busy_percent > QUIET_PERCENT,
            nft: said_by(&["nft", "--version"], 1),
            iptables: said_by(&["iptables-restore", "--version"], 1),
            commit: said_by(&["git", "rev-parse", "--short", "HEAD"], 0),
        })
    }

    /// All of it in a sentence.
    pub(crate) fn sentence(&self, settings: &Settings) -> String {
        let busy = if self.busy {
            format!(
                "**Machine busy**: others were using {:.0} % of it before the start, so that wall times are longer \
                 than they need to be. ",
                self.busy_percent
            )
        } else {
            String::new()
        };
        format!(
            "{busy}{}, Linux {}, {} ({} cores, {} GB), nft {}, iptables {}, portolan at {}; {} endpoints per Service; \
             medians of up to {} runs, stopped after {} s.",
            self.date,
            self.kernel,
            self.processor,
            self.cores,
            self.memory_gigabytes,
            self.nft,
            self.iptables,
            self.commit,
            settings.endpoints,
            settings.runs,
            settings.limit.as_secs()
        )
    }
}

/// How much of the processors is in use.
fn busy_percent() -> anyhow::Result<f64> {
    let before = ticks()?;
    thread::sleep(LOOK);
    let after = ticks()?;
    let (all, idle) = (after.0 - before.0, after.1 - before.1);
    Ok(100.0 * (all - idle) / all.max(1.0))
}

/// Processor time since the machine was started: all, and idle.
fn ticks() -> anyhow::Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let words = line.split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>()?;
    // user nice system idle iowait irq softirq steal
    let idle = ticks.iter().skip(3).take(2).sum();
    Ok((ticks.iter().sum(), idle))
}

/// The value of the first line `key : value` of a file.
fn value_in(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The nth word that a program says.
fn said_by(command: &[&str], word: usize) -> String {
    let [program, arguments @ ..] = command else {
        return String::new();
    };
    let said = Command::new(program).args(arguments).output();
    said.ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| Some(text.split_whitespace().nth(word)?.to_owned()))
        .map_or_else(
            || "unknown".to_owned(),
            |word| word.trim_start_matches('v').to_owned(),
        )
}
