//! Continuous operators: what upstream backup and hot replication share.
//!
//! A partition is a chain of long-lived operators on one node, beside a source that takes in clients' records and maps them.
//! Operators send each other their output as it arises; a punctuation that goes the same way closes an interval. Everything
//! that a protocol decides differently is in [`node::Rules`] (what a node does) and [`master::Redundancy`] (what the master
//! keeps); no code here asks which protocol it is.
//!
//! ```text
//! client --batch--> every holder of the source's input --held--> client
//! source: log --batch--> map --element--> outbox (kept until safe) --> inbox of a keyed operator (duplicates dropped)
//! operator: absorb ... absorb, closed by every writer --> result --> next operator, or sink
//! node --how far--> master --border--> all nodes: trim;   a node lost --> master: heirs begin behind the border
//! ```

pub mod assignment;
mod credit;
pub mod engine;
pub mod feeder;
pub mod inbox;
pub mod log;
pub mod master;
pub mod message;
pub mod node;
pub mod operators;
pub mod outbox;
mod saves;
pub mod source;
pub mod topology;
