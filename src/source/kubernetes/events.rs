//! Events on the Node, or on a Service: what an operator must know who looks at the cluster, not at
//! this log.
//!
//! They are sent in the background, few of them, and it is no failure if they cannot be: a role
//! that does not allow it is said once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::follow::Shared;
use crate::model::NamespacedName;
use crate::source::with_causes;

/// Events that may wait; more are dropped.
const WAITING: usize = 16;
/// Events that may come at once.
const BURST: u32 = 10;
/// After those, one in so long.
const PERIOD: Duration = Duration::from_secs(30);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The API takes no longer notes.
const LONGEST: usize = 1000;

/// Something to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// It asks for somebody to act.
    pub warning: bool,
    /// Why, in one word: `ProgrammingFailed`.
    pub reason: &'static str,
    /// What was being done: `ProgramRules`.
    pub action: &'static str,
    /// In a sentence.
    pub note: String,
    /// The Service that it is about; the node if none.
    pub service: Option<NamespacedName>,
}

/// Takes what is to be known. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Announcer {
    sender: mpsc::Sender<(Announcement, Option<oneshot::Sender<()>>)>,
}

impl Announcer {
    /// Starts sending, on the runtime that this is called on.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (sender, mut receiver) =
            mpsc::channel::<(Announcement, Option<oneshot::Sender<()>>)>(WAITING);
        tokio::spawn(async move {
            let mut sending = Sending::new(shared);
            while let Some((announcement, done)) = receiver.recv().await {
                sending.send(announcement).await;
                // Whoever waited may have given up.
                let _ = done.map(|done| done.send(()));
            }
        });
        Self { sender }
    }

    /// Makes it known, some time soon.
    pub fn tell(&self, announcement: Announcement) {
        if self.sender.try_send((announcement, None)).is_err() {
            tracing::debug!("an event on the node was dropped");
        }
    }

    /// Makes it known before the process ends; gives up after a moment.
    pub async fn tell_last(&self, announcement: Announcement) {
        let (done, sent) = oneshot::channel();
        if self.sender.try_send((announcement, Some(done))).is_ok() {
            let _ = timeout(Duration::from_secs(2), sent).await;
        }
    }
}

/// The uid is no real one, as in kubelet and kube-proxy: `kubectl describe node` looks for that.
fn reference(service: Option<&NamespacedName>, node: &str) -> ObjectReference {
    let (kind, namespace, name, uid) = match service {
        Some(full) => (
            "Service",
            Some(full.namespace.to_string()),
            full.name.to_string(),
            full.to_string(),
        ),
        None => ("Node", None, node.to_owned(), node.to_owned()),
    };
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace,
        name: Some(name),
        uid: Some(uid),
        ..ObjectReference::default()
    }
}

struct Sending {
    shared: Arc<Shared>,
    recorder: Option<Recorder>,
    bucket: Bucket,
    /// The last failure, so that the same is told once.
    failure: Option<String>,
}

impl Sending {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            recorder: None,
            bucket: Bucket::new(Instant::now()),
            failure: None,
        }
    }

    async fn send(&mut self, announcement: Announcement) {
        if !self.bucket.take(Instant::now()) {
            tracing::debug!(reason = announcement.reason, "too many events on the node");
            return;
        }
        let mut note = announcement.note;
        let end = (0..=LONGEST.min(note.len()))
            .rev()
            .find(|end| note.is_char_boundary(*end));
        note.truncate(end.unwrap_or_default());
        let event = Event {
            type_: if announcement.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: announcement.reason.to_owned(),
            action: announcement.action.to_owned(),
            note: Some(note),
            secondary: None,
        };
        let node = self.shared.selection.node_name.clone();
        let reference = reference(announcement.service.as_ref(), &node);
        let recorder = match self.recorder.take() {
            Some(recorder) => recorder,
            None => {
                let reporter = Reporter {
                    controller: env!("CARGO_PKG_NAME").to_owned(),
                    instance: Some(node),
                };
                Recorder::new(self.shared.renewed.client().await, reporter)
            }
        };
        let sent = timeout(PATIENCE, recorder.publish(&event, &reference)).await;
        let failure = match sent {
            Ok(Ok(())) => {
                self.recorder = Some(recorder);
                self.failure = None;
                return;
            }
            Ok(Err(error)) => with_causes(&error),
            Err(_) => "no answer".to_owned(),
        };
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!("events on the node cannot be written: {failure}");
            self.failure = Some(failure);
        }
    }
}

/// So many at once, and then one in a while.
#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.saturating_duration_since(self.filled) >= PERIOD {
            self.left += 1;
            self.filled += PERIOD;
        }
        if self.left == BURST {
            self.filled = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_a_burst_and_then_one_by_one() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let taken = |bucket: &mut Bucket, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            (0..20).filter(|_| bucket.take(now)).count()
        };
        assert_eq!(taken(&mut bucket, 0), 10);
        assert_eq!(taken(&mut bucket, 29), 0);
        assert_eq!(taken(&mut bucket, 60), 2);
        assert_eq!(taken(&mut bucket, 10_000), 10);
    }
}
