//! Histories for tests: a calm run as a list of events, which a test changes in one place and then checks.
//!
//! A history may be of a window that slides; the rows of its results are those of a plain count of what it covers.
//!
//! The calm run: three workers, one client, ten records an interval of one second, two copies, two partitions. Interval
//! i begins at (1 + i) s; its results are visible 200 ms after its end. The warm-up is interval 0.

use super::{CheckInput, Checked, check};
use crate::oracle::Replay;
use crate::workload::{Params, WordCount, Workload};
use bytes::Bytes;
use dstream_cluster::{JobError, LineSource, Promise};
use dstream_kernel::{LineBlock, Produced, Query, Scratch, TaskAt, TaskInput};
use dstream_trace::measure::{Effect, Facts, FaultFacts, OutputFacts};
use dstream_trace::{BlockName, Event, MeasureInput, Moment, NodeName, RecordRange, Rows, TaskName, TraceLine};
use std::time::Duration;

const SECOND: u64 = 1000;
const INTERVAL: Duration = Duration::from_secs(1);
const RECORDS: u64 = 10;
const PARTITIONS: u32 = 2;

/// Record `n` reads `w<n mod 7> all`.
struct Lines {
    next: u64,
}

impl LineSource for Lines {
    fn fill(&mut self, records: u64, _bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        lines.extend((self.next..self.next + records).flat_map(|record| line(record).into_bytes()));
        self.next += records;
        Ok(records)
    }
}

/// The client's stream from its beginning.
pub(super) fn source() -> Box<dyn LineSource> {
    Box::new(Lines { next: 0 })
}

fn line(record: u64) -> String {
    format!("w{} all\n", record % 7)
}

/// A run as a list of events.
pub(super) struct History {
    events: Vec<(u64, NodeName, Event)>,
    pub faults: Vec<FaultFacts>,
    pub copies: u32,
    /// Clients send again what nobody holds.
    pub replays: Option<Duration>,
    /// Clients are told how much they may send.
    pub limits: bool,
    /// Idle nodes that the engine has beside its workers.
    pub heirs: u32,
    pub interrupted: bool,
    end_ms: u64,
    /// Makes rows, of one interval.
    query: Query,
    /// What is checked.
    params: Params,
    /// Intervals that a result covers, and from one result to the next.
    window: u64,
    slide: u64,
}

/// The records `first..=last` of the client.
pub(super) fn records(first: u64, last: u64) -> RecordRange {
    RecordRange { client: 1, first, last }
}

/// The block that holds interval `i` in the calm run.
pub(super) fn block(i: u64) -> BlockName {
    BlockName { origin: 1 + (i % 3) as u32, epoch: 1, number: i }
}

/// Milliseconds at which interval `i` ends.
pub(super) fn closed(i: u64) -> u64 {
    (2 + i) * SECOND
}

/// The block that holds source `source`'s share of interval `i` in the calm run of operators.
pub(super) fn share_block(i: u64, source: u32) -> BlockName {
    BlockName { origin: 1, epoch: 0, number: share(i, source).first }
}

/// The records of that share: the first half of the interval's, or the second.
pub(super) fn share(i: u64, source: u32) -> RecordRange {
    let first = i * RECORDS + u64::from(source) * RECORDS / 2;
    records(first, first + RECORDS / 2 - 1)
}

fn map_task(i: u64) -> TaskName {
    TaskName { interval: i, stage: 0, partition: 0, attempt: 0 }
}

/// A source's word about its share.
pub(super) fn sealed(interval: u64, partition: u32) -> Event {
    let (ranges, blocks) = (vec![share(interval, partition)], vec![share_block(interval, partition)]);
    Event::SourceSealed { interval, partition, of: PARTITIONS, ranges, blocks }
}

/// A node runs a partition from now on.
pub(super) fn taken(partition: u32, node: &str) -> Event {
    Event::PartitionTaken { partition, node: NodeName::new(node), epoch: u64::from(partition) + 1 }
}

impl History {
    /// So many intervals without a fault.
    pub fn calm(intervals: u64) -> History {
        History::windowed(intervals, 1, 1)
    }

    /// The same by long-lived operators: partition p is run by worker p + 1, and what its source has is held there and at
    /// the next worker. Source 0 has its share 20 ms after the interval's end, source 1 10 ms after it.
    pub fn operators(intervals: u64) -> History {
        let mut history = History::calm(intervals);
        history.by_operators(intervals);
        history
    }

    /// The same with results over a window.
    pub fn windowed_operators(intervals: u64, window: u64) -> History {
        let mut history = History::windowed(intervals, window, 1);
        history.by_operators(intervals);
        history
    }

