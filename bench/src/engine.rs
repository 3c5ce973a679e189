//! Everything that an engine is written with: the trait, the cluster's shared parts, what a node may ask of its world, the
//! query, and the words of the log. `examples/stop-and-recompute` is an engine that uses nothing else.
//!
//! Adds nothing of its own; the crates below say what each piece means. Add the engine to a binary with
//! [`Setup::with_engine`](crate::Setup::with_engine), and show that it keeps its promise with
//! [`conformance`](crate::conformance).

pub use dstream_cluster::core::{BoxCore, Core};
pub use dstream_cluster::option::Unbuilt;
pub use dstream_cluster::{
    ClusterSpec, Costs, Engine, EngineError, JobError, JobSpec, LineSource, OptionKind, OptionSpec, OptionValue,
    Options, Pace, Promise, Registry,
};
pub use dstream_host::{BoxFuture, CoreTime, Host, NodeError, NodeSpec, StoreError};
pub use dstream_trace::{BlockName, Event, Moment, NodeName, Purpose, RangeSet, RecordRange, TaskName};

/// Clients: they read the source when records are due and send them until they are held.
pub use dstream_cluster::client;
/// Who is a member, under which epoch, and who is lost.
pub use dstream_cluster::detector;
/// Names, roles and connections of a cluster.
pub use dstream_cluster::layout;
/// Messages: header and body in one payload, and those that all engines share.
pub use dstream_cluster::message;
/// Where results become visible, once, and how lost nodes are kept away from it.
pub use dstream_cluster::sink;
/// Connections to all other nodes: events in, frames out.
pub use dstream_host::peer;

/// What is computed: stages cut at the shuffles, which an engine sees as bytes.
pub mod query {
    pub use dstream_kernel::{
        Counts, HeldPane, Kept, LineBlock, Operator, OutputId, OutputSpec, Produced, Query, Scratch, Stage, StageEnd,
        StageInput, StageProgram, TaskAt, TaskError, TaskInput, TaskResult, Width, is_due,
    };
}
