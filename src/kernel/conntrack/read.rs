//! Reading a part of the table.

use super::{ConntrackError, Flow, Selection, wire};
use crate::kernel::netlink::{Socket, exchange};

/// Reads flows. Memory does not depend on how many there are.
#[derive(Debug)]
pub struct FlowReader {
    socket: Socket,
    filtered: Option<bool>,
}

impl FlowReader {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Whatever opening a socket reports.
    pub fn open() -> Result<Self, ConntrackError> {
        let socket =
            Socket::open().map_err(|error| ConntrackError::of("open a netlink socket", error))?;
        Ok(Self {
            socket,
            filtered: None,
        })
    }

    /// Whether the kernel leaves out what was not asked for (Linux 5.8); `None` as long as nothing
    /// that was read has shown it.
    #[must_use]
    pub fn kernel_filters(&self) -> Option<bool> {
        self.filtered
    }

    /// Visits the flows of a selection. What comes and goes meanwhile may be seen or not.
    ///
    /// # Errors
    /// See [`ConntrackError`]. Flows may have been visited before.
    pub fn visit(
        &mut self,
        selection: &Selection,
        visit: &mut dyn FnMut(&Flow),
    ) -> Result<(), ConntrackError> {
        let seq = self.socket.next_seq();
        let request = wire::dump(selection, seq);
        let mut filtered = self.filtered;
        let outcome = exchange(&mut self.socket, &request, seq, &mut |message| {
            if message.kind != wire::MSG_NEW {
                return;
            }
            let flow = wire::flow(message);
            if flow.is_none_or(|flow| flow.protocol != selection.protocol) {
                let asked = wire::protocol_number(message) == Some(selection.protocol.number());
                filtered = filtered.filter(|_| asked).or(Some(asked));
                return;
            }
            filtered = filtered.or(Some(true));
            if let Some(flow) = flow.filter(|flow| selection.contains(flow)) {
                visit(&flow);
            }
        });
        self.filtered = filtered;
        outcome.map_err(|error| ConntrackError::of("read the connections", error))
    }
}
