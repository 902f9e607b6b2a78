//! One look at the connection table.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::conntrack::{ConntrackError, Flow, FlowReader, FlowRemover, Selection};
use crate::model::IpFamily;

/// After working this long, a pass may rest.
const SLICE: Duration = Duration::from_millis(10);

/// How many connections were removed, by family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// IPv4.
    pub v4: usize,
    /// IPv6.
    pub v6: usize,
}

/// `removed 3 connections that led nowhere`
impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, noun) = match self.total() {
            1 => (1, "connection that led"),
            count => (count, "connections that led"),
        };
        write!(f, "removed {count} {noun} nowhere")
    }
}

impl Removed {
    /// Of both families.
    #[must_use]
    pub fn total(&self) -> usize {
        self.v4 + self.v6
    }

    fn of(&mut self, family: IpFamily) -> &mut usize {
        match family {
            IpFamily::V4 => &mut self.v4,
            IpFamily::V6 => &mut self.v6,
        }
    }
}

/// The sockets that a pass needs.
#[derive(Debug)]
pub struct Pass {
    reader: FlowReader,
    remover: FlowRemover,
}

impl Pass {
    /// Opens them in the network namespace of the calling thread.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub fn open() -> Result<Self, ConntrackError> {
        Ok(Self {
            reader: FlowReader::open()?,
            remover: FlowRemover::open()?,
        })
    }

    /// See [`FlowReader::kernel_filters`].
    #[must_use]
    pub fn kernel_filters(&self) -> Option<bool> {
        self.reader.kernel_filters()
    }

    /// Removes the stale flows of some parts of the table while reading them, so that memory stays
    /// the same however many they are. Rests for `rest` after each [`SLICE`] of work.
    ///
    /// `is_stale` is asked twice, the second time right before the flow goes.
    ///
    /// # Errors
    /// See [`ConntrackError`]; flows may have been removed before.
    pub fn run(
        &mut self,
        selections: &[Selection],
        is_stale: &mut dyn FnMut(&Flow) -> bool,
        rest: Duration,
    ) -> Result<Removed, ConntrackError> {
        let mut removed = Removed::default();
        for selection in selections {
            let mut batch = Batch {
                remover: &mut self.remover,
                flows: Vec::new(),
                removed: Ok(0),
                slice: Instant::now(),
                rest,
            };
            self.reader.visit(selection, &mut |flow| {
                if is_stale(flow) {
                    batch.take(*flow, is_stale);
                }
                batch.rest_if_due();
            })?;
            batch.flush(is_stale);
            *removed.of(selection.family) += batch.removed?;
        }
        Ok(removed)
    }
}

/// Flows that wait to be removed together.
struct Batch<'a> {
    remover: &'a mut FlowRemover,
    flows: Vec<Flow>,
    removed: Result<usize, ConntrackError>,
    /// When the present slice of work began.
    slice: Instant,
    rest: Duration,
}

impl Batch<'_> {
    fn take(&mut self, flow: Flow, is_stale: &mut dyn FnMut(&Flow) -> bool) {
        self.flows.push(flow);
        if self.flows.len() == FlowRemover::BATCH {
            self.flush(is_stale);
        }
    }

    fn flush(&mut self, is_stale: &mut dyn FnMut(&Flow) -> bool) {
        self.flows.retain(|flow| is_stale(flow));
        // After a failure the list is read to its end, and nothing more is removed.
        if let Ok(removed) = &mut self.removed {
            match self.remover.remove(&self.flows) {
                Ok(more) => *removed += more,
                Err(error) => self.removed = Err(error),
            }
        }
        self.flows.clear();
    }

    fn rest_if_due(&mut self) {
        if !self.rest.is_zero() && self.slice.elapsed() >= SLICE {
            thread::sleep(self.rest);
            self.slice = Instant::now();
        }
    }
}
