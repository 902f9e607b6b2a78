//! One request to the API server, and the ways it can fail.

use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, RETRY_AFTER};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use tokio::time::timeout;

use super::client::Renewed;
use super::resource::Target;
use crate::source::with_causes;

/// How long the server may take to begin an answer. It takes its time over a large list.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// The most of an error's body that is read.
const MAX_STATUS: usize = 64 * 1024;

/// Why a list or a watch came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server closed the watch, as it does every few minutes.
    Ended,
    /// The version that was asked for is gone: everything is to be listed again.
    Expired,
    /// The server does not stream lists.
    NoStreaming,
    /// Nothing came for too long: the connection may be dead without either end knowing.
    Silent,
    /// No connection, or one that broke.
    Unreachable(String),
    /// The server said no.
    Refused {
        code: u16,
        message: String,
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// A value of the label `reason`.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Expired => "expired",
            Self::NoStreaming => "no_streaming",
            Self::Silent => "silent",
            Self::Unreachable(_) => "unreachable",
            Self::Refused { .. } => "refused",
        }
    }
}

/// `Status`, as far as it counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    code: u16,
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    retry_after_seconds: u64,
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl Status {
    pub(super) fn failure(self) -> Failure {
        let causes = self.details.iter().flat_map(|details| &details.causes);
        let mut causes = causes.map(|cause| cause.reason.as_str());
        // A server restored from a backup knows fewer versions than it did: start over.
        let from_the_future = causes.any(|cause| cause == "ResourceVersionTooLarge")
            || self.message.contains("Too large resource version");
        if self.code == 410 || from_the_future || self.reason == "Expired" {
            return Failure::Expired;
        }
        let seconds = self
            .details
            .map_or(0, |details| details.retry_after_seconds);
        Failure::Refused {
            code: self.code,
            message: self.message,
            retry_after: (seconds > 0).then(|| Duration::from_secs(seconds)),
        }
    }
}

/// Sends a GET and waits for the beginning of a good answer.
pub(super) async fn get(
    renewed: &Renewed,
    target: &Target,
    compressed: bool,
    patience: Duration,
) -> Result<Body, Failure> {
    let mut request = Request::get(target.as_str())
        .header(ACCEPT, "application/json")
        .body(Body::empty())
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    if !compressed {
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(ACCEPT_ENCODING, identity);
    }
    let client = renewed.client().await;
    let response = timeout(patience, client.send(request)).await;
    let response = response
        .map_err(|_| Failure::Silent)?
        .map_err(|error| Failure::Unreachable(with_causes(&error)))?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    let failure = refusal(response).await;
    if matches!(failure, Failure::Refused { code: 401, .. }) {
        renewed.refused();
    }
    Err(failure)
}

async fn refusal(response: Response<Body>) -> Failure {
    let code = response.status().as_u16();
    let header = response.headers().get(RETRY_AFTER);
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = http_body_util::Limited::new(response.into_body(), MAX_STATUS);
    let body = timeout(ANSWER, body.collect()).await;
    let bytes = match body {
        Ok(Ok(body)) => body.to_bytes(),
        _ => Default::default(),
    };
    let status: Status = serde_json::from_slice(&bytes).unwrap_or_else(|_| Status {
        // A proxy or a balancer before the server: its text is no Status.
        message: String::from_utf8_lossy(bytes.get(..200).unwrap_or(&bytes)).into_owned(),
        ..Status::default()
    });
    match (Status { code, ..status }).failure() {
        Failure::Refused {
            code,
            message,
            retry_after,
        } => Failure::Refused {
            code,
            message,
            retry_after: retry_after.or(seconds.map(Duration::from_secs)),
        },
        other => other,
    }
}

/// The next part of a body; `None` at its end.
pub(super) async fn part(
    body: &mut Body,
    silence: Duration,
) -> Result<Option<impl AsRef<[u8]> + use<>>, Failure> {
    loop {
        let frame = timeout(silence, body.frame()).await;
        match frame.map_err(|_| Failure::Silent)? {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::Unreachable(with_causes(&error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> Failure {
        serde_json::from_str::<Status>(text).unwrap().failure()
    }

    #[test]
    fn versions_that_are_gone_or_not_there_yet_mean_to_start_over() {
        let gone = r#"{"code":410,"reason":"Expired","message":"too old resource version"}"#;
        assert_eq!(failure(gone), Failure::Expired);
        let future = r#"{"code":504,"reason":"Timeout","message":"Too large resource version: 9",
            "details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}"#;
        assert_eq!(failure(future), Failure::Expired);
    }

    #[test]
    fn a_server_that_is_busy_says_for_how_long() {
        let busy = r#"{"code":429,"message":"busy","details":{"retryAfterSeconds":3}}"#;
        let Failure::Refused { retry_after, .. } = failure(busy) else {
            panic!("not refused");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(3)));
    }
}
