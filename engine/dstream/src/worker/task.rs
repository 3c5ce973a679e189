//! Tasks: fetch what a task reads, run it on a core, put its result where it belongs.
//!
//! Knows how, not when or where: the master decided that. Invariant: a task's result takes effect when its cost is paid, and
//! the same order gives the same bytes whichever worker runs it.

use crate::message::{
    Fetch, Fetched, Launch, NotFetched, Reads, SliceSource, TaskFailure, TaskId, TaskOrder, ToMaster,
};
use crate::worker::blocks::fetch_blocks;
use crate::worker::chain::{Chains, Link};
use crate::worker::seats::{Rank, Seat, Seats};
use crate::worker::state::{Past, PlaceOfState, in_order, lacks, past_and_core};
use crate::worker::store::{Pane, SharedHoldings, Slices};
use crate::worker::tables::{Table, Tag, Tags};
use bytes::Bytes;
use dstream_cluster::Costs;
use dstream_cluster::message::{FromSink, ResultName, ToSink, open, seal};
use dstream_host::peer::Peers;
use dstream_host::{CoreTime, Host};
use dstream_kernel::{
    Counts, Produced, Query, Scratch, Stage, StageEnd, StageInput, TaskAt, TaskInput, TaskResult, Width,
};
use dstream_trace::{Event, NodeName, Purpose};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// How often a result is handed in before the attempt counts as failed. The sink is never faulty, so this many silent
/// deadlines mean that this worker is cut off from it.
const COMMIT_ATTEMPTS: u32 = 10;

/// What the tasks of a worker share.
#[derive(Clone)]
pub struct TaskContext {
    /// The node's host.
    pub host: Host,
    /// Its connections.
    pub peers: Peers,
    /// What it holds.
    pub holdings: SharedHoldings,
    /// The program.
    pub query: Arc<Query>,
    /// What work costs.
    pub costs: Costs,
    /// How many records each record stands for.
    pub scale: u64,
    /// Reduce partitions.
    pub partitions: u32,
    /// This worker's number.
    pub worker: u32,
    /// The sink's name.
    pub sink: NodeName,
    /// How long an answer may take.
    pub deadline: Duration,
    /// Parts of checkpoints whose panes are read at one time.
    pub save_reads: Arc<Semaphore>,
    /// Words for the master that are said beside tasks; taken by the shell, which knows who leads.
    pub words: mpsc::Sender<ToMaster>,
    /// Its cores, in the order in which its tasks get them.
    pub seats: Seats,
    /// Steps of state that are made again here, one behind the other.
    pub chains: Chains,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// The epoch under which it was launched.
    pub epoch: u64,
    /// The attempt.
    pub task: TaskId,
    /// Its end: how long it kept a core, or why it has no result.
    pub end: Result<CoreTime, TaskFailure>,
}

/// What the orders of one launch have in common.
#[derive(Clone, Copy, Debug)]
struct Common {
    epoch: u64,
    interval: u64,
    stage: u32,
    of: u32,
    given_up: u32,
}

impl Common {
    fn id(&self, order: &TaskOrder) -> TaskId {
        TaskId { interval: self.interval, stage: self.stage, partition: order.partition, attempt: order.attempt }
    }
}

/// Runs the tasks of a launch; `ended` hears of each as it ends.
pub async fn run_launch(
    context: TaskContext,
    epoch: u64,
    launch: Launch,
    mut links: BTreeMap<u32, Link>,
    ended: tokio::sync::mpsc::Sender<TaskEnd>,
) {
    let Launch { interval, stage, of, given_up, sources, tasks } = launch;
    let common = Common { epoch, interval, stage, of, given_up };
    let (slice_tasks, block_tasks): (Vec<TaskOrder>, Vec<TaskOrder>) =
        tasks.into_iter().partition(|order| order.reads == Reads::Slices);
    for order in block_tasks {
        let (context, ended) = (context.clone(), ended.clone());
        tokio::spawn(async move {
            let end = match order.reads.clone() {
                Reads::Blocks(blocks) => match fetch_blocks(&context, &blocks, (epoch, interval, order.again)).await {
                    Ok(input) => run_task(&context, common, &order, (input, Past::new()), Turn::default()).await,
                    Err(failure) => Err(failure),
                },
                Reads::Slices => unreachable!("the launch was parted by what its tasks read"),
            };
            let _ = ended.send(TaskEnd { epoch, task: common.id(&order), end }).await;
        });
    }
    if slice_tasks.is_empty() {
        return;
    }
    let fetched = fetch_slices(&context, common, &sources, &slice_tasks).await;
    for (order, input) in slice_tasks.into_iter().zip(fetched) {
        let (context, ended, link) = (context.clone(), ended.clone(), links.remove(&order.partition));
        tokio::spawn(async move {
            let end = match input {
                Ok(slices) => run_on_slices(&context, common, &order, slices, link).await,
                Err(failure) => Err(failure),
            };
            let _ = ended.send(TaskEnd { epoch, task: common.id(&order), end }).await;
        });
    }
}

