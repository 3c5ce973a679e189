//! One interval computed whole: every stage of the query on this node's cores, the results handed to the sink.
//!
//! Knows neither log nor membership. Invariant: the results follow from the interval's input and the panes before it, so
//! whoever computes it again hands in the same bytes.

use crate::history::Input;
use bytes::Bytes;
use dstream::engine::message::{FromSink, ResultName, ToClient, ToSink, open, seal};
use dstream::engine::peer::{Lane, Peers};
use dstream::engine::query::{
    Counts, Kept, LineBlock, Produced, Query, Scratch, Stage, StageEnd, StageInput, TaskAt, TaskInput, TaskResult,
    Width,
};
use dstream::engine::{CoreTime, Costs, Event, Host, NodeName, Purpose};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What all intervals of a node have in common.
#[derive(Clone)]
pub struct Computation {
    /// The node's host.
    pub host: Host,
    /// Its connections.
    pub peers: Peers,
    /// The program.
    pub query: Arc<Query>,
    /// What work costs.
    pub costs: Costs,
    /// How many records each record stands for.
    pub scale: u64,
    /// Partitions of keyed stages.
    pub partitions: u32,
    /// The sink.
    pub sink: NodeName,
    /// Who hears that an interval is done.
    pub clients: Vec<NodeName>,
    /// How long an answer may take before it is asked for again.
    pub deadline: Duration,
}

/// Why an interval was not computed.
pub enum Failed {
    /// The sink refuses this node: its epoch is over.
    Refused,
    /// The query cannot be computed.
    Broken(String),
}

/// What intervals leave to later ones: (stage, partition) -> interval -> panes.
#[derive(Default)]
pub struct Panes(BTreeMap<(u32, u32), BTreeMap<u64, Vec<Bytes>>>);

impl Panes {
    /// What a task reads: for each kept, its panes from the oldest interval to the newest; empty before interval 0.
    fn past(&self, stage: &Stage, partition: u32, interval: u64) -> Vec<Vec<Bytes>> {
        let all = self.0.get(&(stage.id.0, partition));
        let pane = |index: usize, back: u64| {
            let of = interval.checked_sub(back).and_then(|of| all?.get(&of));
            of.and_then(|panes| panes.get(index).cloned()).unwrap_or_default()
        };
        let panes = |(index, kept): (usize, &Kept)| kept.back.clone().rev().map(|back| pane(index, back)).collect();
        stage.kept.iter().enumerate().map(panes).collect()
    }

    /// Keeps what a task left, and lets go of what no later interval reads.
    fn keep(&mut self, stage: &Stage, partition: u32, interval: u64, left: Vec<Bytes>) {
        let Some(reach) = stage.kept.iter().map(|kept| *kept.back.end()).max() else { return };
        let all = self.0.entry((stage.id.0, partition)).or_default();
        all.insert(interval, left);
        all.retain(|of, _| *of + reach > interval);
    }
}

/// A result to hand in.
struct Finished {
    output: String,
    partition: u32,
    of: u32,
    rows: Bytes,
}

impl Computation {
    /// Computes an interval and hands its results in; returns the panes for the next one.
    pub async fn interval(&self, epoch: u64, input: Input, panes: Panes, again: bool) -> Result<Panes, Failed> {
        let interval = input.interval;
        let mut panes = panes;
        let mut finished = Vec::new();
        let mut used = Duration::ZERO;
        // shuffle -> what each task before it wrote, one slice for each partition
        let mut slices: BTreeMap<u32, Vec<Vec<Bytes>>> = BTreeMap::new();
        for stage in &self.query.stages {
            let inputs = self.inputs(stage, &input, &slices, &panes);
            let of = u32::try_from(inputs.len()).expect("a stage has fewer than 2^32 partitions");
            for (partition, result) in (0..).zip(self.run_all(stage, interval, inputs, &mut used).await?) {
                panes.keep(stage, partition, interval, result.kept);
                match (stage.end, result.produced) {
                    (StageEnd::Shuffle(to), Produced::Slices(made)) => slices.entry(to.0).or_default().push(made),
                    (StageEnd::Output(output), Produced::Rows(rows)) => {
                        let output = &self.query.outputs[output.0 as usize];
                        if (interval + 1).is_multiple_of(output.every) {
                            finished.push(Finished { output: output.name.clone(), partition, of, rows });
                        }
                    }
                    _ => return Err(Failed::Broken(format!("stage {} did not end where it says", stage.label))),
                }
            }
        }
        self.account(used, again);
        self.hand_in(epoch, interval, finished).await?;
        let done = seal(Vec::new(), &ToClient::Done { interval });
        for client in &self.clients {
            // A client that is not there now has no need of it.
            let _ = self.peers.send(client, Lane::Control, Purpose::Control, done.clone(), done.len() as u64);
        }
        Ok(panes)
    }

    /// What the tasks of a stage read.
    fn inputs(
        &self,
        stage: &Stage,
        input: &Input,
        slices: &BTreeMap<u32, Vec<Vec<Bytes>>>,
        panes: &Panes,
    ) -> Vec<TaskInput> {
        let StageInput::Shuffle(from) = stage.input else {
            return share(&input.blocks, self.host.cpu.cores()).into_iter().map(TaskInput::Lines).collect();
        };
        let width = if stage.width == Width::One { 1 } else { self.partitions };
        let made = slices.get(&from.0).map_or(&[][..], Vec::as_slice);
        let of = |partition: u32| made.iter().filter_map(|task| task.get(partition as usize).cloned()).collect();
        let task =
            |partition| TaskInput::Slices { slices: of(partition), past: panes.past(stage, partition, input.interval) };
        (0..width).map(task).collect()
    }

