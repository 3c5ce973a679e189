//! YAML with positions. Values are read by `serde_yaml` alone; so are positions, by asking it where a value stands.
//!
//! `serde_yaml` gives every error that a visitor raises the mark of the value it was visiting. So a tree is built once,
//! its values numbered in the order of visits, and the position of value `n` is found when it is needed, by visiting
//! again and raising an error at `n`. Invariant: both visits number alike, because they are the same code.

mod alias;
mod set;
mod source;
mod token;
mod tree;

pub(crate) use set::apply_set;
pub(crate) use source::{Problem, Sources, Spot};
pub(crate) use tree::{Entry, Node, Value};
