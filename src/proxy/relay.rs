//! Two connections as one: bytes both ways until both ways have ended.
//!
//! * One side's end is passed on as an end (half-close), and the other way stays open.
//! * A reset of one side is passed on as a reset.
//! * Back-pressure is the kernel's: nothing is read before what was read is written.
//! * A connection that is silent has no buffer. A long transfer goes through a pipe
//!   ([`Pipe`]) and is never copied; a short one is cheaper through a buffer, because a pipe
//!   is two system calls to make and two more files.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;

use crate::kernel::splice::Pipe;

/// Bytes one way from which on it is spliced.
const SPLICE_AFTER: u64 = 256 * 1024;
/// Bytes that are copied at a time.
const BUFFER: usize = 64 * 1024;

thread_local! {
    /// Nothing stays in it beyond a poll.
    static COPY: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// When something last passed.
struct Clock {
    started: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        let (started, last) = (Instant::now(), AtomicU64::new(0));
        Self { started, last }
    }

    fn tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    /// Waits until nothing has passed for that long.
    async fn silence(&self, limit: Duration) {
        loop {
            let idle = self.idle();
            if idle >= limit {
                return;
            }
            tokio::time::sleep(limit.saturating_sub(idle)).await;
        }
    }
}

/// Relays until both ways have ended; gives the bytes from client and from server.
///
/// # Errors
/// One side was reset, or nothing passed for `idle` (`TimedOut`); both are reset then.
pub(super) async fn relay(
    client: &TcpStream,
    server: &TcpStream,
    idle: Duration,
) -> io::Result<(u64, u64)> {
    let clock = Clock::new();
    let both = async {
        tokio::try_join!(
            one_way(client, server, &clock),
            one_way(server, client, &clock)
        )
    };
    let outcome = tokio::select! {
        outcome = both => outcome,
        () = clock.silence(idle) => Err(io::ErrorKind::TimedOut.into()),
    };
    if outcome.is_err() {
        reset(client);
        reset(server);
    }
    outcome
}

/// Has the connection end with a reset when it is dropped.
pub(super) fn reset(connection: &TcpStream) {
    // Refused where it has ended already.
    let _ = SockRef::from(connection).set_linger(Some(Duration::ZERO));
}

async fn one_way(from: &TcpStream, to: &TcpStream, clock: &Clock) -> io::Result<u64> {
    let mut total = 0;
    loop {
        from.readable().await?;
        consume_budget().await;
        match pass(from, to)? {
            Passed::Nothing => continue,
            Passed::End => break,
            Passed::Bytes { count, rest } => {
                clock.tick();
                total += count;
                write_all(to, &rest).await?;
            }
        }
        if total >= SPLICE_AFTER
            && let Ok(pipe) = Pipe::new()
        {
            total += spliced(from, to, pipe, clock).await?;
            break;
        }
    }
    // Where it is gone altogether, the other way will say so.
    let _ = SockRef::from(to).shutdown(Shutdown::Write);
    Ok(total)
}

enum Passed {
    Nothing,
    End,
    Bytes {
        count: u64,
        /// What could not be written at once.
        rest: Vec<u8>,
    },
}

/// Reads what is there and writes what is taken, without waiting.
fn pass(from: &TcpStream, to: &TcpStream) -> io::Result<Passed> {
    COPY.with_borrow_mut(|buffer| {
        let read = match from.try_read(buffer) {
            Ok(0) => return Ok(Passed::End),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Passed::Nothing),
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        let written = match to.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        Ok(Passed::Bytes {
            count: u64::try_from(read).unwrap_or(0),
            rest: bytes.get(written..).unwrap_or_default().to_vec(),
        })
    })
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The same through a pipe, until the end.
async fn spliced(
    from: &TcpStream,
    to: &TcpStream,
    mut pipe: Pipe,
    clock: &Clock,
) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let taken = from
            .async_io(Interest::READABLE, || pipe.fill(from))
            .await?;
        if taken == 0 {
            return Ok(total);
        }
        clock.tick();
        while pipe.held() > 0 {
            to.async_io(Interest::WRITABLE, || pipe.drain(to)).await?;
            clock.tick();
        }
        total += u64::try_from(taken).unwrap_or(0);
    }
}
