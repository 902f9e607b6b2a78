//! A body cut into lines, as it comes.

/// What came of a line that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

/// Room for the beginning of a line that is kept; objects are rarely larger.
const KEEP: usize = 64 * 1024;

impl Lines {
    /// Takes the next part of the body, and visits the lines that it completes.
    pub(super) fn take(&mut self, part: &[u8], mut visit: impl FnMut(&[u8])) {
        let mut part = part;
        while let Some(end) = part.iter().position(|byte| *byte == b'\n') {
            let (line, after) = part.split_at(end);
            part = after.get(1..).unwrap_or_default();
            if self.rest.is_empty() {
                visit_unless_empty(line, &mut visit);
            } else {
                self.rest.extend_from_slice(line);
                visit_unless_empty(&self.rest, &mut visit);
                self.rest.clear();
                self.rest.shrink_to(KEEP);
            }
        }
        self.rest.extend_from_slice(part);
    }
}

fn visit_unless_empty(line: &[u8], visit: &mut impl FnMut(&[u8])) {
    if !line.trim_ascii().is_empty() {
        visit(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_wherever_the_body_is_cut() {
        let body = b"{\"a\":1}\n\n{\"b\":22}\r\n{\"c\"";
        for size in 1..body.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for part in body.chunks(size) {
                lines.take(part, |line| seen.push(line.trim_ascii().to_vec()));
            }
            let expected = [b"{\"a\":1}".to_vec(), b"{\"b\":22}".to_vec()];
            assert_eq!(seen, expected, "cut every {size}");
        }
    }
}
