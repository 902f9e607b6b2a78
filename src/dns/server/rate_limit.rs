//! How often each client may ask over UDP. Pure: the time is given.
//!
//! Owns a table of fixed size. More clients than it holds displace one another, those first that
//! have asked least: a flood from many addresses neither grows it nor frees a client that is over
//! its rate. Must not look at what is asked.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Places of one set: a client is looked for in no others.
const WAYS: usize = 8;
/// Sets behind one lock.
const SETS: usize = 32;
/// Locks.
const SHARDS: usize = 256;
/// Nanoseconds of its rate that a client may use at once: a second's worth.
const BURST: u64 = 1_000_000_000;

/// What a query gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The answer.
    Answer,
    /// The mark of truncation, upon which an honest client asks over TCP.
    Truncate,
    /// Nothing: the client is at twice its rate.
    Drop,
}

/// Whoever shares a rate: an IPv4 address, or an IPv6 /64, of which one machine has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    V6(u64),
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                let bits = [a, b, c, d].map(u64::from);
                Self::V6(bits.into_iter().fold(0, |sum, part| sum << 16 | part))
            }
        }
    }
}

/// A client's account: when what it has had would be due at its rate (the generic cell rate
/// algorithm of ATM, ITU-T I.371), in nanoseconds since the table was made.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    client: Option<Client>,
    answers: u64,
    truncated: u64,
}

/// The accounts.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Nanoseconds between two queries at the rate.
    interval: u64,
    start: Instant,
    /// Secret, so that nobody can choose addresses that displace a certain client.
    hasher: RandomState,
    shards: Vec<Mutex<[[Account; WAYS]; SETS]>>,
}

impl RateLimit {
    /// Accounts for so many queries a second and client.
    pub(super) fn new(per_second: NonZeroU32, start: Instant) -> Self {
        let empty = || Mutex::new([[Account::default(); WAYS]; SETS]);
        Self {
            interval: (BURST / u64::from(per_second.get())).max(1),
            start,
            hasher: RandomState::new(),
            shards: std::iter::repeat_with(empty).take(SHARDS).collect(),
        }
    }

    /// Enters a query into its client's account.
    pub(super) fn check(&self, address: IpAddr, now: Instant) -> Verdict {
        let client = Client::of(address);
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let place = usize::try_from(self.hasher.hash_one(client) >> 32).unwrap_or(0);
        let Some(shard) = self.shards.get(place % SHARDS) else {
            return Verdict::Answer;
        };
        let mut sets = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let account = account(&mut sets[place / SHARDS % SETS], client);
        if take(&mut account.answers, now, self.interval) {
            Verdict::Answer
        } else if take(&mut account.truncated, now, self.interval) {
            Verdict::Truncate
        } else {
            Verdict::Drop
        }
    }
}

/// The client's account; a new one in the place of the one that is nearest to a new one.
fn account(set: &mut [Account; WAYS], client: Client) -> &mut Account {
    let known = set
        .iter()
        .position(|account| account.client == Some(client));
    let place = known.unwrap_or_else(|| {
        let used = |place: &usize| (set[*place].client.is_some(), set[*place].answers);
        let place = (0..WAYS).min_by_key(used).unwrap_or(0);
        set[place] = Account {
            client: Some(client),
            ..Account::default()
        };
        place
    });
    &mut set[place]
}

/// Whether one more is within the rate; it is counted only then.
fn take(due: &mut u64, now: u64, interval: u64) -> bool {
    let next = now.max(*due).saturating_add(interval);
    let within = next <= now.saturating_add(BURST);
    if within {
        *due = next;
    }
    within
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn limit(per_second: u32) -> (RateLimit, Instant) {
        let start = Instant::now();
        (RateLimit::new(per_second.try_into().unwrap(), start), start)
    }

    /// How many of so many queries at one time get each verdict.
    fn count(limit: &RateLimit, address: &str, now: Instant, queries: usize) -> [usize; 3] {
        let address = address.parse().unwrap();
        let mut counts = [0; 3];
        for _ in 0..queries {
            counts[limit.check(address, now) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_client_gets_its_rate_then_truncation_at_the_same_rate_then_nothing() {
        let (limit, start) = limit(100);
        assert_eq!(count(&limit, "10.0.0.1", start, 1000), [100, 100, 800]);
        let later = start + Duration::from_millis(100);
        assert_eq!(count(&limit, "10.0.0.1", later, 1000), [10, 10, 980]);
        let much_later = start + Duration::from_secs(60);
        assert_eq!(count(&limit, "10.0.0.1", much_later, 1000), [100, 100, 800]);
    }

    #[test]
    fn a_client_at_its_rate_is_never_limited() {
        for per_second in [1, 3, 1000, 1_000_000] {
            let (limit, start) = limit(per_second);
            for query in 0..5000 {
                let now = start + Duration::from_secs(1) * query / per_second;
                let verdict = limit.check("10.0.0.1".parse().unwrap(), now);
                assert_eq!(verdict, Verdict::Answer, "{per_second}: {query}");
            }
        }
    }

    #[test]
    fn clients_are_ipv4_addresses_and_ipv6_networks_of_64_bits() {
        let (limit, now) = limit(1);
        for (address, expected) in [
            ("10.0.0.1", [1, 0, 0]),
            ("10.0.0.2", [1, 0, 0]),
            ("::ffff:10.0.0.1", [0, 1, 0]),
            ("fd00:1:2:3::1", [1, 0, 0]),
            ("fd00:1:2:3:ffff::2", [0, 1, 0]),
            ("fd00:1:2:4::1", [1, 0, 0]),
        ] {
            assert_eq!(count(&limit, address, now, 1), expected, "{address}");
        }
    }

    #[test]
    fn a_flood_from_100_000_addresses_neither_grows_the_table_nor_frees_a_client() {
        let (limit, now) = limit(100);
        count(&limit, "192.0.2.1", now, 1000);
        for address in 0..100_000 {
            let address = Ipv4Addr::from_bits(0x0A00_0000 + address).into();
            assert_eq!(limit.check(address, now), Verdict::Answer, "{address}");
        }
        assert_eq!(count(&limit, "192.0.2.1", now, 10), [0, 0, 10]);
        let known = limit.shards.iter().map(|shard| {
            let sets = shard.lock().unwrap();
            let accounts = sets.iter().flatten();
            accounts.filter(|account| account.client.is_some()).count()
        });
        // Full to the last places, which a hash leaves to chance.
        assert!((60_000..=WAYS * SETS * SHARDS).contains(&known.sum()));
        assert!(size_of::<Account>() * WAYS * SETS * SHARDS <= 3 << 20);
    }
}
