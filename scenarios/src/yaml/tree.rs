//! The tree of a document: every value with a number that finds its position again.
//!
//! Invariant: `build` and `locate` visit the same values in the same order.

use super::source::Spot;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

/// Most values of one document, aliases expanded: a scenario has some hundred, an alias bomb has billions.
const MOST_NODES: u32 = 100_000;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub at: Spot,
    pub value: Value,
}

/// What `serde_yaml` read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Whole(u64),
    /// Any other number.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// `None` where the key is not a scalar.
    pub key: Option<String>,
    pub key_at: Spot,
    pub node: Node,
}

/// What is said of a document that is too large.
pub(crate) const TOO_MANY: &str =
    "more than 100000 values, aliases counted as often as they are used; that is no scenario";

/// What is said of a tag.
pub(crate) const NO_TAGS: &str = "a tag (`!name`) means nothing in a scenario; leave it out";

/// What the visitor's own error says; nobody reads it.
const HERE: &str = "here";

/// Reads the document.
pub(crate) fn build(source: usize, text: &str) -> Result<Node, serde_yaml::Error> {
    let next = Cell::new(0);
    Visit { source, next: &next, stop: None }.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// The byte where value number `id` of the document begins.
pub(crate) fn locate(text: &str, id: u32) -> Option<usize> {
    let next = Cell::new(0);
    let visit = Visit { source: 0, next: &next, stop: Some(id) };
    let stopped = visit.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    stopped.location().map(|location| location.index())
}

#[derive(Clone, Copy)]
struct Visit<'c> {
    source: usize,
    next: &'c Cell<u32>,
    stop: Option<u32>,
}

impl Visit<'_> {
    /// Numbers the value that is being visited.
    fn enter<E: de::Error>(&self) -> Result<Spot, E> {
        let id = self.next.get();
        self.next.set(id + 1);
        if self.stop == Some(id) {
            return Err(E::custom(HERE));
        }
        if id >= MOST_NODES {
            return Err(E::custom(TOO_MANY));
        }
        Ok(Spot::Node { source: self.source, id })
    }

    fn scalar<E: de::Error>(&self, value: Value) -> Result<Node, E> {
        Ok(Node { at: self.enter()?, value })
    }
}

impl<'de> DeserializeSeed<'de> for Visit<'_> {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Visit<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.scalar(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.scalar(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(Value::Whole(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(Value::Number(value as f64))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.scalar(Value::Number(value as f64))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.scalar(Value::Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(Value::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.scalar(Value::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let at = self.enter()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node { at, value: Value::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let at = self.enter()?;
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(self)? {
            let node = access.next_value_seed(self)?;
            entries.push(Entry { key: key_text(&key.value), key_at: key.at, node });
        }
        Ok(Node { at, value: Value::Map(merged(entries)) })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(de::Error::custom(NO_TAGS))
    }
}

fn key_text(key: &Value) -> Option<String> {
    match key {
        Value::Text(text) => Some(text.clone()),
        Value::Whole(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null => Some("null".to_string()),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// Puts the entries of merge keys (`<<`) behind the mapping's own, which win over them. What cannot be merged stays
/// and is refused later as an unknown field.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(is_merge);
    for merge in merges {
        let sources = match merge.node.value {
            Value::List(items) => items,
            value => vec![Node { at: merge.node.at, value }],
        };
        for source in sources {
            let Value::Map(entries) = source.value else { continue };
            let known: BTreeSet<Option<String>> = own.iter().map(|entry| entry.key.clone()).collect();
            own.extend(entries.into_iter().filter(|entry| !known.contains(&entry.key)));
        }
    }
    own
}

fn is_merge(entry: &Entry) -> bool {
    let is_map = |node: &Node| matches!(node.value, Value::Map(_));
    entry.key.as_deref() == Some("<<")
        && match &entry.node.value {
            Value::List(items) => items.iter().all(is_map),
            _ => is_map(&entry.node),
        }
}
