//! Where documents begin and end, told by single lines: YAML's markers, JSON's braces.
//!
//! Must not keep text.

/// What a line means to the division into documents.
#[derive(Clone, Copy)]
pub(super) enum LineKind {
    /// `---`: a document starts.
    Start,
    /// `--- {a: b}`: a document starts in the same line.
    StartWithContent,
    /// `...`: a document ends.
    End,
    /// Blank, comment or directive.
    Empty,
    Content,
}

impl LineKind {
    pub(super) fn of(line: &[u8]) -> Self {
        let blank_after = |marker: &[u8]| {
            line.strip_prefix(marker)
                .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
        };
        if blank_after(b"---") {
            let rest = line[3..].trim_ascii();
            return if rest.is_empty() || rest.starts_with(b"#") {
                Self::Start
            } else {
                Self::StartWithContent
            };
        }
        if blank_after(b"...") {
            return Self::End;
        }
        match line.trim_ascii_start().first() {
            None | Some(b'#') => Self::Empty,
            Some(b'%') if line.starts_with(b"%") => Self::Empty,
            Some(_) => Self::Content,
        }
    }
}

/// Finds the end of a JSON object fed piece by piece.
#[derive(Default)]
pub(super) struct JsonScan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonScan {
    /// An object starts with a brace and a quoted key; YAML's `{key: …}` is left to YAML.
    pub(super) fn applies(line: &[u8]) -> bool {
        let rest = line
            .trim_ascii_start()
            .strip_prefix(b"{")
            .map(<[u8]>::trim_ascii_start);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'"' | b'}')))
    }

    /// Position after the brace that closes the object, if it is in this piece.
    pub(super) fn end_of_object(&mut self, piece: &[u8]) -> Option<usize> {
        for (i, &byte) in piece.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(i + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
