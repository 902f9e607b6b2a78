//! Where documents begin and end, and what is said of text that has none.

use super::*;

fn texts(stream: &str, limit: usize) -> Vec<Result<(u32, u64, String), String>> {
    Documents::with_limit(stream.as_bytes(), limit)
        .map(|document| match document {
            Ok(d) => Ok((d.number, d.first_line, d.text)),
            Err(e) => Err(e.problem.to_string()),
        })
        .collect()
}

fn document(number: u32, first_line: u64, text: &str) -> Result<(u32, u64, String), String> {
    Ok((number, first_line, text.to_owned()))
}

#[test]
fn documents_know_their_number_and_line() {
    assert_eq!(
        texts(
            "# x\n\na: 1\n---\n# y\n---\nb: 2\nc: ---\n...\n\n---\nd: 3",
            1000
        ),
        [
            document(1, 3, "a: 1\n"),
            document(3, 6, "---\nb: 2\nc: ---\n"),
            document(4, 11, "---\nd: 3"),
        ]
    );
}

#[test]
fn json_objects_end_at_their_brace() {
    assert_eq!(
        texts("{\"a\": \"}\\\"\"}{\"b\":\n[{}]}\n{c: 1}\n{d: 2}", 1000),
        [
            document(1, 1, "{\"a\": \"}\\\"\"}"),
            document(2, 1, "{\"b\":\n[{}]}"),
            // YAML in braces is one document, and no valid one.
            document(3, 3, "{c: 1}\n{d: 2}"),
        ]
    );
}

#[test]
fn extents_cover_the_stream_without_a_gap() {
    let stream = "\u{feff}# x\na: 1\n---\n# y\n---\nb: 2\n...\n# z\n---\n{\"a\":\n1} \n{\"b\": 2}{\"c\":3}\n---\n";
    let mut documents = Documents::new(stream.as_bytes());
    let mut extents = Vec::new();
    for document in documents.by_ref() {
        extents.push(document.unwrap().extent);
    }
    assert_eq!(extents.len(), 5);
    extents.push(documents.place().2);
    let mut rest = stream.as_bytes();
    for extent in extents {
        let (own, others) = rest.split_at(usize::try_from(extent.bytes).unwrap());
        assert_eq!(extent, Extent::of(own));
        rest = others;
    }
    assert!(rest.is_empty());
}

#[test]
fn a_document_of_just_the_limit_passes_and_one_byte_more_does_not() {
    assert_eq!(texts("abcde\n---\n", 6), [document(1, 1, "abcde\n")]);
    let too_large = [Err(
        "larger than 0 MiB, the most one document may have".to_owned()
    )];
    assert_eq!(texts("abcdef\n---\nok", 6), too_large);
    assert_eq!(texts("a\nb\nc\nd\n", 6), too_large);
}

#[test]
fn text_that_is_none_is_told_by_its_line() {
    let mut stream = b"a: 1\nb: \xe9\n---\nc: 3\n".to_vec();
    let found: Vec<_> = Documents::new(&stream[..])
        .map(|d| d.map(|d| d.text))
        .collect();
    let message = found[0].as_ref().unwrap_err().problem.to_string();
    assert_eq!(message, "not UTF-8 text: line 2 holds the byte 0xe9");
    assert_eq!(
        found[1].as_ref().unwrap(),
        "---\nc: 3\n",
        "the next document is fine"
    );
    stream[0] = 0;
    assert_eq!(
        Documents::new(&stream[..]).filter(Result::is_err).count(),
        1
    );
}
