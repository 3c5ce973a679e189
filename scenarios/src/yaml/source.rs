//! The texts that a scenario is read from, and places in them.
//!
//! Invariant: a spot names a source of this list; positions are worked out only when an error is shown.

use super::tree::{self, Node};
use super::{alias, token};
use crate::error::{ErrorKind, ScenarioError};

/// Longest text that is read. Scenarios are a hundred lines; this bounds what a wrong path can cost.
const LONGEST_BYTES: usize = 1 << 20;

/// One text: a file, or an argument of the command line.
#[derive(Debug)]
struct Source {
    name: String,
    text: String,
    /// Where the YAML begins in it.
    body: usize,
}

/// All texts of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

/// A place in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Value number `id` of the source's document.
    Node { source: usize, id: u32 },
    /// Bytes of the source's text.
    Span { source: usize, start: usize, length: usize },
}

impl Spot {
    /// The order in which places were read: nearly that of the text, and free.
    pub(crate) fn visit(self) -> (usize, u32) {
        match self {
            Spot::Node { source, id } => (source, id),
            Spot::Span { source, .. } => (source, 0),
        }
    }
}

/// Something wrong at a place.
#[derive(Debug)]
pub(crate) struct Problem {
    pub at: Spot,
    pub message: String,
    pub nearest: Option<String>,
    pub kind: ErrorKind,
}

impl Problem {
    pub(crate) fn wrong(at: Spot, message: impl Into<String>) -> Problem {
        Problem { at, message: message.into(), nearest: None, kind: ErrorKind::Wrong }
    }
}

impl Sources {
    /// Adds a text whose YAML begins at byte `body`.
    pub(crate) fn add(&mut self, name: impl Into<String>, text: impl Into<String>, body: usize) -> usize {
        self.0.push(Source { name: name.into(), text: text.into(), body });
        self.0.len() - 1
    }

    fn body(&self, source: usize) -> &str {
        &self.0[source].text[self.0[source].body..]
    }

    /// Reads the source's document.
    pub(crate) fn parse(&self, source: usize) -> Result<Node, Problem> {
        let body = self.body(source);
        if body.len() > LONGEST_BYTES {
            let message = format!("longer than {LONGEST_BYTES} bytes; that is no scenario");
            return Err(Problem::wrong(Spot::Span { source, start: 0, length: 1 }, message));
        }
        tree::build(source, body).map_err(|error| self.yaml_problem(source, &error))
    }

    fn yaml_problem(&self, source: usize, error: &serde_yaml::Error) -> Problem {
        let body = self.body(source);
        let text = error.to_string();
        let mut start = match error.location() {
            Some(location) => within(body, at_position(&text).unwrap_or(location.index())),
            None => second_document(body).unwrap_or(0),
        };
        // What is never closed is noticed at the end; it is mended where it was opened.
        if body[start..].trim().is_empty() {
            start = opened_at(&text).map_or(start, |(line, column)| byte_at(body, line, column));
        }
        let next = body[start..].chars().next();
        let message = match next {
            Some('\t') => "a tab cannot indent YAML; use spaces".to_string(),
            Some(c) if text.contains("cannot start any token") => {
                format!("not YAML: a value cannot begin with `{c}`; put it in quotes")
            }
            _ if text.contains("more than one document") => {
                "a second document begins here; a scenario file holds one".to_string()
            }
            _ => match [tree::NO_TAGS, tree::TOO_MANY].into_iter().find(|own| text.contains(own)) {
                Some(own) => own.to_string(),
                None => format!("not YAML: {}", without_position(&text)),
            },
        };
        let length = next.map_or(0, char::len_utf8);
        Problem::wrong(Spot::Span { source, start: start + self.0[source].body, length }, message)
    }

    /// First byte and number of bytes of a place.
    fn span(&self, at: Spot) -> (usize, usize, usize) {
        match at {
            Spot::Span { source, start, length } => (source, start, length),
            Spot::Node { source, id } => {
                let body = self.body(source);
                let index = alias::place(body, id).or_else(|| tree::locate(body, id)).unwrap_or(0);
                let start = within(body, index);
                (source, start + self.0[source].body, token::length(body, start))
            }
        }
    }

    /// The text of a scalar as it stands in the source, for values that are text to their reader whatever YAML reads.
    pub(crate) fn raw(&self, at: Spot) -> &str {
        let Spot::Node { source, id } = at else { return "" };
        let body = self.body(source);
        let start = tree::locate(body, id).map_or(0, |index| within(body, index));
        let line = body[start..].split(['\n', '\r']).next().unwrap_or("");
        let word = line[token::properties(line)..].split([' ', '\t', ',', ']', '}']).next();
        word.unwrap_or("")
    }

    /// A place in the order of the sources and their texts.
    pub(crate) fn order(&self, at: Spot) -> (usize, usize) {
        let (source, start, _) = self.span(at);
        (source, start)
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, at: Spot) -> usize {
        let (source, start, _) = self.span(at);
        self.0[source].text[..start].matches('\n').count() + 1
    }

    /// The problem as people read it.
    pub(crate) fn error(&self, problem: Problem) -> ScenarioError {
        let (source, start, length) = self.span(problem.at);
        let Source { name, text, .. } = &self.0[source];
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].split('\n').next().unwrap_or("").trim_end_matches('\r');
        ScenarioError {
            path: name.clone(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: line.to_string(),
            length: text.get(start..start + length).map_or(1, |token| token.chars().count()).max(1),
            message: problem.message,
            nearest: problem.nearest,
            kind: problem.kind,
        }
    }
}

/// The parser's byte index, kept within the text and at the beginning of a character.
fn within(text: &str, index: usize) -> usize {
    text.floor_char_boundary(index.min(text.len()))
}

/// The byte of a line and a column, both from 1; the text's end where it has no such place.
fn byte_at(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text[before..].char_indices().nth(column.saturating_sub(1));
    rest.map_or(text.len(), |(at, _)| before + at)
}

/// The parser's message without the position of what it noticed; where what it was reading began stays in it.
fn without_position(message: &str) -> String {
    let message = message.split(" at position ").next().unwrap_or(message);
    let Some((before, rest)) = message.split_once(" at line ") else { return message.to_string() };
    let digits = |c: char| c.is_ascii_digit() || c == ' ';
    let rest = rest.trim_start_matches(digits).strip_prefix("column").unwrap_or(rest).trim_start_matches(digits);
    format!("{before}{rest}")
}

/// The byte of a character that no YAML may hold: that error has no other position.
fn at_position(message: &str) -> Option<usize> {
    let digits = message.split_once(" at position ")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Line and column where the parser says that what it was reading began.
fn opened_at(message: &str) -> Option<(usize, usize)> {
    let (_, context) = message.split_once(", while ")?;
    // The very beginning of the text is left unsaid.
    let Some((_, position)) = context.split_once(" at line ") else { return Some((1, 1)) };
    let (line, column) = position.split_once(" column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

fn second_document(text: &str) -> Option<usize> {
    let first = text.lines().position(|line| !line.trim().is_empty() && !line.starts_with(['#', '%']));
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if Some(number) > first && line.starts_with("---") {
            return Some(at);
        }
        at += line.len();
    }
    None
}
