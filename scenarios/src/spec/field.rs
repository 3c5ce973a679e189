//! Reading mappings field by field, and lists item by item.
//!
//! Invariant: a wrong field is reported once, beside all others, and never hides them.

use super::At;
use crate::error::ErrorKind;
use crate::nearest::{nearest, suggestion};
use crate::yaml::{Entry, Node, Problem, Sources, Spot, Value};
use std::collections::BTreeMap;

/// What readers share: the texts, and what was wrong so far.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    pub sources: &'s Sources,
    pub problems: Vec<Problem>,
}

/// With more problems than this, further ones say less: finding out what stands somewhere costs a visit of the text.
const MANY_PROBLEMS: usize = 50;

/// A longer text is not quoted whole: a message says where it stands.
const QUOTED_CHARACTERS: usize = 80;

/// A text as messages quote it.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

impl Reader<'_> {
    fn has_many_problems(&self) -> bool {
        self.problems.len() > MANY_PROBLEMS
    }

    /// Reports something wrong.
    pub fn wrong(&mut self, at: Spot, message: impl Into<String>) {
        self.problems.push(Problem::wrong(at, message));
    }

    /// Reports a wrong name, with the valid ones.
    pub fn wrong_name(&mut self, at: Spot, message: &str, wrong: &str, valid: &[&str]) {
        let (advice, nearest) = suggestion(wrong, valid);
        self.problems.push(Problem { nearest, ..Problem::wrong(at, format!("{message}; {advice}")) });
    }

    /// Reports a part of the contract that this build lacks.
    pub fn unbuilt(&mut self, at: Spot, what: &str, instead: &str) {
        let message = format!("{what} is not built yet{instead}");
        self.problems.push(Problem { kind: ErrorKind::NotBuilt, ..Problem::wrong(at, message) });
    }
}

/// A value to be read: itself, its path for messages, and the key (or item) that names it.
#[derive(Clone, Debug)]
pub(crate) struct Place<'n> {
    pub node: &'n Node,
    pub name: String,
    pub key_at: Spot,
}

impl<'n> Place<'n> {
    /// What stands here, for messages.
    pub fn found(&self, reader: &Reader<'_>) -> String {
        match &self.node.value {
            _ if reader.has_many_problems() => "this".to_string(),
            Value::Null => "nothing".to_string(),
            Value::Bool(_) | Value::Whole(_) | Value::Number(_) => format!("`{}`", reader.sources.raw(self.node.at)),
            Value::Text(text) if text.is_empty() => "an empty text".to_string(),
            // In quotes, what looks like a number is none.
            Value::Text(text) if text.parse::<f64>().is_ok() => format!("the text `{text}`"),
            Value::Text(text) => format!("`{}`", beginning(text).escape_debug()),
            Value::List(items) if items.is_empty() => "an empty list".to_string(),
            Value::List(_) => "a list".to_string(),
            Value::Map(_) => "a mapping".to_string(),
        }
    }

    /// Where a message about the value points: at it, or at its key where there is no value.
    pub fn spot(&self) -> Spot {
        if self.node.value == Value::Null { self.key_at } else { self.node.at }
    }

    /// Reports that something else is expected here.
    pub fn expected<T>(&self, reader: &mut Reader<'_>, what: &str) -> Option<T> {
        let message = match self.node.value {
            Value::Null => format!("`{}` has no value; it must be {what}", self.name),
            _ => format!("`{}` must be {what}, not {}", self.name, self.found(reader)),
        };
        reader.wrong(self.spot(), message);
        None
    }

