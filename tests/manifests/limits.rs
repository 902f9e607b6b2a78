//! Input that is made to hurt: each comes back as a clear error in bounded time and memory.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use portolan::source::manifest::{ManifestInput, load_with_stdin};

/// Generous, for busy machines and unoptimised builds; without bounds most of these never end.
const PATIENCE: Duration = Duration::from_secs(60);

fn error(stream: impl Read) -> String {
    let started = Instant::now();
    let input = ManifestInput {
        paths: vec!["-".to_owned()],
        ..ManifestInput::default()
    };
    let error = load_with_stdin(&input, stream).unwrap_err().to_string();
    assert!(
        started.elapsed() < PATIENCE,
        "took {:?}: {error:.200}",
        started.elapsed()
    );
    assert!(error.len() < 1000, "{error:.1000}");
    error
}

fn endless(byte: u8) -> impl Read {
    io::repeat(byte)
}

#[test]
fn a_scalar_of_a_hundred_megabytes_is_too_large() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: ".as_bytes();
    let text = text.chain(endless(b'x').take(100 << 20));
    assert_eq!(
        error(text),
        "stdin: document 1: larger than 64 MiB, the most one document may have"
    );
}

#[test]
fn a_stream_without_end_is_given_up() {
    let too_large = "stdin: document 1: larger than 64 MiB, the most one document may have";
    assert_eq!(error(endless(b'a')), too_large);
    assert_eq!(
        error("{\"a\": \"".as_bytes().chain(endless(b'}'))),
        too_large
    );
    assert_eq!(
        error(endless(0)),
        "stdin: binary data, not text: line 1 holds a NUL byte"
    );
}

#[test]
fn aliases_of_long_texts_do_not_multiply() {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  a: &a {}\n  b: [{}]\n",
        "x".repeat(1 << 20),
        "*a,".repeat(1000)
    );
    assert_eq!(
        error(text.as_bytes()),
        "stdin: document 1: more than 64 MiB of text in one document after aliases are expanded"
    );
}

#[test]
fn aliases_of_long_lists_do_not_multiply() {
    let text = format!(
        "a: &a [{}]\nb: [{}]\n",
        "1,".repeat(100_000),
        "*a,".repeat(1000)
    );
    assert_eq!(
        error(text.as_bytes()),
        "stdin: document 1: more than 2000000 values in one document; split it with --- or into \
         List items"
    );
}

#[test]
fn nesting_is_refused_before_it_is_parsed() {
    for (opening, most) in [
        ("[", 8 << 20),
        ("{", 8 << 20),
        ("- ", 8 << 20),
        ("{a: ", 8 << 20),
    ] {
        let text = format!("a:\n  {}", opening.repeat(most / opening.len()));
        assert_eq!(
            error(text.as_bytes()),
            "stdin: document 1: line 2: nested deeper than 512 levels"
        );
    }
    let json = format!("{{\"a\": {}", "[".repeat(8 << 20));
    assert!(error(json.as_bytes()).contains("nested deeper than 128 levels"));
}

#[test]
fn wide_documents_are_refused_before_they_are_parsed() {
    let most = "stdin: document 1: more than 1000000 values in one document; split it with --- or \
                into List items";
    let flow = format!("a: [{}]\n", "x,".repeat(2 << 20));
    assert_eq!(error(flow.as_bytes()), most);
    let block = format!("a:\n{}", "- x\n".repeat(2 << 20));
    assert_eq!(error(block.as_bytes()), most);
    let json = format!("{{\"a\": [{}1]}}", "1,".repeat(3 << 20));
    assert_eq!(error(json.as_bytes()), most.replace("1000000", "2000000"));
}

#[test]
fn errors_without_number_are_cut() {
    let text = "kind: 1\n---\n".repeat(20_000);
    let input = ManifestInput {
        paths: vec!["-".to_owned()],
        ..ManifestInput::default()
    };
    let errors = load_with_stdin(&input, text.as_bytes()).unwrap_err();
    assert_eq!(errors.errors.len() + errors.omitted, 40_000);
    assert!(errors.to_string().ends_with("… and 30000 more errors"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever happens to a file on its way here: an answer, never a crash.
    #[test]
    fn damaged_manifests_are_answered(
        damage in proptest::collection::vec((0..6000_usize, proptest::num::u8::ANY), 1..8),
        cut in 0..7000_usize,
    ) {
        let mut bytes = include_bytes!("kubectl-get-all.yaml").to_vec();
        bytes.truncate(cut.max(100));
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let input = ManifestInput {
            paths: vec!["-".to_owned()],
            ..ManifestInput::default()
        };
        if let Err(errors) = load_with_stdin(&input, &bytes[..]) {
            proptest::prop_assert!(!errors.errors.is_empty());
        }
    }
}