fn purpose(again: bool) -> Purpose {
    if again { Purpose::Recovery } else { Purpose::Shuffle }
}

// -- questions to other workers ---------------------------------------------------------------------------------

/// What came of a question to another worker.
pub(super) enum Answer {
    /// Its answer.
    Got(Fetched, Bytes),
    /// None in time, or the connection broke.
    None,
}

pub(super) async fn fetch(context: &TaskContext, from: u32, purpose: Purpose, what: &Fetch) -> Answer {
    let payload = seal(Vec::new(), what);
    let declared = payload.len() as u64;
    let to = NodeName::worker(from);
    let answer = context.peers.request(&to, purpose, payload, declared, context.deadline).await;
    match answer.ok().and_then(|answer| open(&answer).ok()) {
        Some((fetched, body)) => Answer::Got(fetched, body),
        None => Answer::None,
    }
}

// -- input: slices ---------------------------------------------------------------------------------------------

/// The slices of every task, fetched with one request for each worker that holds some: all, or none where one is nowhere.
async fn fetch_slices(
    context: &TaskContext,
    common: Common,
    sources: &[SliceSource],
    tasks: &[TaskOrder],
) -> Vec<Result<Vec<Bytes>, TaskFailure>> {
    let parent = parent_of(&context.query, common.stage);
    let mut by_worker: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for source in sources {
        let Some(worker) = source.worker else {
            return tasks.iter().map(|_| Err(TaskFailure::NotFetched(NotFetched::default()))).collect();
        };
        by_worker.entry(worker).or_default().push(source.partition);
    }
    let to: Vec<u32> = tasks.iter().map(|task| task.partition).collect();
    let again = tasks.iter().any(|task| task.again);
    let fetches: Vec<_> = by_worker
        .into_iter()
        .map(|(worker, from)| {
            let (context, to) = (context.clone(), to.clone());
            tokio::spawn(async move {
                let wanted = Wanted { interval: common.interval, parent, from, to };
                (worker, fetch_from(&context, worker, &wanted, purpose(again)).await)
            })
        })
        .collect();
    let mut slices: BTreeMap<(u32, u32), Bytes> = BTreeMap::new();
    let mut failed = NotFetched::default();
    for fetch in fetches {
        match fetch.await {
            Ok((_, Ok(fetched))) => slices.extend(fetched),
            Ok((worker, Err(Lacking::Answer))) => failed.unreachable.push(worker),
            Ok((worker, Err(Lacking::Slices))) => failed.slices_missing.push(worker),
            Err(_) => {} // the node is ending
        }
    }
    if failed != NotFetched::default() {
        return tasks.iter().map(|_| Err(TaskFailure::NotFetched(failed.clone()))).collect();
    }
    let input = |task: &TaskOrder| {
        let in_map_order = sources.iter().filter_map(|source| slices.get(&(task.partition, source.partition)).cloned());
        Ok(in_map_order.collect())
    };
    tasks.iter().map(input).collect()
}

/// The stage whose slices `stage` reads.
fn parent_of(query: &Query, stage: u32) -> u32 {
    let input = query.stages[stage as usize].input;
    let feeds = |other: &&Stage| match (other.end, input) {
        (StageEnd::Shuffle(end), StageInput::Shuffle(read)) => end == read,
        _ => false,
    };
    query.stages.iter().find(feeds).map(|stage| stage.id.0).expect("a stage that reads slices has a parent")
}

/// What a worker did not give.
enum Lacking {
    Answer,
    Slices,
}

struct Wanted {
    interval: u64,
    parent: u32,
    from: Vec<u32>,
    to: Vec<u32>,
}

/// All wanted slices of one worker.
async fn fetch_from(context: &TaskContext, worker: u32, wanted: &Wanted, purpose: Purpose) -> Result<Slices, Lacking> {
    if worker == context.worker {
        let own = context.holdings.slices((wanted.interval, wanted.parent), &wanted.from, &wanted.to).await;
        return own.ok_or(Lacking::Slices);
    }
    let mut slices = Slices::new();
    let mut rest = wanted.to.as_slice();
    while !rest.is_empty() {
        let what = Fetch::Slices {
            interval: wanted.interval,
            stage: wanted.parent,
            from: wanted.from.clone(),
            to: rest.to_vec(),
        };
        let (lengths, body) = match fetch(context, worker, purpose, &what).await {
            Answer::Got(Fetched::Slices { lengths }, body) => (lengths, body),
            Answer::Got(..) => return Err(Lacking::Slices),
            Answer::None => return Err(Lacking::Answer),
        };
        let got = take_slices(&lengths, &body, rest, &wanted.from, &mut slices).ok_or(Lacking::Slices)?;
        rest = rest.get(got..).ok_or(Lacking::Slices)?;
    }
    Ok(slices)
}

