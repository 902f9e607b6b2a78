//! Where and when: figures mean nothing without it.

use std::fs;
use std::process::Command;

use jiff::Timestamp;
use serde::Serialize;

use crate::settings::Settings;

/// The machine as it was before anything was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    date: String,
    kernel: String,
    processor: String,
    cores: usize,
    memory_gigabytes: f64,
    /// Runnable processes over the last minute; those of others, since nothing had begun.
    load_average: f64,
    /// Others were using the machine, so that times are too long.
    busy: bool,
    nft: String,
    iptables: String,
    commit: String,
}

impl Machine {
    pub(crate) fn look() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let load = fs::read_to_string("/proc/loadavg")?;
        let load_average: f64 = load.split(' ').next().unwrap_or_default().parse()?;
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
            load_average,
            // Building this benchmark itself leaves some load behind.
            busy: load_average > 0.75 * cores as f64,
            nft: said_by(&["nft", "--version"], 1),
            iptables: said_by(&["iptables-restore", "--version"], 1),
            commit: said_by(&["git", "rev-parse", "--short", "HEAD"], 0),
        })
    }

    /// All of it in a sentence.
    pub(crate) fn sentence(&self, settings: &Settings) -> String {
        let busy = if self.busy {
            format!(
                "**Machine busy**: others were using it (load average {} before the start), so that wall times are \
                 longer than they need to be. ",
                self.load_average
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
