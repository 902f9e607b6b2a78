//! Lists and watches over HTTP, as kube-apiserver answers them.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::store::{Kind, Selectors, Store, Stored, What};

/// How the server answers.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// It streams lists (`WatchList`).
    pub(crate) streams_lists: bool,
    /// Time between bookmarks; a real server takes a minute.
    pub(crate) bookmarks: Duration,
    /// Versions that are gone are an HTTP error rather than an event.
    pub(crate) gone_as_http: bool,
    /// Requests for a kind get this answer instead: status code and message.
    pub(crate) refuse: BTreeMap<Kind, (u16, String)>,
    /// The bearer token that is asked for.
    pub(crate) token: Option<String>,
    /// Pages are of versions that are forgotten at once.
    pub(crate) pages_expire: bool,
    /// The end of a streamed list is never said, as servers do that do not know the parameter.
    pub(crate) endless_lists: bool,
    /// Nobody may write Events.
    pub(crate) events_forbidden: bool,
}

/// What was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Path and query of every request, but for Events.
    pub(crate) requests: Vec<String>,
    /// Event objects.
    pub(crate) events: Vec<Value>,
}

pub(super) struct Api {
    store: Mutex<Store>,
    rules: Mutex<Rules>,
    seen: Mutex<Seen>,
    leases: Mutex<BTreeMap<String, Value>>,
    version: watch::Sender<u64>,
}

impl Api {
    pub(super) fn new(store: Store) -> Self {
        let rules = Rules {
            streams_lists: true,
            bookmarks: Duration::from_secs(1),
            gone_as_http: false,
            refuse: BTreeMap::new(),
            token: None,
            pages_expire: false,
            endless_lists: false,
            events_forbidden: false,
        };
        Self {
            store: Mutex::new(store),
            rules: Mutex::new(rules),
            seen: Mutex::default(),
            leases: Mutex::default(),
            version: watch::channel(0).0,
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.store();
        let value = change(&mut store);
        self.version.send_replace(store.version);
        value
    }

    pub(super) fn rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock().unwrap());
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// By name.
    pub(super) fn leases(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.leases.lock().unwrap()
    }

    fn rules_now(&self) -> Rules {
        self.rules.lock().unwrap().clone()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }
}

/// Serves on a port of its own.
pub(super) async fn serve(api: Arc<Api>) -> SocketAddr {
    let of = |kind: Kind| {
        get(
            move |State(api): State<Arc<Api>>, uri: Uri, query: RawQuery, headers: HeaderMap| async move {
                answer(&api, kind, &uri, &query.0.unwrap_or_default(), &headers)
            },
        )
    };
    let router = Router::new()
        .route("/api/v1/services", of(Kind::Service))
        .route("/api/v1/nodes", of(Kind::Node))
        .route(
            "/apis/discovery.k8s.io/v1/endpointslices",
            of(Kind::EndpointSlice),
        )
        .route(
            "/apis/networking.k8s.io/v1/servicecidrs",
            of(Kind::ServiceCidr),
        )
        .route("/apis/events.k8s.io/v1/namespaces/{ns}/events", post(event))
        .merge(super::leases::routes())
        .with_state(api);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn event(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    if api.rules_now().events_forbidden {
        return status(403, "Forbidden", "events is forbidden");
    }
    let event: Value = serde_json::from_slice(&body).expect("JSON");
    api.seen.lock().unwrap().events.push(event.clone());
    (StatusCode::CREATED, event.to_string()).into_response()
}

fn answer(api: &Arc<Api>, kind: Kind, uri: &Uri, query: &str, headers: &HeaderMap) -> Response {
    api.seen.lock().unwrap().requests.push(uri.to_string());
    let rules = api.rules_now();
    if let Some(token) = &rules.token {
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if given != Some(&format!("Bearer {token}")) {
            return status(401, "Unauthorized", "Unauthorized");
        }
    }
    if let Some((code, message)) = rules.refuse.get(&kind) {
        return status(*code, "Refused", message);
    }
    let query = parameters(query);
    let get = |name: &str| query.get(name).map(String::as_str);
    let without_label = get("labelSelector").and_then(|text| text.strip_prefix('!'));
    let selectors = Selectors {
        without_label: without_label.map(str::to_owned),
        field: get("fieldSelector").map(str::to_owned),
    };
    if get("watch") == Some("true") {
        watch_answer(api, kind, selectors, &query, &rules)
    } else {
        list(api, kind, &selectors, &query, &rules)
    }
}

fn parameters(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            if let (b'%', [high, low, after @ ..]) = (first, after) {
                let hex = String::from_utf8(vec![*high, *low]).unwrap();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
                rest = after;
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = status_object(code, reason, message).to_string();
    let code = StatusCode::from_u16(code).unwrap();
    (code, [("content-type", "application/json")], body).into_response()
}

fn status_object(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

const GONE: &str = "too old resource version";

fn list(
    api: &Api,
    kind: Kind,
    selectors: &Selectors,
    query: &HashMap<String, String>,
    rules: &Rules,
) -> Response {
    let store = api.store();
    let limit: usize = query
        .get("limit")
        .map_or(usize::MAX, |text| text.parse().unwrap());
    let mut version = store.version;
    let mut after = String::new();
    if let Some(token) = query.get("continue") {
        let (at, key) = token.split_once(' ').expect("a token of ours");
        version = at.parse().unwrap();
        if version < store.compacted || rules.pages_expire {
            return status(410, "Expired", "The provided continue parameter is too old");
        }
        after = key.to_owned();
    }
    let empty = BTreeMap::new();
    let objects = store.objects.get(&kind).unwrap_or(&empty);
    let mut selected = objects
        .iter()
        .filter(|(key, object)| **key > after && selectors.select(object))
        .peekable();
    let mut items = Vec::new();
    let mut last = String::new();
    while items.len() < limit
        && let Some((key, object)) = selected.next()
    {
        items.push(object.text.as_str());
        last.clone_from(key);
    }
    let (api_version, name) = kind.names();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if selected.peek().is_some() {
        metadata["continue"] = json!(format!("{version} {last}"));
    }
    let body = format!(
        "{{\"kind\":\"{name}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\
         \"items\":[{}]}}",
        items.join(",")
    );
    ([("content-type", "application/json")], body).into_response()
}

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

fn watch_answer(
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
            let lines = self.lines()?;
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
