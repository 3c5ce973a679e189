//! An error in a scenario: where it stands, what is wrong, what is valid.
//!
//! Knows no schema. Invariant: `line` and `column` count from 1 and the caret line stands under `text`.

use std::fmt;

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
