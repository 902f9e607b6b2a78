//! One list or one watch of a follower: what is asked for, and what is made of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::follow::{Follower, Over};
use super::lines::Lines;
use super::request::{self, ANSWER, Failure, Status};
use super::resource::Target;
use super::update::Update;
use super::wire::{self, Meta, Named};

/// Objects in one page of a list, as client-go asks for them.
const PAGE: &str = "500";
/// How long a streamed list may pause. A server that does not know of streamed lists sends the
/// objects and then nothing that would end them.
const LIST_SILENCE: Duration = Duration::from_secs(15);
/// How long the server is to keep a watch open: between one and two of these, as client-go asks.
const WATCH_SECONDS: u64 = 300;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: Meta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

impl Follower {
    /// Lists page by page.
    pub(super) async fn list(&mut self) -> Result<Result<(), Failure>, Over> {
        let shared = Arc::clone(&self.shared);
        let base = shared.selection.target(self.resource);
        let mut paged = true;
        let mut token: Option<String> = None;
        loop {
            let mut target = base.clone();
            if paged {
                target = target.with("limit", PAGE);
            }
            if let Some(token) = &token {
                target = target.with("continue", token);
            }
            let text = match self.body(&target).await {
                Ok(text) => text,
                Err(Failure::Expired) if paged => {
                    // The pages after are of a version that is gone: all in one, from the start.
                    (paged, token) = (false, None);
                    self.send(vec![Update::Listing]).await?;
                    continue;
                }
                Err(failure) => return Ok(Err(failure)),
            };
            let page: Page<'_> = match serde_json::from_slice(&text) {
                Ok(page) => page,
                Err(error) => return Ok(Err(unreadable(&error))),
            };
            let items = page.items.unwrap_or_default();
            let mut updates = Vec::with_capacity(items.len() + 1);
            for item in items {
                let (update, _) = self.put(item.get());
                updates.push(update);
            }
            self.shared.vital.alive(self.resource, updates.len());
            token = page
                .metadata
                .continue_token
                .filter(|token| !token.is_empty());
            if token.is_none() {
                updates.push(Update::Listed);
            }
            self.send(updates).await?;
            if token.is_none() {
                self.position = page.metadata.resource_version;
                self.listed();
                return Ok(Ok(()));
            }
        }
    }

    async fn body(&mut self, target: &Target) -> Result<Vec<u8>, Failure> {
        let mut body = self.get(target, true).await?;
        let mut text = Vec::new();
        while let Some(part) = request::part(&mut body, self.shared.silence).await? {
            text.extend_from_slice(part.as_ref());
        }
        Ok(text)
    }

    async fn get(&mut self, target: &Target, compressed: bool) -> Result<Body, Failure> {
        self.asked = Instant::now();
        let patience = self.shared.silence.min(ANSWER);
        request::get(&self.shared.renewed, target, compressed, patience).await
    }

    /// Watches from the position, or with a complete list at first.
    pub(super) async fn watch(&mut self, listing: bool) -> Result<Failure, Over> {
        let seconds = WATCH_SECONDS + fastrand::u64(..WATCH_SECONDS);
        let mut target = self
            .shared
            .selection
            .target(self.resource)
            .with("watch", "true")
            .with("allowWatchBookmarks", "true")
            .with("timeoutSeconds", &seconds.to_string());
        target = match &self.position {
            Some(version) => target.with("resourceVersion", version),
            None => target
                .with("sendInitialEvents", "true")
                .with("resourceVersionMatch", "NotOlderThan"),
        };
        let mut body = match self.get(&target, false).await {
            Ok(body) => body,
            Err(Failure::Refused { code, .. }) if listing && is_not_understood(code) => {
                return Ok(Failure::NoStreaming);
            }
            Err(failure) => return Ok(failure),
        };
        self.shared.vital.alive(self.resource, 0);
        let mut lines = Lines::default();
        loop {
            let silence = match self.position {
                None => LIST_SILENCE.min(self.shared.silence),
                Some(_) => self.shared.silence,
            };
            let part = match request::part(&mut body, silence).await {
                Ok(Some(part)) => part,
                Ok(None) => return Ok(Failure::Ended),
                Err(failure) => return Ok(failure),
            };
            let mut updates = Vec::new();
            let mut end = None;
            let mut count = 0;
            lines.take(part.as_ref(), |line| {
                count += 1;
                if end.is_none() {
                    end = self.line(line, &mut updates).err();
                }
            });
            if count > 0 {
                self.succeeded();
            }
            self.shared.vital.alive(self.resource, count);
            self.send(updates).await?;
            if let Some(failure) = end {
                return Ok(failure);
            }
        }
    }

    /// Takes one line of a watch.
    fn line(&mut self, line: &[u8], updates: &mut Vec<Update>) -> Result<(), Failure> {
        let parsed: Result<Line<'_>, _> = serde_json::from_slice(line);
        let Ok(Line { kind, object }) = parsed else {
            updates.push(Update::Malformed {
                name: None,
                reason: "a line of the watch is no event".to_owned(),
            });
            return Ok(());
        };
        let object = object.get();
        let version = match kind {
            "ADDED" | "MODIFIED" => {
                let (update, version) = self.put(object);
                updates.push(update);
                version
            }
            "DELETED" => match wire::decode_name(object, &mut self.names) {
                Ok((name, version)) => {
                    updates.push(Update::Gone(name));
                    version
                }
                Err(reason) => {
                    updates.push(Update::Malformed { name: None, reason });
                    None
                }
            },
            "BOOKMARK" => return self.bookmark(object, updates),
            _ => {
                let status: Status = serde_json::from_str(object).unwrap_or_default();
                return Err(status.failure());
            }
        };
        if self.position.is_some() && version.is_some() {
            self.position = version;
        }
        Ok(())
    }

    fn bookmark(&mut self, object: &str, updates: &mut Vec<Update>) -> Result<(), Failure> {
        let Ok(Named { metadata }) = serde_json::from_str(object) else {
            return Ok(());
        };
        if self.position.is_none() {
            if !metadata.ends_initial_events() {
                return Err(Failure::NoStreaming);
            }
            updates.push(Update::Listed);
            self.position = metadata.resource_version;
            self.listed();
        } else if metadata.resource_version.is_some() {
            self.position = metadata.resource_version;
        }
        Ok(())
    }

    fn put(&mut self, object: &str) -> (Update, Option<String>) {
        match wire::decode(self.resource, object, &mut self.names) {
            Ok(decoded) => {
                let update = Update::Put {
                    name: decoded.name,
                    object: decoded.object,
                    flaw: decoded.flaw,
                };
                (update, decoded.version)
            }
            Err(malformed) => {
                let update = Update::Malformed {
                    name: malformed.name,
                    reason: malformed.reason,
                };
                (update, malformed.version)
            }
        }
    }
}

/// The server does not know the parameters of a streamed list, or has them switched off.
fn is_not_understood(code: u16) -> bool {
    matches!(code, 400 | 405 | 406 | 415 | 422)
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::Refused {
        code: 200,
        message: format!("a list cannot be read: {error}"),
        retry_after: None,
    }
}
