//! What a piece of work costs this thread.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::ClockId;
use serde::{Deserialize, Serialize};

/// Time in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    /// CPU time of the thread, in the process and in the kernel, exact.
    pub(crate) cpu: f64,
    /// How much of it was spent in the kernel. Most systems find that out by looking at every
    /// clock tick, so it means something for work of many ticks only.
    pub(crate) kernel: f64,
}

impl Cost {
    /// CPU time outside of the kernel.
    pub(crate) fn user(&self) -> f64 {
        self.cpu - self.kernel
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
}

/// Does a piece of work on this thread, and tells what it cost.
pub(crate) fn cost<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Cost)> {
    let kernel = || Ok::<_, Errno>(getrusage(UsageWho::RUSAGE_THREAD)?.system_time());
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    let (kernel_before, started, cpu_before) = (kernel()?, Instant::now(), clock.now()?);
    let value = work()?;
    let (cpu_after, wall, kernel_after) = (clock.now()?, started.elapsed(), kernel()?);
    let cost = Cost {
        wall: wall.as_secs_f64() * 1e6,
        cpu: Duration::from(cpu_after - cpu_before).as_secs_f64() * 1e6,
        kernel: microseconds(kernel_after) - microseconds(kernel_before),
    };
    Ok((value, cost))
}

#[expect(clippy::cast_precision_loss, reason = "CPU times are short")]
fn microseconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 * 1e6 + time.tv_usec() as f64
}
