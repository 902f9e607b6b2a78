//! Whether the API server can be reached at all: the cheapest question, asked often while the
//! answer is no, so that its return is noticed at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::vital::Vital;

/// How long one question may take. The next one follows, so this is no more than a lost SYN.
const PATIENCE: Duration = Duration::from_millis(900);
/// From one question to the next, plus as much again that is left to chance.
const PAUSE: Duration = Duration::from_millis(200);
/// The same after an outage of [`LONG_OUTAGE`].
const LONG_PAUSE: Duration = Duration::from_millis(500);
const LONG_OUTAGE: Duration = Duration::from_secs(300);

/// Asks whether connections are accepted. One asks for all watches.
#[derive(Debug)]
pub(super) struct Reach {
    /// `None` where a proxy is between us and the server: its answers say nothing.
    address: Option<(String, u16)>,
    vital: Vital,
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answered: Option<Instant>,
    /// The outage has been told of.
    told: bool,
}

impl Reach {
    pub(super) fn new(config: &kube::Config, vital: Vital) -> Self {
        let direct = config.proxy_url.is_none();
        Self {
            address: direct.then(|| address(&config.cluster_url)).flatten(),
            vital,
            asking: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// A connection broke or was not made, for this reason. Returns when another try is worth it:
    /// not before `wait`, and when the server accepts connections.
    pub(super) async fn wait(&self, wait: Duration, why: &str) {
        let failed = Instant::now();
        sleep(wait).await;
        let Some(address) = &self.address else {
            return;
        };
        let _one_asks = self.asking.lock().await;
        if self.state().answered.is_some_and(|at| at > failed) {
            return;
        }
        while !self.ask(address).await {
            self.tell_outage(why);
            let long = failed.elapsed() > LONG_OUTAGE;
            let pause = if long { LONG_PAUSE } else { PAUSE };
            sleep(pause.mul_f64(1.0 + fastrand::f64())).await;
        }
        self.tell_return(failed);
    }

    async fn ask(&self, (host, port): &(String, u16)) -> bool {
        let connected = timeout(PATIENCE, TcpStream::connect((host.as_str(), *port))).await;
        let answers = matches!(connected, Ok(Ok(_)));
        if answers {
            let now = Instant::now();
            self.vital.reached(now);
            self.state().answered = Some(now);
        }
        answers
    }

    fn tell_outage(&self, why: &str) {
        if !std::mem::replace(&mut self.state().told, true) {
            tracing::warn!("the API server cannot be reached ({why}); rules stay as they are");
        }
    }

    fn tell_return(&self, failed: Instant) {
        if std::mem::take(&mut self.state().told) {
            let seconds = failed.elapsed().as_secs();
            tracing::info!(seconds, "the API server can be reached again");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let plain = uri.scheme_str() == Some("http");
    let port = uri.port_u16().unwrap_or(if plain { 80 } else { 443 });
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_follows_from_the_url() {
        let of = |text: &str| address(&text.parse().unwrap());
        assert_eq!(
            of("https://192.0.2.1:6443"),
            Some(("192.0.2.1".to_owned(), 6443))
        );
        assert_eq!(of("https://[fd00::1]"), Some(("fd00::1".to_owned(), 443)));
        assert_eq!(
            of("http://api.example"),
            Some(("api.example".to_owned(), 80))
        );
    }
}
