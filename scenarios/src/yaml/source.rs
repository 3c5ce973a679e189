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
        let offset = self.0[source].body;
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or(&text).to_string();
        let start = match error.location() {
            Some(location) => byte_of(body, location.index()),
            None => second_document(body).unwrap_or(0),
        };
        let message = if body[start..].starts_with('\t') || message.contains("cannot start any token") {
            match body[start..].chars().next() {
                Some('\t') => "a tab cannot indent YAML; use spaces".to_string(),
                Some(c) => format!("not YAML: a value cannot begin with `{c}`; put it in quotes"),
                None => format!("not YAML: {message}"),
            }
        } else if message.contains("more than one document") {
            "a second document begins here; a scenario file holds one".to_string()
        } else {
            format!("not YAML: {message}")
        };
        let start = start.min(body.len());
        let length = body[start..].chars().next().map_or(0, char::len_utf8);
        Problem::wrong(Spot::Span { source, start: start + offset, length }, message)
    }

    /// First byte and number of bytes of a place.
    fn span(&self, at: Spot) -> (usize, usize, usize) {
        match at {
            Spot::Span { source, start, length } => (source, start, length),
            Spot::Node { source, id } => {
                let body = self.body(source);
                let index = alias::place(body, id).or_else(|| tree::locate(body, id)).unwrap_or(0);
                let start = byte_of(body, index);
                (source, start + self.0[source].body, token::length(body, start))
            }
        }
    }

    /// The text of a scalar as it stands in the source, for values that are text to their reader whatever YAML reads.
    pub(crate) fn raw(&self, at: Spot) -> &str {
        let Spot::Node { source, id } = at else { return "" };
        let body = self.body(source);
        let start = tree::locate(body, id).map_or(0, |index| byte_of(body, index));
        let word = body[start..].split([' ', '\t', '\n', '\r', ',', ']', '}']).next();
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

/// The byte at which character `index` begins; the text's end where it has fewer.
fn byte_of(text: &str, index: usize) -> usize {
    text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte)
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
