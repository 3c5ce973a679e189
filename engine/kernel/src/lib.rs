//! What a streaming query computes, whichever engine runs it. Pure: no time, no network, no randomness.
//!
//! A program is written with typed streams and built into a [`Query`]: stages, cut at the shuffles, that turn bytes into
//! bytes. This is a whole word count, run by hand in one partition:
//!
//! ```
//! use dstream_kernel::{LineBlock, Produced, QueryBuilder, Scratch, TaskAt, TaskInput};
//!
//! let builder = QueryBuilder::new();
//! builder
//!     .lines()
//!     .words()
//!     .map::<(String, u64)>(|word| (word, 1))
//!     .reduce_by_key(|a, b| a + b)
//!     .output("counts");
//! let query = builder.build()?;
//!
//! let (at, mut scratch) = (TaskAt { interval: 0, partitions: 1 }, Scratch::default());
//! let lines = LineBlock { lines: "to be or\nnot to be\n".into(), records: 2, skip: vec![] };
//! let map = query.stages[0].program.run(&TaskInput::Lines(vec![lines]), at, &mut scratch)?;
//! let Produced::Slices(slices) = map.produced else { panic!("the first stage ends in a shuffle") };
//! let reduce = query.stages[1].program.run(&TaskInput::slices(slices), at, &mut scratch)?;
//! let Produced::Rows(rows) = reduce.produced else { panic!("the second stage ends in an output") };
//!
//! let counts = (query.outputs[0].render)(&rows)?;
//! let expected = [("be", "2"), ("or", "1"), ("to", "2"), ("not", "1")];
//! assert_eq!(counts, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What makes it fast, each measured: operators take chunks of borrowed records, so that erasing their types costs one
//! dynamic call a chunk (`operator`); combine is a table with keys inside its entries that hashes in batches (`table`);
//! words are cut 64 bytes at a time; memory is reused from task to task ([`Scratch`]).

mod arena;
mod combine;
mod continuous;
mod count;
mod cut;
mod fetch;
mod held;
pub mod id;
mod image;
mod keyed;
mod line;
mod lines;
mod long;
mod operator;
mod order;
mod output;
mod pane;
pub mod partition;
mod program;
pub mod query;
pub mod reader;
pub mod record;
pub mod rows;
mod scratch;
mod stream;
mod table;
mod top;
mod tuple;
mod window;

pub use arena::Arena;
pub use continuous::{Absorbed, HeldPane, Operator};
pub use cut::{BuildError, QueryBuilder};
pub use held::HeldState;
pub use held::key::{Short, Shown, Sought, Word};
pub use held::table::{StateTable, Stored, Timeless, Touch};
pub use id::{IntervalId, OutputId, PartitionId, ShuffleId, StageId};
pub use image::Image;
pub use keyed::map_with_state::{Emitted, Touched};
pub use line::Out;
pub use operator::emit::Emit;
pub use operator::map::MapFn;
pub use order::Ordered;
pub use query::{
    Counts, Kept, LineBlock, OutputSpec, Produced, Query, Render, Stage, StageEnd, StageInput, StageProgram, TaskAt,
    TaskError, TaskInput, TaskResult, Width,
};
pub use record::Record;
pub use scratch::Scratch;
pub use stream::DStream;
pub use window::{Window, is_due};
