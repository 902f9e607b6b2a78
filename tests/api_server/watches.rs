//! Watches: bookmarks, streamed lists, versions that are gone.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::http::{Api, GONE, Rules, status, status_object};
use super::store::{Kind, Selectors, Stored, What};

/// A watch that is open.
struct Watching {
    api: Arc<Api>,
    kind: Kind,
    selectors: Selectors,
    /// Everything up to here was sent.
    version: u64,
    versions: watch::Receiver<u64>,
    bookmark_at: Option<Instant>,
    end: Instant,
    /// What is to be sent first.
    first: Option<Bytes>,
}

pub(super) fn watch_answer(
    api: &Arc<Api>,
    kind: Kind,
    selectors: Selectors,
    query: &HashMap<String, String>,
    rules: &Rules,
) -> Response {
    let initial = query
        .get("sendInitialEvents")
        .is_some_and(|text| text == "true");
    if initial && !rules.streams_lists {
        return status(422, "Invalid", "sendInitialEvents: Forbidden");
    }
    let seconds = query
        .get("timeoutSeconds")
        .map_or(60, |text| text.parse().unwrap());
    let bookmarks = query
        .get("allowWatchBookmarks")
        .is_some_and(|text| text == "true");
    let mut watching = Watching {
        versions: api.version.subscribe(),
        api: Arc::clone(api),
        kind,
        selectors,
        version: 0,
        bookmark_at: bookmarks.then(|| Instant::now() + rules.bookmarks),
        end: Instant::now() + Duration::from_secs(seconds),
        first: None,
    };
    let store = api.store();
    if initial {
        watching.version = store.version;
        let mut first = String::new();
        for object in store
            .objects
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            if watching.selectors.select(object) {
                first.push_str(&event_line("ADDED", object));
            }
        }
        if !rules.endless_lists {
            first.push_str(&bookmark(kind, store.version, true));
        }
        watching.first = Some(first.into());
    } else {
        watching.version = query["resourceVersion"].parse().expect("a version");
        if watching.version < store.compacted {
            if rules.gone_as_http {
                return status(410, "Expired", GONE);
            }
            let object = status_object(410, "Expired", GONE);
            let line = format!("{{\"type\":\"ERROR\",\"object\":{object}}}\n");
            return line.into_response();
        }
        if watching.version > store.version {
            return status(504, "Timeout", "Too large resource version");
        }
    }
    drop(store);
    let stream = unfold(watching, |mut watching| async move {
        let bytes = watching.next().await?;
        Some((Ok::<_, Infallible>(bytes), watching))
    });
    (
        [("content-type", "application/json")],
        Body::from_stream(stream),
    )
        .into_response()
}

impl Watching {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            self.versions.borrow_and_update();
            let quiet = self.api.rules_now().quiet.contains(&self.kind);
            let lines = if quiet { String::new() } else { self.lines()? };
            if !lines.is_empty() {
                return Some(lines.into());
            }
            let due = self.bookmark_at.map_or(self.end, |at| at.min(self.end));
            let waited = tokio::time::timeout_at(due.into(), self.versions.changed()).await;
            if waited.is_ok() {
                continue;
            }
            if Instant::now() >= self.end {
                return None;
            }
            if let Some(at) = &mut self.bookmark_at {
                *at = Instant::now() + self.api.rules_now().bookmarks;
                return Some(bookmark(self.kind, self.version, false).into());
            }
        }
    }

    /// What happened since, as lines; `None` if that is forgotten.
    fn lines(&mut self) -> Option<String> {
        let store = self.api.store();
        if self.version + 1 < store.compacted {
            // It did not keep up; a real server ends such watches.
            return None;
        }
        let mut lines = String::new();
        let from = store.log.partition_point(|one| one.version <= self.version);
        for happened in store.log[from..].iter().filter(|one| one.kind == self.kind) {
            match &happened.what {
                What::Line(line) => {
                    lines.push_str(line);
                    lines.push('\n');
                }
                What::Changed(before, after) => {
                    let seen = |object: &Option<Arc<Stored>>| {
                        object
                            .as_ref()
                            .filter(|object| self.selectors.select(object))
                            .cloned()
                    };
                    match (seen(before), seen(after)) {
                        (None, Some(after)) => lines.push_str(&event_line("ADDED", &after)),
                        (Some(_), Some(after)) => lines.push_str(&event_line("MODIFIED", &after)),
                        (Some(before), None) => {
                            // The last state, with the version of the deletion.
                            let mut last: Value = serde_json::from_str(&before.text).unwrap();
                            last["metadata"]["resourceVersion"] =
                                json!(happened.version.to_string());
                            lines
                                .push_str(&format!("{{\"type\":\"DELETED\",\"object\":{last}}}\n"));
                        }
                        (None, None) => {}
                    }
                }
            }
        }
        self.version = store.version;
        Some(lines)
    }
}

fn event_line(kind: &str, object: &Stored) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", object.text)
}

fn bookmark(kind: Kind, version: u64, end: bool) -> String {
    let (api_version, name) = kind.names();
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = json!({"kind": name, "apiVersion": api_version, "metadata": metadata});
    format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n")
}
