//! Durations on the command line.

use std::time::Duration;

use jiff::SignedDuration;

/// A duration as Go writes it: `30s`, `1m30s`, `500ms`, `0`.
///
/// # Errors
/// It is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed = text.parse::<SignedDuration>().ok();
    let parsed = parsed.and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "not a duration such as 30s, 1m30s or 500ms".to_owned())
}
