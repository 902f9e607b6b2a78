//! Cuts a YAML list as `kubectl get -o yaml` prints it into its items, so that they can be parsed
//! one at a time: 10 000 objects in one document would otherwise take gigabytes.
//!
//! Goes by indentation alone and may be wrong about text that only looks like a list: the caller
//! falls back to parsing the document as a whole when a piece is no YAML.

/// A list document in pieces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pieces<'t> {
    /// Everything but the items, with an empty `items`.
    pub(super) frame: String,
    /// Each item with its dash: lines after the start of the document, text.
    pub(super) items: Vec<(u64, &'t str)>,
}

/// The pieces of a document that has a top-level `items:` with a block list under it.
pub(super) fn cut(text: &str) -> Option<Pieces<'_>> {
    if !text.starts_with("items:") && !text.contains("\nitems:") {
        return None;
    }
    let mut lines = Lines { text, offset: 0 }.zip(0_u64..).peekable();
    let mut frame = String::new();
    let mut items: Vec<(u64, usize)> = Vec::new();
    // Where the list ends and the rest of the frame goes on.
    let mut end = None;
    let mut indent = None;
    while let Some(((offset, line), number)) = lines.next() {
        if indent.is_none() {
            if line.trim_end() != "items:" {
                frame.push_str(line);
                continue;
            }
            while lines.next_if(|((_, line), _)| is_empty(line)).is_some() {}
            let ((_, first), _) = lines.peek()?;
            indent = Some(dash_column(first)?);
            frame.push_str("items: []\n");
            continue;
        }
        if end.is_some() {
            frame.push_str(line);
        } else if dash_column(line) == indent {
            items.push((number, offset));
        } else if !is_empty(line) && indentation(line) <= indent.unwrap_or(0) {
            end = Some(offset);
            frame.push_str(line);
        }
    }
    indent?;
    let end = end.unwrap_or(text.len());
    let starts = items.iter().map(|&(_, offset)| offset);
    let ends = starts.clone().skip(1).chain([end]);
    let pieces = starts
        .zip(ends)
        .zip(&items)
        .map(|((from, to), &(line, _))| (line, &text[from..to]));
    Some(Pieces {
        items: pieces.collect(),
        frame,
    })
}

struct Lines<'t> {
    text: &'t str,
    offset: usize,
}

impl<'t> Iterator for Lines<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.offset..];
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let start = self.offset;
        self.offset += length;
        (length > 0).then(|| (start, &rest[..length]))
    }
}

fn indentation(line: &str) -> usize {
    line.bytes().take_while(|&b| b == b' ').count()
}

fn is_empty(line: &str) -> bool {
    matches!(line.trim_start().bytes().next(), None | Some(b'#'))
}

fn dash_column(line: &str) -> Option<usize> {
    let column = indentation(line);
    let rest = line[column..].strip_prefix('-')?;
    rest.starts_with([' ', '\n', '\r']).then_some(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_falls_into_frame_and_items() {
        let text = "apiVersion: v1\nitems:\n- a: 1\n  b:\n  - c\n# note\n- a: 2\nkind: List\n";
        let pieces = cut(text).unwrap();
        assert_eq!(pieces.frame, "apiVersion: v1\nitems: []\nkind: List\n");
        assert_eq!(
            pieces.items,
            [(2, "- a: 1\n  b:\n  - c\n# note\n"), (6, "- a: 2\n")]
        );
    }

    #[test]
    fn indented_lists_are_cut_too() {
        let pieces = cut("items:\n\n  - a: 1\n  - a: 2").unwrap();
        assert_eq!(pieces.items, [(2, "  - a: 1\n"), (3, "  - a: 2")]);
    }

    #[test]
    fn other_documents_are_left_alone() {
        assert_eq!(cut("kind: Service\nspec:\n  items:\n  - a\n"), None);
        assert_eq!(cut("items: [a, b]\n"), None);
        assert_eq!(cut("items:\n"), None);
        assert_eq!(cut("items:\n  a: b\n"), None);
    }
}