/// Cuts an answer into slices; returns for how many reduce partitions it has them, nothing if the answer is no answer.
fn take_slices(lengths: &[u32], body: &Bytes, to: &[u32], from: &[u32], slices: &mut Slices) -> Option<usize> {
    let got = lengths.len().checked_div(from.len())?;
    let mut at = 0;
    for (index, length) in lengths.iter().enumerate() {
        let end = at + *length as usize;
        body.get(at..end)?;
        slices.insert((*to.get(index / from.len())?, from[index % from.len()]), body.slice(at..end));
        at = end;
    }
    (got > 0).then_some(got)
}

// -- running and handing in --------------------------------------------------------------------------------------

/// Runs a task on its slices and the panes of earlier intervals.
async fn run_on_slices(
    context: &TaskContext,
    common: Common,
    order: &TaskOrder,
    slices: Vec<Bytes>,
    link: Option<Link>,
) -> Result<CoreTime, TaskFailure> {
    let place = PlaceOfState { epoch: common.epoch, stage: common.stage, partition: order.partition };
    let past =
        past_and_core(context, (place, Rank::of(common.interval, common.stage)), &order.past, purpose(order.again))
            .await;
    let (past, seat) = past.map_err(TaskFailure::NotFetched)?;
    let kept = &context.query.stages[common.stage as usize].kept;
    let input = TaskInput::Slices { slices, past: in_order(kept, common.interval, &past) };
    run_task(context, common, order, (input, past), Turn { link, seat }).await
}

/// What a step of state has of its chain: its own link, and the core of the step before it.
#[derive(Default)]
struct Turn {
    link: Option<Link>,
    seat: Option<Seat>,
}

async fn run_task(
    context: &TaskContext,
    common: Common,
    order: &TaskOrder,
    (input, past): (TaskInput, Past),
    turn: Turn,
) -> Result<CoreTime, TaskFailure> {
    let lacks = match &input {
        TaskInput::Lines(_) => 0,
        TaskInput::Slices { .. } => lacks(common.given_up, &past),
    };
    let tags: Tags = past.iter().map(|(interval, pane)| (*interval, Tag::of(pane))).collect();
    drop(past); // what it reads it has; that stays in memory no longer than it computes
    let work = Work { id: common.id(order), epoch: common.epoch, past: tags.clone(), input };
    let (TaskRun { result, table, used }, seat) = compute(context, work, turn.seat).await?;
    if !result.kept.is_empty() {
        let place = (common.stage, order.partition);
        let pane = Pane { parts: result.kept, attempt: order.attempt, lacks };
        let mut holdings = context.holdings.lock();
        holdings.keep_pane(common.epoch, place, common.interval, pane);
        if let Some(mut table) = table {
            table.went_on(&tags, common.interval, Tag { attempt: order.attempt, lacks });
            holdings.keep_table(common.epoch, place, table);
        }
    }
    match turn.link {
        Some(link) => link.hand_on(seat),
        None => drop(seat),
    }
    match result.produced {
        Produced::Slices(slices) => {
            let place = (common.interval, common.stage, order.partition);
            context.holdings.lock().keep_slices(common.epoch, place, slices);
        }
        Produced::Rows(_) if !order.commits => {}
        Produced::Rows(rows) => commit(context, common, order, rows, lacks).await?,
    }
    Ok(used)
}

/// What an attempt computes, and on what.
struct Work {
    id: TaskId,
    epoch: u64,
    input: TaskInput,
    /// Which panes it reads.
    past: Tags,
}

/// What an attempt made, and the state in place that it went on with.
struct TaskRun {
    result: TaskResult,
    table: Option<Table>,
    /// How long it kept a core.
    used: CoreTime,
}

async fn compute(context: &TaskContext, work: Work, seat: Option<Seat>) -> Result<(TaskRun, Seat), TaskFailure> {
    // What a task reads stays in memory until its cost is paid.
    let _read = work.input.clone();
    let outcome: Arc<Mutex<Option<Result<TaskRun, String>>>> = Arc::default();
    let (shared, place, id) = (context.clone(), outcome.clone(), work.id);
    let work = move || {
        shared.host.trace.record(Event::TaskStarted { task: id.name() });
        let result = run_guarded(&shared, &work);
        let cost = |run: &TaskRun| cost_of(&shared, &work.input, run.result.counts);
        let cost = result.as_ref().map_or(CoreTime::default(), cost);
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        cost
    };
    let seat = match seat {
        Some(seat) => seat,
        None => context.seats.enter(Rank::of(id.interval, id.stage)).await,
    };
    if context.holdings.lock().is_cancelled(id) {
        return Err(TaskFailure::Cancelled);
    }
    let used = context.host.cpu.run(Box::new(work)).await;
    let result = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
    let result = result.unwrap_or_else(|| Err("the core ended before the task".to_owned()));
    match result {
        Ok(run) => {
            let cpu_ns = u64::try_from(used.0.as_nanos()).unwrap_or(u64::MAX);
            let records = run.result.counts.records_in.max(run.result.counts.rows_in);
            context.host.trace.record(Event::TaskFinished { task: id.name(), cpu_ns, records });
            Ok((TaskRun { used, ..run }, seat))
        }
        Err(why) => Err(TaskFailure::Broken(why)),
    }
}

