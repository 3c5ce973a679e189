//! An error in a scenario: where it stands, what is wrong, what is valid.
//!
//! Knows no schema. Invariant: `line` and `column` count from 1 and the caret line stands under `text`.

use std::fmt;
use std::path::Path;

/// Longest part of a line that is shown; a longer line is cut around the caret.
const SHOWN_CHARS: usize = 160;

/// What kind of error it is. Both are the user's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The scenario is wrong.
    Wrong,
    /// The scenario names a part of the contract that this build does not have.
    NotBuilt,
}

/// One error in a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, or the command line's argument (`--set`).
    pub path: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// The line.
    pub text: String,
    /// How many characters the caret line underlines; at least 1.
    pub length: usize,
    /// What is wrong, and what is valid; one line.
    pub message: String,
    /// The valid name nearest to the wrong one, where there is one. The message says it too.
    pub nearest: Option<String>,
    /// What kind of error it is.
    pub kind: ErrorKind,
}

impl ScenarioError {
    /// The bytes of the scenario file at `path` as text; one error, at the first character that is none.
    pub fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, Vec<ScenarioError>> {
        let wrong = |bytes: &[u8], valid: usize| vec![not_text(path, bytes, valid)];
        String::from_utf8(bytes).map_err(|error| wrong(error.as_bytes(), error.utf8_error().valid_up_to()))
    }
}

/// The error at byte `valid`, up to which the bytes are text.
fn not_text(path: &Path, bytes: &[u8], valid: usize) -> ScenarioError {
    let line_start = bytes[..valid].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = bytes[line_start..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (before, shown) = (String::from_utf8_lossy(&bytes[line_start..valid]), String::from_utf8_lossy(line));
    let plain = |text: &str| text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches('\r').to_string();
    ScenarioError {
        path: path.display().to_string(),
        line: 1 + bytes[..line_start].iter().filter(|byte| **byte == b'\n').count(),
        column: 1 + plain(&before).chars().count(),
        text: plain(&shown),
        length: 1,
        message: "this is no UTF-8; a scenario file is UTF-8 text".to_string(),
        nearest: None,
        kind: ErrorKind::Wrong,
    }
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.path, self.line, self.column, self.message)?;
        let first = self.column.saturating_sub(1);
        let cut = if first + self.length > SHOWN_CHARS { first.saturating_sub(SHOWN_CHARS / 4) } else { 0 };
        // A tab is as wide as the terminal likes: a space keeps the caret under its character.
        let shown = self.text.chars().skip(cut).take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c });
        writeln!(f, "{}", shown.collect::<String>())?;
        let length = self.length.clamp(1, SHOWN_CHARS);
        write!(f, "{}{}", " ".repeat(first - cut), "^".repeat(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_shown_where_they_are() {
        let check = |bytes: &[u8], expected: Result<&str, &str>| {
            let text = ScenarioError::text_of(Path::new("s.yaml"), bytes.to_vec());
            let said =
                |(at, shown): (&str, &str)| format!("{at}: this is no UTF-8; a scenario file is UTF-8 text\n{shown}");
            let expected = expected.map(str::to_string).map_err(|said_at| said(said_at.split_once('|').unwrap()));
            assert_eq!(text.map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>()), expected);
        };
        check("title: \u{fc}".as_bytes(), Ok("title: \u{fc}"));
        check(b"a: 1\r\ntitle: f\xfcr\r\nb: 2\n", Err("s.yaml:2:9|title: f\u{fffd}r\n        ^"));
        check(b"\xef\xbb\xbft: \xc3\xbc\xff", Err("s.yaml:1:5|t: \u{fc}\u{fffd}\n    ^"));
        check(b"\xff\xfet\0", Err("s.yaml:1:1|\u{fffd}\u{fffd}t \n^"));
        // A character that is cut off at the end.
        check(b"title: \xe2\x82", Err("s.yaml:1:8|title: \u{fffd}\n       ^"));
    }
}