    /// The items of a list; `- ` alone and no value at all are an empty one.
    pub fn items(&self, reader: &mut Reader<'_>, example: &str) -> Option<Vec<Place<'n>>> {
        match &self.node.value {
            Value::Null => Some(Vec::new()),
            Value::List(items) => {
                let place = |(index, node): (usize, &'n Node)| Place {
                    node,
                    name: format!("{}[{index}]", self.name),
                    key_at: node.at,
                };
                Some(items.iter().enumerate().map(place).collect())
            }
            _ => self.expected(reader, &format!("a list, such as `{example}`")),
        }
    }

    /// The only key of an item such as `crash: {...}`, with its value.
    pub fn single(&self, reader: &mut Reader<'_>, what: &str) -> Option<(At<String>, Place<'n>)> {
        let Value::Map(entries) = &self.node.value else { return self.expected(reader, what) };
        if let [Entry { key: Some(key), key_at, node }] = &entries[..] {
            let place = Place { node, name: joined(&self.name, key), key_at: *key_at };
            return Some((At { value: key.clone(), at: *key_at }, place));
        }
        let message = match &entries[..] {
            [Entry { key: Some(first), node: Node { value: Value::Null, .. }, .. }, ..] if entries.len() > 1 => {
                format!("this stands beside `{first}`, not in it; indent it further, as in {what}")
            }
            _ => format!("`{}` must have one key, not {}: {what}", self.name, entries.len()),
        };
        let at = entries.get(1).map_or(self.spot(), |entry| entry.key_at);
        reader.wrong(at, message);
        None
    }
}

/// `cluster` and `workers` as `cluster.workers`.
pub(crate) fn joined(parent: &str, field: &str) -> String {
    if parent.is_empty() { field.to_string() } else { format!("{parent}.{field}") }
}

/// The fields of one mapping.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    name: String,
    home: Spot,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
    /// Required fields that are absent, each with an example.
    missing: Vec<(&'static str, String)>,
}

impl<'n> Fields<'n> {
    /// Begins to read a mapping; no value at all is an empty one.
    pub fn open(reader: &mut Reader<'_>, place: &Place<'n>, example: &str) -> Option<Fields<'n>> {
        let entries = match &place.node.value {
            Value::Map(entries) => &entries[..],
            Value::Null => &[],
            _ => return place.expected(reader, &format!("a mapping, such as `{example}`")),
        };
        let fields =
            Fields { name: place.name.clone(), home: place.key_at, entries, asked: Vec::new(), missing: Vec::new() };
        fields.refuse_doubles(reader);
        Some(fields)
    }

    fn refuse_doubles(&self, reader: &mut Reader<'_>) {
        let mut seen: BTreeMap<&str, Spot> = BTreeMap::new();
        for entry in self.entries {
            let Some(key) = &entry.key else {
                reader.wrong(entry.key_at, "a key must be a plain name");
                continue;
            };
            let Some(first) = seen.insert(key, entry.key_at) else { continue };
            let name = joined(&self.name, key);
            let first = match reader.has_many_problems() {
                true => "the first is above".to_string(),
                false => format!("the first is in line {}", reader.sources.line(first)),
            };
            reader.wrong(entry.key_at, format!("`{name}` stands twice; {first}"));
        }
    }

    /// The field's value as a place, if the field is there. The second of two alike was reported and is not read.
    pub fn take(&mut self, field: &'static str) -> Option<Place<'n>> {
        if !self.asked.contains(&field) {
            self.asked.push(field);
        }
        let entry = self.entries.iter().find(|entry| entry.key.as_deref() == Some(field))?;
        Some(Place { node: &entry.node, name: joined(&self.name, field), key_at: entry.key_at })
    }

    /// Whether the field is there.
    pub fn has(&self, field: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.as_deref() == Some(field))
    }

    /// Whether the mapping has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads a field that may be absent.
    pub fn optional<T>(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
        read: impl FnOnce(&mut Reader<'_>, &Place<'n>) -> Option<T>,
    ) -> Option<T> {
        let place = self.take(field)?;
        read(reader, &place)
    }

    /// Reads a field that must be there; `example` is shown where it is not.
    pub fn required<T>(
        &mut self,
        reader: &mut Reader<'_>,
        field: &'static str,
        example: &str,
        read: impl FnOnce(&mut Reader<'_>, &Place<'n>) -> Option<T>,
    ) -> Option<T> {
        let Some(place) = self.take(field) else {
            self.missing.push((field, example.to_string()));
            return None;
        };
        read(reader, &place)
    }

    /// Refuses what nobody asked for, and reports what is missing. A missing field that was only mistyped is reported
    /// once.
    pub fn close(mut self, reader: &mut Reader<'_>) {
        let whole = if self.name.is_empty() { "the scenario".to_string() } else { format!("`{}`", self.name) };
        for entry in self.entries {
            let Some(key) = entry.key.as_deref().filter(|key| !self.asked.contains(key)) else { continue };
            let message = format!("{whole} has no field `{}`", key.escape_debug());
            reader.wrong_name(entry.key_at, &message, key, &self.asked);
            let meant = nearest(key, self.asked.iter().copied());
            self.missing.retain(|(field, _)| Some(*field) != meant);
        }
        let names: Vec<String> = self.missing.iter().map(|(field, _)| format!("`{field}`")).collect();
        if let Some((_, example)) = self.missing.first() {
            reader.wrong(self.home, format!("{whole} lacks {}, such as `{example}`", names.join(", ")));
        }
    }

    /// The entries that no reader has asked for, for mappings whose names are declared elsewhere.
    pub fn others(&self) -> Vec<(&'n str, Place<'n>)> {
        let named = self.entries.iter().filter_map(|entry| entry.key.as_deref().map(|key| (key, entry)));
        let others = named.filter(|(key, _)| !self.asked.contains(key));
        let place = |entry: &'n Entry, key: &str| Place {
            node: &entry.node,
            name: joined(&self.name, key),
            key_at: entry.key_at,
        };
        others.map(|(key, entry)| (key, place(entry, key))).collect()
    }
}
