//! Comparing a file with what it was gives what reading it from the start gives.

use std::io::Write;

use proptest::prelude::*;

use super::*;

/// Lines that begin, end, or belong to documents of all sorts.
const LINES: [&str; 16] = [
    "---\n",
    "---\n",
    "--- # remark\n",
    "--- {kind: Namespace}\n",
    "...\n",
    "# remark\n",
    "\n",
    "kind: Namespace\n",
    "metadata: {name: a}\n",
    "metadata: {name: b}\n",
    "{\"kind\": \"x\"}\n",
    "{\"kind\":\n",
    "\"x\"}\n",
    "{\"a\": 1} {\"b\": 2}\n",
    "text\n",
    "no end",
];

/// A place, how many lines go there, and which come.
type Edit = (prop::sample::Index, usize, Vec<prop::sample::Index>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let line = any::<prop::sample::Index>;
    let edit = (line(), 0..4usize, prop::collection::vec(line(), 0..4));
    prop::collection::vec(edit, 1..12)
}

/// What is remembered of a file, and its numbers and lines.
type Shown = Vec<(u128, u64, Place)>;

fn read(file: &File, before: &[Entry], tail: Extent, compare: bool) -> Reading {
    let mut names = Interner::default();
    let mut reader = FileReader {
        name: &"file".into(),
        strict: false,
        names: &mut names,
        before,
        tail,
    };
    if compare {
        reader.compare(file).unwrap()
    } else {
        reader.stream(Section::new(file, 0, u64::MAX))
    }
}

fn shown(documents: &[Entry]) -> Shown {
    documents
        .iter()
        .map(|entry| (entry.hash, entry.bytes, entry.at))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_compared_file_is_as_if_read_from_the_start(
        start in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        edits in edits(),
    ) {
        let mut lines: Vec<&str> = start.iter().map(|line| *line.get(&LINES)).collect();
        let (mut known, mut tail) = (Vec::new(), Extent::default());
        for (place, go, come) in edits {
            let place = place.index(lines.len() + 1);
            let go = go.min(lines.len() - place);
            lines.splice(place..place + go, come.iter().map(|line| *line.get(&LINES)));
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(lines.concat().as_bytes()).unwrap();

            let fresh = read(&file, &[], Extent::default(), false);
            let mut expected = Vec::new();
            fresh.patch.apply(&mut expected);
            let compared = read(&file, &known, tail, true);
            prop_assert_eq!(compared.tail, fresh.tail);
            let parsed = compared.contents.len();
            prop_assert!(parsed <= expected.len());
            tail = compared.tail;
            compared.patch.apply(&mut known);
            prop_assert_eq!(shown(&known), shown(&expected));
        }
    }
}

#[test]
fn only_documents_that_differ_are_parsed() {
    let mut documents: Vec<String> = (0..30_000)
        .map(|number| {
            format!("kind: Namespace\nmetadata:\n  name: n{number}\n  labels: {{a: b}}\n")
        })
        .collect();
    let (mut known, mut tail) = (Vec::new(), Extent::default());
    let mut parsed_after = |documents: &[String]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(documents.join("---\n").as_bytes()).unwrap();
        let reading = read(&file, &known, tail, true);
        tail = reading.tail;
        let parsed = reading.contents.len();
        reading.patch.apply(&mut known);
        parsed
    };
    assert_eq!(parsed_after(&documents), 30_000);
    assert_eq!(parsed_after(&documents), 0);
    documents[12_345].push_str("# remark\n");
    assert_eq!(parsed_after(&documents), 1);
    documents.insert(100, "kind: new\n".to_owned());
    documents.remove(20_000);
    documents.swap(0, 29_999);
    // The first has no `---` before it, and now another one has none.
    assert_eq!(parsed_after(&documents), 3);
}

#[test]
fn what_is_behind_the_last_document_counts() {
    let mut remembered = (Vec::new(), Extent::default());
    for tail in ["# one\n", "# two\n", "a: b\n"] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(format!("a: 1\n---\nb: 2\n...\n{tail}").as_bytes())
            .unwrap();
        let reading = read(&file, &remembered.0, remembered.1, true);
        let fresh = read(&file, &[], Extent::default(), false);
        assert_eq!(reading.tail, fresh.tail);
        remembered.1 = reading.tail;
        reading.patch.apply(&mut remembered.0);
    }
    assert_eq!(remembered.0.len(), 3, "the last one is a document");
}
