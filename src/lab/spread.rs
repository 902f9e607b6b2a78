//! `portolan lab curl`: many connections, and who answered them. A real curl makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::{Lab, LabError, enter};

/// Ends what curl writes about one connection.
const END: char = '\u{1e}';
/// Stands before the status in it.
const STATUS: char = '\u{1f}';
/// As much of an answer that is none of ours as is shown.
const SHOWN: usize = 60;

/// Connections to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// From where: a machine or a pod.
    pub from: String,
    /// To where.
    pub url: String,
    /// How many.
    pub count: u32,
    /// The longest one may take, in seconds.
    pub seconds: u32,
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Answers by who gave them: `mydp-k4w2z on n1`.
    pub answers: BTreeMap<String, u32>,
    /// Connections that failed.
    pub failed: u32,
    /// Why, each reason once.
    pub errors: BTreeSet<String>,
    /// The last answer, whole.
    pub last: String,
}

impl Spread {
    /// How many were answered.
    #[must_use]
    pub fn answered(&self) -> u32 {
        self.answers.values().sum()
    }

    /// From what curl wrote: bodies, statuses, and complaints.
    fn read(output: &str, complaints: &str) -> Self {
        let mut spread = Self::default();
        for one in output.split_terminator(END) {
            let (body, status) = one.rsplit_once(STATUS).unwrap_or((one, "000"));
            if status == "000" {
                spread.failed += 1;
                continue;
            }
            *spread.answers.entry(who(body, status)).or_default() += 1;
            body.trim_end().clone_into(&mut spread.last);
        }
        let reasons = complaints.lines().filter(|line| !line.is_empty());
        let reasons = reasons.map(|line| line.trim_start_matches("curl: ").to_owned());
        spread.errors = reasons.collect();
        spread
    }
}

/// A pod of the lab says who it is; others are told by how their answer begins.
fn who(body: &str, status: &str) -> String {
    let line = body.lines().next().unwrap_or_default();
    match line.split_once(" sees ") {
        Some((pod, _)) => pod.to_owned(),
        None if line.trim().is_empty() => format!("status {status}"),
        None => line.chars().take(SHOWN).collect(),
    }
}

impl Lab {
    /// Makes connections, one after the other, and counts who answers.
    ///
    /// # Errors
    /// There is no such machine or pod, or no curl.
    pub fn curl(&self, request: &Request) -> Result<Spread, LabError> {
        let view = self.view(&request.from)?;
        let url = match request.url.contains("://") {
            true => request.url.clone(),
            false => format!("http://{}", request.url),
        };
        let quoted = url.replace('\\', "\\\\").replace('"', "\\\"");
        let urls = format!("url = \"{quoted}\"\n").repeat(request.count as usize);
        let mut command = Command::new("curl");
        command
            // First: nobody's own settings.
            .arg("--disable")
            .args(["--silent", "--show-error", "--globoff", "--noproxy", "*"])
            // Every request on a connection of its own.
            .args(["--header", "Connection: close"])
            .args(["--max-time", &request.seconds.to_string()])
            .args(["--write-out", &format!("{STATUS}%{{http_code}}{END}")])
            .args(["--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = enter::run(&view, &mut command, &urls)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Spread::read(&text(&output.stdout), &text(&output.stderr)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_who_gave_them() {
        let one = |body: &str, status: &str| format!("{body}{STATUS}{status}{END}");
        let output = [
            one("p1 on n1 sees 10.0.0.1:4\n", "200"),
            one("", "000"),
            one("p1 on n1 sees 10.0.0.1:5\n", "200"),
            one("<html>\nbad", "503"),
            one("", "204"),
        ]
        .concat();
        let spread = Spread::read(&output, "curl: (7) refused\ncurl: (7) refused\n");
        let answers: Vec<_> = spread
            .answers
            .iter()
            .map(|(k, v)| (k.as_str(), *v))
            .collect();
        assert_eq!(answers, [("<html>", 1), ("p1 on n1", 2), ("status 204", 1)]);
        assert_eq!((spread.answered(), spread.failed), (4, 1));
        assert_eq!(spread.errors.iter().collect::<Vec<_>>(), ["(7) refused"]);
    }
}
