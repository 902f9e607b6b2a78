//! The endpoints of a front, and whose turn it is: round robin, and where asked for, the endpoint
//! that a client had before.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Remembered clients up to which nothing is swept.
const UNSWEPT: usize = 1024;

/// Endpoints in turn.
///
/// kube-proxy's userspace mode did the same (`pkg/proxy/userspace/roundrobin.go`, Kubernetes 1.25,
/// its last): strictly in turn, the order being that of the list.
#[derive(Debug, Default)]
pub struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    endpoints: Vec<SocketAddr>,
    next: usize,
    affinity: Option<Duration>,
    clients: HashMap<IpAddr, (SocketAddr, Instant)>,
    /// Clients that were left after the last sweep.
    kept: usize,
}

impl Pool {
    /// A pool of these endpoints. With `affinity`, a client keeps its endpoint for as long after
    /// its last connection.
    #[must_use]
    pub fn new(endpoints: Vec<SocketAddr>, affinity: Option<Duration>) -> Self {
        let pool = Self::default();
        pool.set(endpoints, affinity);
        pool
    }

    /// Replaces the endpoints. Who is remembered at one that is gone is forgotten.
    pub fn set(&self, endpoints: Vec<SocketAddr>, affinity: Option<Duration>) {
        let mut state = self.state();
        if endpoints != state.endpoints {
            state.next = state.turn_in(&endpoints);
            state.endpoints = endpoints;
        }
        state.affinity = affinity;
        let State {
            endpoints, clients, ..
        } = &mut *state;
        match affinity {
            Some(_) => clients.retain(|_, (endpoint, _)| endpoints.contains(endpoint)),
            None => clients.clear(),
        }
    }

    /// An endpoint is in use.
    #[must_use]
    pub fn contains(&self, endpoint: &SocketAddr) -> bool {
        self.state().endpoints.contains(endpoint)
    }

    /// Whose turn it is for a client, leaving out those that were `tried` for it already; `None`
    /// if no other is left.
    #[must_use]
    pub fn next(&self, client: IpAddr, tried: &[SocketAddr], now: Instant) -> Option<SocketAddr> {
        let mut state = self.state();
        if let Some(remembered) = state.remembered(client, now)
            && !tried.contains(&remembered)
        {
            return Some(remembered);
        }
        let count = state.endpoints.len();
        for _ in 0..count {
            let turn = state.next % count;
            state.next = turn + 1;
            let endpoint = state.endpoints.get(turn).copied();
            if endpoint.is_some_and(|endpoint| !tried.contains(&endpoint)) {
                return endpoint;
            }
        }
        None
    }

    /// Remembers that a client got through to an endpoint.
    pub fn reached(&self, client: IpAddr, endpoint: SocketAddr, now: Instant) {
        let mut state = self.state();
        if let Some(timeout) = state.affinity {
            if state.clients.len() >= UNSWEPT.max(2 * state.kept) {
                let fresh = |since: Instant| now.duration_since(since) < timeout;
                state.clients.retain(|_, (_, since)| fresh(*since));
                state.kept = state.clients.len();
            }
            state.clients.insert(client, (endpoint, now));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remembered(&self, client: IpAddr, now: Instant) -> Option<SocketAddr> {
        let timeout = self.affinity?;
        let (endpoint, since) = self.clients.get(&client)?;
        (now.duration_since(*since) < timeout).then_some(*endpoint)
    }

    /// Where the turn goes on in another list: at the first of those to come that is in it.
    fn turn_in(&self, endpoints: &[SocketAddr]) -> usize {
        let count = self.endpoints.len();
        let coming = (0..count).filter_map(|step| self.endpoints.get((self.next + step) % count));
        let mut places = coming.filter_map(|old| endpoints.iter().position(|new| new == old));
        places.next().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn endpoints(hosts: &[u8]) -> Vec<SocketAddr> {
        let address = |host: &u8| SocketAddr::from(([10, 1, 0, *host], 80));
        hosts.iter().map(address).collect()
    }

    fn host(endpoint: Option<SocketAddr>) -> Option<u8> {
        match endpoint?.ip() {
            IpAddr::V4(v4) => Some(v4.octets()[3]),
            IpAddr::V6(_) => None,
        }
    }

    #[test]
    fn endpoints_take_turns_exactly() {
        let pool = Pool::new(endpoints(&[1, 2, 3]), None);
        let now = Instant::now();
        let turns = (0..7).map(|_| host(pool.next(CLIENT, &[], now)).unwrap());
        assert_eq!(turns.collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn an_endpoint_that_was_tried_is_not_offered_again() {
        let pool = Pool::new(endpoints(&[1, 2, 3]), None);
        let now = Instant::now();
        let mut tried = Vec::new();
        while let Some(endpoint) = pool.next(CLIENT, &tried, now) {
            tried.push(endpoint);
        }
        assert_eq!(tried, endpoints(&[1, 2, 3]));
        assert_eq!(Pool::default().next(CLIENT, &[], now), None);
    }

    #[test]
    fn the_turn_goes_on_when_the_list_changes() {
        let pool = Pool::new(endpoints(&[1, 2, 3, 4]), None);
        let now = Instant::now();
        assert_eq!(host(pool.next(CLIENT, &[], now)), Some(1));
        pool.set(endpoints(&[1, 3, 4, 5]), None);
        let turns = (0..4).map(|_| host(pool.next(CLIENT, &[], now)).unwrap());
        assert_eq!(turns.collect::<Vec<_>>(), [3, 4, 5, 1]);
    }

    #[test]
    fn a_client_keeps_its_endpoint_until_the_timeout_or_until_it_is_gone() {
        let timeout = Duration::from_secs(10);
        let pool = Pool::new(endpoints(&[1, 2, 3]), Some(timeout));
        let start = Instant::now();
        let connect = |at: Instant| {
            let endpoint = pool.next(CLIENT, &[], at).unwrap();
            pool.reached(CLIENT, endpoint, at);
            host(Some(endpoint)).unwrap()
        };
        assert_eq!(connect(start), 1);
        // Every connection starts the timeout anew.
        assert_eq!(connect(start + Duration::from_secs(8)), 1);
        assert_eq!(connect(start + Duration::from_secs(16)), 1);
        assert_eq!(connect(start + Duration::from_secs(26)), 2);
        // It refuses: another takes its place.
        let other = pool.next(CLIENT, &endpoints(&[2]), start + Duration::from_secs(26));
        assert_eq!(host(other), Some(3));
        pool.set(endpoints(&[1, 3]), Some(timeout));
        assert_ne!(connect(start + Duration::from_secs(27)), 2);
    }

    #[test]
    fn clients_that_are_past_their_timeout_do_not_pile_up() {
        let pool = Pool::new(endpoints(&[1]), Some(Duration::from_secs(1)));
        let start = Instant::now();
        for number in 0..20_000_u32 {
            let client = IpAddr::V4(number.into());
            let now = start + Duration::from_millis(u64::from(number));
            pool.reached(client, endpoints(&[1])[0], now);
        }
        assert!(pool.state().clients.len() <= 2 * UNSWEPT);
    }
}
