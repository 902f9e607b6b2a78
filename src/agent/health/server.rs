//! The health server and the metrics server, with kube-proxy's paths.
//!
//! | server | paths |
//! | --- | --- |
//! | health (`0.0.0.0:10256`) | `/healthz`, `/livez` |
//! | metrics (`127.0.0.1:10249`) | `/metrics`, `/healthz`, `/proxyMode`, `/configz` |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::runtime::Handle;

use super::Health;
use super::listen::{self, Families, Server};
use crate::agent::metrics::{self, Metrics, Probe};

/// What the metrics server tells about the configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// `/proxyMode`.
    pub mode: String,
    /// `/configz`: JSON.
    pub configz: String,
}

const NO_SNIFF: (HeaderName, &str) = (X_CONTENT_TYPE_OPTIONS, "nosniff");

/// `/healthz` and `/livez`, by any method.
pub fn health_router(health: &Arc<Health>, metrics: &Arc<Metrics>) -> Router {
    let probe = |probe: Probe| {
        let (health, metrics) = (Arc::clone(health), Arc::clone(metrics));
        any(move || async move {
            let (code, body) = health.report(Instant::now()).answer(probe);
            metrics.probed(probe, code);
            json(code, body)
        })
    };
    Router::new()
        .route("/healthz", probe(Probe::Healthz))
        .route("/livez", probe(Probe::Livez))
}

/// `/metrics` and what else kube-proxy serves beside it.
pub fn metrics_router(metrics: &Arc<Metrics>, configuration: Configuration) -> Router {
    let metrics = Arc::clone(metrics);
    let Configuration { mode, configz } = configuration;
    Router::new()
        .route("/metrics", any(move || async move { scrape(&metrics) }))
        .route("/healthz", any(|| async { text("ok".to_owned()) }))
        .route("/proxyMode", any(move || async move { text(mode) }))
        .route("/configz", any(move || async move { json(200, configz) }))
}

fn scrape(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn text(body: String) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), NO_SNIFF];
    (headers, body).into_response()
}

/// A JSON answer with the headers that kube-proxy sends along.
pub(crate) fn json(code: u16, body: String) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(CONTENT_TYPE, "application/json"), NO_SNIFF];
    (code, headers, body).into_response()
}

/// A server whose port may be taken at first.
#[derive(Debug)]
pub struct Wanted {
    /// What it is, for messages: `metrics`.
    name: &'static str,
    address: SocketAddr,
    router: Router,
    server: Option<Server>,
    /// The last failure, so that the same one is told once.
    failure: Option<String>,
}

/// A port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve {name} at {address}")]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl Wanted {
    /// A server that is not running yet.
    #[must_use]
    pub fn new(name: &'static str, address: SocketAddr, router: Router) -> Self {
        Self {
            name,
            address,
            router,
            server: None,
            failure: None,
        }
    }

    /// It answers.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.server.is_some()
    }

    /// The running server, which is this one's no more.
    pub fn take(&mut self) -> Option<Server> {
        self.server.take()
    }

    /// Starts it in the network namespace of the calling thread, unless it runs.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub fn start(&mut self, runtime: &Handle) -> Result<(), BindError> {
        if self.server.is_some() {
            return Ok(());
        }
        let server = listen::bind(self.address, Families::AsSystem)
            .and_then(|listener| Server::start(runtime, listener, self.router.clone()))
            .map_err(|source| BindError {
                name: self.name,
                address: self.address,
                source,
            })?;
        tracing::debug!(name = self.name, address = %self.address, "serving");
        self.server = Some(server);
        self.failure = None;
        Ok(())
    }

    /// [`start`](Self::start) for those who go on without it: a failure is logged, once.
    pub fn try_start(&mut self, runtime: &Handle) {
        let Err(error) = self.start(runtime) else {
            return;
        };
        let text = format!("{error}: {}", error.source);
        if self.failure.as_ref() != Some(&text) {
            tracing::warn!("{text}; trying again every few seconds");
            self.failure = Some(text);
        }
    }
}