/// Runs the stage's program; a panic of a user's function becomes an error, and the tables that it used are dropped.
fn run_guarded(context: &TaskContext, work: &Work) -> Result<TaskRun, String> {
    let stage = &context.query.stages[work.id.stage as usize];
    let at = TaskAt { interval: work.id.interval, partitions: partitions_after(context, stage) };
    let (mut scratch, mut table) = tables_for(context, stage, work);
    let run = catch_unwind(AssertUnwindSafe(|| {
        let result = stage.program.run_held(&work.input, at, &mut table.state, &mut scratch);
        (result, table, scratch)
    }));
    match run {
        Ok((result, table, scratch)) => {
            context.holdings.lock().give_scratch(scratch);
            let table = stage.is_in_place.then_some(table);
            result.map(|result| TaskRun { result, table, used: CoreTime::default() }).map_err(|error| error.to_string())
        }
        Err(panic) => Err(format!("a function of `{}` panicked: {}", stage.label, panic_text(&*panic))),
    }
}

/// The tables that the task uses: one that it may leave anything in, and its state, if that is in place.
fn tables_for(context: &TaskContext, stage: &Stage, work: &Work) -> (Scratch, Table) {
    let mut holdings = context.holdings.lock();
    let place = (work.id.stage, work.id.partition);
    let table = stage.is_in_place.then(|| holdings.take_table(work.epoch, place, &work.past));
    (holdings.take_scratch(), table.unwrap_or_default())
}

/// How many partitions read the stage's slices.
fn partitions_after(context: &TaskContext, stage: &Stage) -> u32 {
    let reads = |other: &&Stage| match (stage.end, other.input) {
        (StageEnd::Shuffle(end), StageInput::Shuffle(read)) => end == read,
        _ => false,
    };
    match context.query.stages.iter().find(reads).map(|reader| reader.width) {
        Some(Width::One) => 1,
        _ => context.partitions,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// What the task costs by the model: bytes of source records stand for `scale` times as many up to the first combine.
fn cost_of(context: &TaskContext, input: &TaskInput, counts: Counts) -> CoreTime {
    let costs = &context.costs;
    let work = match input {
        TaskInput::Lines(_) => counts.bytes_in as f64 * context.scale as f64 * costs.map_ns_per_byte,
        TaskInput::Slices { .. } => {
            let rows = counts.rows_in + counts.rows_applied;
            let bytes = counts.bytes_in + counts.bytes_kept + counts.bytes_rebuilt;
            rows as f64 * costs.merge_ns_per_row + bytes as f64 * costs.codec_ns_per_byte
        }
    };
    Costs::time(costs.task_ns + work + counts.bytes_out as f64 * costs.codec_ns_per_byte)
}

async fn commit(
    context: &TaskContext,
    common: Common,
    order: &TaskOrder,
    rows: Bytes,
    lacks: u64,
) -> Result<(), TaskFailure> {
    let StageEnd::Output(output) = context.query.stages[common.stage as usize].end else {
        return Err(TaskFailure::Broken("a stage that ends in a shuffle made rows".to_owned()));
    };
    let name = ResultName {
        output: context.query.outputs[output.0 as usize].name.clone(),
        interval: common.interval,
        partition: order.partition,
        of: common.of,
        epoch: common.epoch,
        lacks,
    };
    let payload = seal(rows.to_vec(), &ToSink::Result(name));
    let declared = payload.len() as u64;
    for _ in 0..COMMIT_ATTEMPTS {
        let request =
            context.peers.request(&context.sink, Purpose::Output, payload.clone(), declared, context.deadline);
        match request.await.ok().and_then(|answer| open::<FromSink>(&answer).ok()) {
            Some((FromSink::Done, _)) => return Ok(()),
            Some((FromSink::Refused, _)) => return Err(TaskFailure::Fenced),
            Some((FromSink::Fenced(_), _)) | None => context.host.sleep(context.deadline / COMMIT_ATTEMPTS).await,
        }
    }
    Err(TaskFailure::SinkSilent)
}