    /// Runs the tasks of a stage side by side, as far as there are cores.
    async fn run_all(
        &self,
        stage: &Stage,
        interval: u64,
        inputs: Vec<TaskInput>,
        used: &mut Duration,
    ) -> Result<Vec<TaskResult>, Failed> {
        let at = TaskAt { interval, partitions: self.partitions_after(stage) };
        let mut running = Vec::new();
        for input in inputs {
            let (told, result) = oneshot::channel();
            let (stage, costs, scale) = (stage.clone(), self.costs.clone(), self.scale);
            let work = move || {
                let result = run_guarded(&stage, &input, at);
                let cost =
                    result.as_ref().map_or(CoreTime::default(), |made| cost_of(&costs, scale, &input, made.counts));
                let _ = told.send(result); // nobody waits for it where the node ends
                cost
            };
            running.push((tokio::spawn(self.host.cpu.run(Box::new(work))), result));
        }
        let ended = || Failed::Broken("a core ended before its task".to_owned());
        let mut results = Vec::new();
        for (paid, result) in running {
            *used += paid.await.map_err(|_| ended())?.0;
            results.push(result.await.map_err(|_| ended())?.map_err(Failed::Broken)?);
        }
        Ok(results)
    }

    /// How many partitions read what the stage writes.
    fn partitions_after(&self, stage: &Stage) -> u32 {
        let reads = |other: &&Stage| match (stage.end, other.input) {
            (StageEnd::Shuffle(end), StageInput::Shuffle(read)) => end == read,
            _ => false,
        };
        match self.query.stages.iter().find(reads).map(|reader| reader.width) {
            Some(Width::One) => 1,
            _ => self.partitions,
        }
    }

    fn account(&self, used: Duration, again: bool) {
        let cpu_ns = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        self.host.trace.record(Event::CpuUsed { cpu_ns });
        if again {
            self.host.trace.record(Event::WorkRepeated { cpu_ns });
        }
    }

    /// Hands all results in at once, each again and again until the sink has it.
    async fn hand_in(&self, epoch: u64, interval: u64, finished: Vec<Finished>) -> Result<(), Failed> {
        let seal_one = |Finished { output, partition, of, rows }| {
            seal(rows.to_vec(), &ToSink::Result(ResultName { output, interval, partition, of, epoch, lacks: 0 }))
        };
        let mut waiting: Vec<Bytes> = finished.into_iter().map(seal_one).collect();
        while !waiting.is_empty() {
            let ask = |payload: &Bytes| {
                let bytes = payload.len() as u64;
                self.peers.request(&self.sink, Purpose::Output, payload.clone(), bytes, self.deadline)
            };
            let asked: Vec<_> = waiting.iter().map(ask).collect();
            let mut again = Vec::new();
            for (answer, payload) in asked.into_iter().zip(waiting) {
                match answer.await.ok().and_then(|answer| open::<FromSink>(&answer).ok()) {
                    Some((FromSink::Done, _)) => {}
                    Some((FromSink::Refused, _)) => return Err(Failed::Refused),
                    Some((FromSink::Fenced(_), _)) | None => again.push(payload),
                }
            }
            if !again.is_empty() {
                self.host.sleep(self.deadline).await;
            }
            waiting = again;
        }
        Ok(())
    }
}

/// Blocks for so many tasks, neighbours together; at least one task, also where there is nothing.
fn share(blocks: &[LineBlock], tasks: usize) -> Vec<Vec<LineBlock>> {
    let each = blocks.len().div_ceil(tasks.max(1)).max(1);
    let shares: Vec<Vec<LineBlock>> = blocks.chunks(each).map(<[LineBlock]>::to_vec).collect();
    if shares.is_empty() { vec![Vec::new()] } else { shares }
}

/// Runs a stage's program; a panic of a user's function becomes an error.
fn run_guarded(stage: &Stage, input: &TaskInput, at: TaskAt) -> Result<TaskResult, String> {
    let run = catch_unwind(AssertUnwindSafe(|| stage.program.run(input, at, &mut Scratch::default())));
    match run {
        Ok(result) => result.map_err(|error| format!("`{}` in interval {}: {error}", stage.label, at.interval)),
        Err(_) => Err(format!("a function of `{}` panicked in interval {}", stage.label, at.interval)),
    }
}

/// What a task costs by the model: bytes of source records stand for `scale` times as many up to the first combine.
fn cost_of(costs: &Costs, scale: u64, input: &TaskInput, counts: Counts) -> CoreTime {
    let work = match input {
        TaskInput::Lines(_) => counts.bytes_in as f64 * scale as f64 * costs.map_ns_per_byte,
        TaskInput::Slices { .. } => {
            let rows = counts.rows_in + counts.rows_applied;
            rows as f64 * costs.merge_ns_per_row + counts.bytes_in as f64 * costs.codec_ns_per_byte
        }
    };
    Costs::time(costs.task_ns + work + counts.bytes_out as f64 * costs.codec_ns_per_byte)
}
