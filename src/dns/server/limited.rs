//! What a client that asks too often gets, and who is told of it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, OpCode};

use super::rate_limit::{RateLimit, Verdict};
use super::respond::{Client, Responder, Step};
use crate::dns::zone::Answer;

/// Between two lines in the log.
const PERIOD: Duration = Duration::from_secs(60);

/// The rates of clients, and what was told of those that were over them.
#[derive(Debug)]
pub(super) struct Limiter {
    rates: RateLimit,
    start: Instant,
    /// Milliseconds from the start until the next line in the log.
    quiet: AtomicU64,
    /// Queries over the rate since the last line.
    over: AtomicU64,
}

impl Limiter {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let start = Instant::now();
        Self {
            rates: RateLimit::new(per_second, start),
            start,
            quiet: AtomicU64::new(0),
            over: AtomicU64::new(0),
        }
    }

    fn check(&self, address: IpAddr, now: Instant) -> Verdict {
        let verdict = self.rates.check(address, now);
        if verdict != Verdict::Answer {
            self.tell(address, now);
        }
        verdict
    }

    fn tell(&self, client: IpAddr, now: Instant) {
        self.over.fetch_add(1, Ordering::Relaxed);
        let now = milliseconds(now.saturating_duration_since(self.start));
        let quiet = self.quiet.load(Ordering::Relaxed);
        let next = now.saturating_add(milliseconds(PERIOD));
        // Of the threads that see it, one writes.
        if now >= quiet
            && self
                .quiet
                .compare_exchange(quiet, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let queries = self.over.swap(0, Ordering::Relaxed);
            tracing::warn!(%client, queries, "queries over --dns-rate-limit, of this client and others");
        }
    }
}

impl Responder {
    /// As [`handle`](Self::handle), for a client that is held to its rate.
    pub(super) fn handle_limited(
        &self,
        request: &[u8],
        client: Client,
        now: Instant,
        rotation: usize,
        buffer: &mut Vec<u8>,
    ) -> Step {
        let verdict = match (&self.limiter, client.address) {
            (Some(limiter), Some(address)) => limiter.check(address.ip(), now),
            _ => Verdict::Answer,
        };
        match verdict {
            Verdict::Answer => self.handle(request, client, rotation, buffer),
            Verdict::Truncate => {
                self.metrics.limited(true);
                self.truncate(request, client, buffer)
            }
            // Not even read: that is what keeps others answered.
            Verdict::Drop => {
                self.metrics.limited(false);
                Step::Drop
            }
        }
    }

    /// A reply without records: not larger than the request, but for an OPT record.
    fn truncate(&self, request: &[u8], client: Client, buffer: &mut Vec<u8>) -> Step {
        if Self::is_reply(request) {
            return Step::Drop;
        }
        let Ok(message) = Message::from_vec(request) else {
            return Step::Drop;
        };
        let [query] = message.queries.as_slice() else {
            return Step::Drop;
        };
        if message.metadata.op_code != OpCode::Query {
            return Step::Drop;
        }
        let mut reply = self.skeleton(&message, client);
        reply.metadata.truncation = true;
        self.write(&reply, Some(query), &Answer::default(), buffer)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