    fn by_operators(&mut self, intervals: u64) {
        self.remove(|event| {
            matches!(event, Event::IntervalSealed { .. } | Event::MapsCut { .. } | Event::BlockHeld { .. })
                || matches!(event, Event::TaskLaunched { .. } | Event::TaskStarted { .. } | Event::TaskFinished { .. })
        });
        for partition in 0..PARTITIONS {
            self.add(2, "master", taken(partition, &format!("worker-{}", partition + 1)));
        }
        for (i, source) in (0..intervals).flat_map(|i| (0..PARTITIONS).map(move |source| (i, source))) {
            for holder in [source + 1, source + 2] {
                let (block, ranges) = (share_block(i, source), vec![share(i, source)]);
                self.add(closed(i) - 40, &format!("worker-{holder}"), Event::BlockHeld { block, ranges, bytes: 40 });
            }
            self.add(closed(i) + 20 - 10 * u64::from(source), &format!("worker-{}", source + 1), sealed(i, source));
        }
    }

    /// The same as [`History::calm`] with results over a window.
    pub fn windowed(intervals: u64, window: u64, slide: u64) -> History {
        let seconds = |intervals: u64| if intervals == 1 { "off".to_owned() } else { format!("{intervals}s") };
        let mut history = History {
            events: Vec::new(),
            faults: Vec::new(),
            copies: 2,
            replays: None,
            limits: false,
            heirs: 0,
            interrupted: false,
            end_ms: closed(intervals),
            query: WordCount.query(&Params::new(), INTERVAL).unwrap(),
            params: Params::from([("window".into(), seconds(window)), ("slide".into(), seconds(slide))]),
            window,
            slide,
        };
        for worker in 1..=3 {
            let name = NodeName::worker(worker);
            history.add(0, name.as_str(), Event::NodeStarted { incarnation: 1 });
            history.add(1, "master", Event::WorkerJoined { worker: name, epoch: u64::from(worker) });
        }
        (0..intervals).for_each(|i| history.add_interval(i));
        history
    }

    fn add_interval(&mut self, i: u64) {
        let range = records(i * RECORDS, i * RECORDS + RECORDS - 1);
        let end = closed(i);
        let first_scheduled = Moment::from_millis(end - SECOND);
        let last_scheduled = first_scheduled + Duration::from_millis(900);
        self.add(end - 50, "client-1", Event::RecordsSent { range, first_scheduled, last_scheduled });
        for holder in [i % 3, (i + 1) % 3] {
            let held = Event::BlockHeld { block: block(i), ranges: vec![range], bytes: 80 };
            self.add(end - 40, &format!("worker-{}", holder + 1), held);
        }
        self.add(end - 30, "client-1", Event::RecordsAcked { range });
        self.add(end + 1, "master", Event::IntervalSealed { interval: i, ranges: vec![range], blocks: vec![block(i)] });
        self.add(end + 1, "master", Event::MapsCut { interval: i, inputs: vec![vec![block(i)]] });
        self.add_task(end + 2, map_task(i), 1, false);
        for partition in 0..PARTITIONS {
            self.add_task(end + 20, TaskName { stage: 1, partition, ..map_task(i) }, partition + 1, false);
            if i % self.slide == self.slide - 1 {
                let result = self.result(i, partition, &[self.covered(i)]);
                self.add(end + 200, "sink", result);
            }
        }
    }

    /// The records that the result of interval `i` covers.
    pub fn covered(&self, i: u64) -> RecordRange {
        records((i + 1).saturating_sub(self.window) * RECORDS, i * RECORDS + RECORDS - 1)
    }

    /// A task that is launched, started and finished.
    pub fn add_task(&mut self, at: u64, task: TaskName, worker: u32, again: bool) {
        let worker = NodeName::worker(worker);
        self.add(at, "master", Event::TaskLaunched { task, worker: worker.clone(), again });
        self.add(at + 1, worker.as_str(), Event::TaskStarted { task });
        self.add(at + 11, worker.as_str(), Event::TaskFinished { task, cpu_ns: 10_000_000, records: RECORDS });
    }

    /// The visible result of a partition over these records, from worker `partition + 1`.
    pub fn result(&self, interval: u64, partition: u32, ranges: &[RecordRange]) -> Event {
        Event::ResultVisible {
            output: "counts".into(),
            interval,
            partition,
            of: PARTITIONS,
            from: NodeName::worker(partition + 1),
            epoch: u64::from(partition) + 1,
            rows: self.rows(partition, ranges),
        }
    }

    fn rows(&self, partition: u32, ranges: &[RecordRange]) -> Rows {
        let numbers = ranges.iter().flat_map(|range| range.first..=range.last);
        let lines: String = numbers.clone().map(line).collect();
        let block = LineBlock { lines: lines.into(), records: numbers.count() as u64, skip: Vec::new() };
        let mut scratch = Scratch::default();
        let mut run = |stage: usize, input| {
            self.query.stages[stage].program.run(&input, TaskAt { interval: 0, partitions: PARTITIONS }, &mut scratch)
        };
        let Produced::Slices(slices) = run(0, TaskInput::Lines(vec![block])).unwrap().produced else {
            panic!("a word count's first stage ends in a shuffle")
        };
        let slice: Bytes = slices[partition as usize].clone();
        let Produced::Rows(rows) = run(1, TaskInput::slices(vec![slice])).unwrap().produced else {
            panic!("a word count's second stage ends in an output")
        };
        Rows(rows.as_ref().into())
    }

