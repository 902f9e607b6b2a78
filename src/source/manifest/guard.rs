//! A look at a document before the YAML parser sees it: the parser keeps the whole of it in memory,
//! over a hundred bytes for each value, and its time grows with the square of the nesting.
//!
//! Owns the bounds. Must not refuse anything that a real manifest could hold.

use super::problem::TextProblem;

/// Brackets left open, or dashes in a row: real manifests stay below ten.
const MAX_OPEN: usize = 512;
/// Lines, commas and brackets in what is parsed at once: about 300 MB of parser memory. Items of a
/// list are parsed one at a time and count one at a time.
const MAX_TOKENS: usize = 1_000_000;

/// Refuses text that would cost too much to parse; `first_line` is where it starts in the file.
pub(super) fn check(text: &str, first_line: u64) -> Result<(), TextProblem> {
    let mut tokens = 0_usize;
    let mut open = 0_usize;
    for (line, number) in text.as_bytes().split(|&b| b == b'\n').zip(first_line..) {
        tokens += 1;
        if leading_dashes(line) > MAX_OPEN {
            return Err(TextProblem::TooDeep(number, MAX_OPEN));
        }
        for &byte in line {
            match byte {
                b'[' | b'{' => {
                    tokens += 1;
                    open += 1;
                }
                b']' | b'}' => open = open.saturating_sub(1),
                b',' => tokens += 1,
                _ => continue,
            }
            if open > MAX_OPEN {
                return Err(TextProblem::TooDeep(number, MAX_OPEN));
            }
        }
        if tokens > MAX_TOKENS {
            return Err(TextProblem::TooMany(MAX_TOKENS));
        }
    }
    Ok(())
}

/// `- - - x` nests once for each dash, and so do `? ` and `: `.
fn leading_dashes(line: &[u8]) -> usize {
    line.trim_ascii_start()
        .chunks_exact(2)
        .take_while(|pair| matches!(**pair, [b'-' | b'?' | b':', b' ']))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_refused_at_their_line() {
        let brackets = format!("a: b\nc: {}", "[".repeat(100_000));
        assert_eq!(
            check(&brackets, 10),
            Err(TextProblem::TooDeep(11, MAX_OPEN))
        );
        let dashes = format!("  {}x", "- ".repeat(100_000));
        assert_eq!(check(&dashes, 1), Err(TextProblem::TooDeep(1, MAX_OPEN)));
        let wide = format!("a: [{}]", "a,".repeat(MAX_TOKENS));
        assert_eq!(check(&wide, 1), Err(TextProblem::TooMany(MAX_TOKENS)));
    }

    #[test]
    fn text_full_of_brackets_is_fine_if_they_are_closed() {
        let line = "a: '[{\"b\": [1, 2]}]'\n";
        assert_eq!(check(&line.repeat(1000), 1), Ok(()));
    }
}
