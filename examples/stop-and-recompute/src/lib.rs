//! A small recovery engine of its own, to copy: **stop, and recompute everything**.
//!
//! Every record is in a log in the durable store before it is acknowledged. One worker, the runner, computes every interval
//! of the whole query from that log. When the runner is lost everything stops; the master names the next one, which reads
//! the log from its beginning, computes all of it again and goes on; the sink drops what it has. So nothing that was
//! acknowledged is ever lost, however many workers are, and a recovery takes as long as the history is.
//!
//! ```text
//! client -batch-> runner -entry-> LOG in the store -written-> acknowledged
//!                                  `- the entries in order: what is in which interval -> compute -> sink
//! worker lost -> master: fence it at the sink, then a new term -> next runner: read the log, compute it again, go on
//! ```
//!
//! Knows the facade `dstream` and no other engine. Each part has a pure core (`history`, `runner::core`, `master::core`)
//! and a thin shell. Invariant: what is in which interval, and so every result, follows from the log alone.

pub mod compute;
pub mod engine;
pub mod history;
pub mod master;
pub mod message;
pub mod options;
pub mod runner;

pub use engine::StopAndRecompute;
