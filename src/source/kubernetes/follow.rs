//! Following one resource: a complete list, then a watch from there on, for ever.
//!
//! ```text
//!            ┌───────── gone (410), asked ──────────┐
//!            ▼                                      │
//!  list: streamed, or page by page ──► watch ──► ended, broken, silent
//!            ▲                           ▲          │
//!            └─ broken off               └──────────┘ from the last version
//! ```
//!
//! Must not keep objects: they are decoded, sent to the loop and let go of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::backoff::Backoff;
use super::client::Renewed;
use super::reach::Reach;
use super::request::Failure;
use super::resource::{Resource, Selection};
use super::update::{Batch, Update};
use super::vital::{Vital, reason};
use crate::source::api::convert::Interner;

/// An optional resource that the server does not give us is asked for again after this.
const UNAVAILABLE: Duration = Duration::from_secs(60);
/// The longest that a server may tell us to stay away.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Takes what came; false if nobody is there any more.
pub type Sink = Arc<dyn Fn(Batch) -> bool + Send + Sync>;

/// What all followers share.
pub(super) struct Shared {
    pub(super) renewed: Renewed,
    pub(super) reach: Reach,
    pub(super) selection: Selection,
    pub(super) vital: Vital,
    pub(super) sink: Sink,
    pub(super) room: Arc<Semaphore>,
    /// A watch that is silent for longer is opened again.
    pub(super) silence: Duration,
}

/// The loop does not listen any more.
pub(super) struct Over;

/// Follows one resource.
pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    pub(super) resource: Resource,
    pub(super) names: Interner,
    /// The version up to which everything is known; `None` before a list is complete.
    pub(super) position: Option<String>,
    /// Lists are streamed.
    streaming: bool,
    /// Why the next list is made.
    reason: &'static str,
    backoff: Backoff,
    /// What was told last, so that the same is told once.
    told: Option<Failure>,
    relist: watch::Receiver<u64>,
    /// When the request that is under way was begun.
    pub(super) asked: Instant,
    /// A list was complete, once.
    listed_once: bool,
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        resource: Resource,
        relist: watch::Receiver<u64>,
    ) -> Self {
        Self {
            shared,
            resource,
            names: Interner::default(),
            position: None,
            streaming: true,
            reason: reason::START,
            backoff: Backoff::default(),
            told: None,
            relist,
            asked: Instant::now(),
            listed_once: false,
        }
    }

    /// Follows until the loop ends.
    pub(super) async fn run(mut self) {
        let mut relist = self.relist.clone();
        loop {
            let outcome = tokio::select! {
                outcome = self.round() => Some(outcome),
                Ok(()) = relist.changed() => None,
            };
            match outcome {
                None => {
                    self.position = None;
                    self.reason = reason::ASKED;
                }
                Some(Err(Over)) => return,
                Some(Ok(failure)) => {
                    if self.position.is_none() && self.send(vec![Update::BrokenOff]).await.is_err()
                    {
                        return;
                    }
                    self.recover(failure).await;
                }
            }
        }
    }

    /// Lists if that is needed, and watches until something ends it.
    async fn round(&mut self) -> Result<Failure, Over> {
        if self.position.is_none() {
            self.shared.vital.listed(self.resource, self.reason);
            self.send(vec![Update::Listing]).await?;
            if self.streaming {
                return self.watch(true).await;
            }
            if let Err(failure) = self.list().await? {
                return Ok(failure);
            }
        }
        self.watch(false).await
    }

    /// Waits as long as the failure asks for, and decides where to go on.
    async fn recover(&mut self, failure: Failure) {
        if self.position.is_none() {
            self.reason = reason::BROKEN_OFF;
        }
        self.shared.vital.failed(self.resource, failure.as_str());
        self.tell(&failure);
        match &failure {
            // A server that closes watches as soon as they are open is in trouble, too.
            Failure::Ended => self.pause(None).await,
            Failure::Expired => {
                self.position = None;
                self.reason = reason::EXPIRED;
                self.pause(None).await;
            }
            Failure::NoStreaming => self.streaming = false,
            Failure::Silent => {
                self.shared.renewed.silent(self.asked);
                // It may be one that does not end streamed lists.
                self.streaming &= self.position.is_some();
            }
            Failure::Unreachable(why) => {
                let wait = self.backoff.failed(fastrand::f64());
                self.shared.reach.wait(wait, why).await;
            }
            Failure::Refused {
                code, retry_after, ..
            } => {
                self.shared.vital.reached(Instant::now());
                let optional = self.resource.is_optional();
                // A server that is starting refuses what it allows later: what was listed stays.
                if optional && !self.listed_once && matches!(code, 403 | 404) {
                    self.shared.vital.given_up(self.resource);
                    let _ = self.send(vec![Update::Unavailable]).await;
                    sleep(UNAVAILABLE).await;
                } else {
                    self.pause(*retry_after).await;
                }
            }
        }
    }

    async fn pause(&mut self, at_least: Option<Duration>) {
        let wait = self.backoff.failed(fastrand::f64());
        let at_least = at_least.unwrap_or_default().min(MAX_RETRY_AFTER);
        sleep(wait.max(at_least)).await;
    }

    fn tell(&mut self, failure: &Failure) {
        let resource = self.resource.as_str();
        let news = self.told.as_ref() != Some(failure);
        match failure {
            Failure::Refused { code, message, .. } if news => {
                tracing::warn!(resource, code, "the API server refused: {message}");
            }
            // Once is what a late bookmark does; twice without a byte between is trouble.
            Failure::Silent if !news => {
                tracing::warn!(resource, "the watch stays silent: opening it again");
            }
            other => tracing::debug!(resource, "watch: {other:?}"),
        }
        self.told = Some(failure.clone());
    }

    /// Something good came: the next failure is a new one.
    pub(super) fn succeeded(&mut self) {
        self.backoff.succeeded();
        if let Some(Failure::Refused { .. }) = self.told.take() {
            tracing::info!(
                resource = self.resource.as_str(),
                "the API server answers again"
            );
        }
    }

    pub(super) fn listed(&mut self) {
        self.succeeded();
        self.listed_once = true;
        self.names.forget_unused();
    }

    /// Sends to the loop, as soon as there is room.
    pub(super) async fn send(&self, updates: Vec<Update>) -> Result<(), Over> {
        if updates.is_empty() {
            return Ok(());
        }
        let permit = Arc::clone(&self.shared.room).acquire_owned().await.ok();
        let batch = Batch::new(self.resource, updates, permit);
        if (self.shared.sink)(batch) {
            Ok(())
        } else {
            Err(Over)
        }
    }
}
