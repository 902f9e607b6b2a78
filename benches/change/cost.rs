//! What a piece of work costs this thread.

use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// Time in microseconds.
///
/// The sum of the two CPU times is exact; how it is split is exact only where the kernel accounts
/// for every entry and exit (`CONFIG_VIRT_CPU_ACCOUNTING_GEN`), elsewhere it follows clock ticks,
/// so that the split means something over many pieces of work, and nothing over one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) user: f64,
    pub(crate) kernel: f64,
}

impl Cost {
    /// CPU time.
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.kernel
    }

    /// The middle of some figure of several costs, or the mean of the two in the middle.
    pub(crate) fn median(costs: &[Self], of: impl Fn(&Self) -> f64) -> f64 {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => values[odd / 2],
            even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
        }
    }

    /// The mean of some figure.
    #[expect(clippy::cast_precision_loss, reason = "changes are few")]
    pub(crate) fn mean(costs: &[Self], of: impl Fn(&Self) -> f64) -> f64 {
        costs.iter().map(of).sum::<f64>() / costs.len() as f64
    }
}

/// Does a piece of work on this thread, and tells what it cost.
pub(crate) fn cost<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Cost)> {
    let usage = || getrusage(UsageWho::RUSAGE_THREAD);
    let (before, started) = (usage()?, Instant::now());
    let value = work()?;
    let (wall, after) = (started.elapsed(), usage()?);
    let between = |of: fn(&Usage) -> TimeVal| microseconds(of(&after)) - microseconds(of(&before));
    let cost = Cost {
        wall: wall.as_secs_f64() * 1e6,
        user: between(Usage::user_time),
        kernel: between(Usage::system_time),
    };
    Ok((value, cost))
}

#[expect(clippy::cast_precision_loss, reason = "CPU times are short")]
fn microseconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 * 1e6 + time.tv_usec() as f64
}