    /// Adds an event; of one moment, later additions come later.
    pub fn add(&mut self, at_ms: u64, node: &str, event: Event) -> &mut History {
        self.events.push((at_ms, NodeName::new(node), event));
        self
    }

    /// Removes the events of which this is true; at least one.
    pub fn remove(&mut self, which: impl Fn(&Event) -> bool) -> &mut History {
        let before = self.events.len();
        self.events.retain(|(_, _, event)| !which(event));
        assert!(self.events.len() < before, "the calm run has no such event");
        self
    }

    /// Changes events in place.
    pub fn change(&mut self, change: impl Fn(&mut u64, &mut Event)) -> &mut History {
        self.events.iter_mut().for_each(|(at, _, event)| change(at, event));
        self
    }

    /// A worker's process ends for good; its later results and tasks never come. Detected after half a second.
    pub fn crash(&mut self, number: u32, at: u64, worker: u32) -> &mut History {
        self.crash_of(number, at, NodeName::worker(worker), u64::from(worker))
    }

    /// The same of any node, under this epoch.
    pub fn crash_of(&mut self, number: u32, at: u64, name: NodeName, epoch: u64) -> &mut History {
        self.fault_of(number, at, "crash", name.clone(), Effect::ProcessEnded);
        self.add(at, name.as_str(), Event::ProcessEnded);
        self.add(at + 500, "master", Event::WorkerLost { worker: name.clone(), epoch });
        self.add(at + 510, "sink", Event::Fenced { worker: name, epoch })
    }

    /// A planned and applied fault of one worker.
    pub fn fault(&mut self, number: u32, at: u64, fault: &str, worker: u32, effect: Effect) -> &mut History {
        self.fault_of(number, at, fault, NodeName::worker(worker), effect)
    }

    /// The same of any node.
    pub fn fault_of(&mut self, number: u32, at: u64, fault: &str, node: NodeName, effect: Effect) -> &mut History {
        self.faults.push(FaultFacts {
            number,
            fault: fault.into(),
            nodes: vec![node.clone()],
            others: Vec::new(),
            effect,
            due: Moment::from_millis(at),
        });
        self.add(at, "driver", Event::FaultApplied { fault: number, node })
    }

    pub fn lines(&self) -> Vec<TraceLine> {
        let mut events = self.events.clone();
        events.sort_by_key(|(at, _, _)| *at);
        let line = |(sequence, (at, node, event))| TraceLine {
            at: Moment::from_millis(at),
            sequence: sequence as u64,
            node,
            event,
        };
        events.into_iter().enumerate().map(line).collect()
    }

    fn input(&self) -> MeasureInput {
        MeasureInput {
            origin: Moment::from_millis(SECOND),
            warmup_end: Moment::from_millis(2 * SECOND),
            load_end: Moment::from_millis(self.end_ms),
            end: Moment::from_millis(self.end_ms + SECOND),
            interval: Duration::from_secs(1),
            slo: None,
            slo_margin: Duration::from_millis(1),
            failure_timeout: Duration::from_millis(500),
            outputs: vec![OutputFacts { name: "counts".into(), stage: 1, every: self.slide }],
            faults: self.faults.clone(),
            workers: 3,
            heirs: self.heirs,
            cores: 1,
            copies: self.copies,
            nodes: 4,
            bits_per_second: 1_000_000_000,
            bytes_per_record: 100.0,
            harness: vec![NodeName::new("sink")],
        }
    }

    /// Checks the run against the oracle.
    pub fn checked(&self) -> Checked {
        let lines = self.lines();
        let facts = Facts::read(&lines);
        let promise = Promise {
            words: "exact".into(),
            losses_at_once: if self.replays.is_some() { 3 } else { self.copies - 1 },
            copies: self.copies,
            logs: false,
            replays: self.replays,
            limits: self.limits,
        };
        let query = WordCount.query(&self.params, INTERVAL).unwrap();
        let input = CheckInput {
            lines: &lines,
            facts: &facts,
            run: &self.input(),
            slack: Duration::ZERO,
            promise: &promise,
            outputs: &query.outputs,
            of_own_state: query.outputs_of_own_state(),
            keeps_state: self.window > 1,
            interrupted: self.interrupted,
        };
        let replay = Replay {
            oracle: &|| WordCount.oracle(&self.params, INTERVAL),
            open: &|_client| Ok(Box::new(Lines { next: 0 })),
        };
        check(&input, &replay).unwrap()
    }
}
