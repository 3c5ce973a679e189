//! A whole cluster killed and started again on the store that it left, by the same program or by a changed one.
//!
//! A life of the cluster is a process of its own with all nodes in it, from the client to the sink: this very program, which
//! then runs one test that is none. It is killed by SIGKILL in the middle of its work, like everything in it.

use crate::common::Folder;
use dstream::engine::query::OutputSpec;
use dstream::{Engine, Params, Registry, Workloads};
use dstream_cluster::{ClusterSpec, Costs, OptionValue, Options, Pace};
use dstream_engine::DStreams;
use dstream_host::World;
use dstream_host::real::{DirectoryStore, RealWorld};
use dstream_scenarios::plan::SourcePlan;
use dstream_trace::{Event, Moment, SharedTrace, TraceLog};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Long beside what an interval of this input takes, on a busy machine too.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lines in the input, every other one of either kind, and how many a second.
const LINES: u64 = 2000;
const LINES_PER_S: f64 = 400.0;

/// No life is longer; the load alone takes five seconds.
const LONGEST_LIFE: Moment = Moment::from_millis(60_000);

/// Where the store keeps what is being written.
const UNFINISHED: &str = "%unfinished";

/// A life of the cluster, as the test sees it; killed when it is dropped.
struct Life {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// One thing that a life says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// The result of an interval.
    Count { interval: u64, pattern: String, count: u64 },
    /// An interval's input is fixed.
    Sealed(u64),
    /// A checkpoint through this interval is complete.
    Checkpoint(u64),
}

impl Life {
    fn begin(folder: &Folder, pattern: &str, window: &str, checkpoint: u32) -> Life {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "restart::life_of_a_cluster", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let told = format!("{} {pattern} {window} {checkpoint}", folder.0.display());
        child.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Life { child, said }
    }

    /// The next thing that it says; nothing if it has ended.
    fn next(&mut self) -> Option<Said> {
        let mut line = String::new();
        while self.said.read_line(&mut line).unwrap() > 0 {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["count", interval, pattern, count] => {
                    let (interval, count) = (interval.parse().unwrap(), count.parse().unwrap());
                    return Some(Said::Count { interval, pattern: pattern.to_owned(), count });
                }
                ["sealed", interval] => return Some(Said::Sealed(interval.parse().unwrap())),
                ["checkpoint", through] => return Some(Said::Checkpoint(through.parse().unwrap())),
                _ => line.clear(), // the test harness's own words
            }
        }
        None
    }

    /// Kills it as soon as `is_time`; returns the last interval that it counted, and its count.
    fn kill_when(mut self, mut is_time: impl FnMut(&Said) -> bool) -> (u64, u64) {
        let mut last = (0, 0);
        while let Some(said) = self.next() {
            if let Said::Count { interval, count, .. } = &said {
                last = (*interval, *count);
            }
            if is_time(&said) {
                self.child.kill().unwrap();
                return last;
            }
        }
        panic!("it ended by itself: {}", self.end().1);
    }

    /// Its exit code and its words for people, when it has ended by itself.
    fn end(mut self) -> (i32, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code().unwrap(), errors)
    }

    /// The counts until all lines are counted and stay so, by interval; each of `pattern`.
    fn counts_to_the_end(mut self, pattern: &str) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        while let Some(said) = self.next() {
            let Said::Count { interval, pattern: of, count } = said else { continue };
            assert_eq!(of, pattern);
            assert_eq!(counts.insert(interval, count), None, "interval {interval} has two results");
            let same = counts.values().rev().take_while(|other| **other == count).count();
            if count >= LINES / 2 && same >= 3 {
                return counts;
            }
        }
        panic!("it ended by itself after {counts:?}: {}", self.end().1);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn input() -> Folder {
    let folder = Folder::new();
    folder.write("in.txt", (0..LINES).map(|n| if n % 2 == 0 { "alpha\n" } else { "beta\n" }).collect::<String>());
    folder
}

/// Everything in the store, but for what a killed process left half written, which nobody reads.
fn stored(folder: &Folder) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.0.join("store")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with(UNFINISHED) {
                folders.push(path);
            } else if path.is_file() {
                files.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[track_caller]
fn check_refused(folder: &Folder, window: &str, pattern: &str, words: &[&str]) {
    let before = stored(folder);
    let (code, errors) = Life::begin(folder, pattern, window, 1).end();
    assert_eq!(code, 64, "{errors}");
    words.iter().for_each(|word| assert!(errors.contains(word), "no `{word}` in: {errors}"));
    assert!(stored(folder) == before, "the store has changed");
}

/// Killed when everything that was sealed is in a checkpoint, and the next interval is long from its end.
fn killed_between_two_intervals(folder: &Folder) -> (u64, u64) {
    let mut newest = 0;
    Life::begin(folder, "alpha", "all", 1).kill_when(|said| match said {
        Said::Sealed(interval) => {
            newest = *interval;
            false
        }
        Said::Checkpoint(through) => *through >= 1 && *through == newest,
        Said::Count { .. } => false,
    })
}

#[test]
fn a_changed_program_goes_on_where_what_is_kept_agrees() {
    let folder = input();
    let (last, before) = killed_between_two_intervals(&folder);
    let counts = Life::begin(&folder, "beta", "all", 1).counts_to_the_end("beta");
    assert_eq!(counts.keys().next(), Some(&(last + 1)), "nothing is computed again: {counts:?}");
    // On top of the alphas of the first life come the betas of the second.
    let (first, end) = (counts[&(last + 1)], *counts.values().next_back().unwrap());
    assert!(first > before && (LINES / 2..=LINES / 2 + 1).contains(&end), "{before}, then {counts:?}");
}

#[test]
fn a_changed_program_is_refused_where_what_is_kept_differs_and_leaves_the_store_as_it_is() {
    let folder = input();
    let (last, _) = killed_between_two_intervals(&folder);
    let words = ["pane 0 of stage 1 was `state` of u64", "is `values` of u64", "`journal/`", "start the program"];
    check_refused(&folder, "3s", "alpha", &words);
    // The program that wrote it goes on.
    let counts = Life::begin(&folder, "alpha", "all", 1).counts_to_the_end("alpha");
    assert_eq!((counts.keys().next(), counts.values().next_back()), (Some(&(last + 1)), Some(&(LINES / 2))));
}

#[test]
fn a_changed_program_is_refused_where_it_would_compute_what_another_one_sealed() {
    let folder = input();
    Life::begin(&folder, "alpha", "all", 100).kill_when(|said| matches!(said, Said::Count { interval: 1.., .. }));
    let words = ["the program has changed", "intervals 0 to", "in no complete checkpoint", "`journal/`"];
    check_refused(&folder, "all", "beta", &words);
    // The program that wrote it computes them again, from the log.
    let counts = Life::begin(&folder, "alpha", "all", 100).counts_to_the_end("alpha");
    assert_eq!((counts.keys().next(), counts.values().next_back()), (Some(&0), Some(&(LINES / 2))));
}

#[test]
fn a_changed_program_is_refused_where_results_of_the_one_before_it_are_not_out() {
    let folder = input();
    // The sink of the second life is new: it has none of them.
    Life::begin(&folder, "alpha", "off", 1).kill_when(|said| matches!(said, Said::Count { interval: 1.., .. }));
    check_refused(&folder, "off", "beta", &["intervals 0 to", "have results that are not out", "`journal/`"]);
}

/// No test: the process of a life, which other tests start.
#[test]
#[ignore = "other tests run it in processes of their own"]
fn life_of_a_cluster() {
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told).unwrap();
    let [folder, pattern, window, checkpoint] = told.split(' ').collect::<Vec<_>>()[..] else {
        panic!("its standard input says folder, pattern, window, and intervals between checkpoints; not `{told}`")
    };
    let params = [("pattern".to_owned(), pattern.to_owned()), ("window".to_owned(), window.to_owned())].into();
    live(Path::new(folder), &params, checkpoint.parse().unwrap());
}

/// Runs all nodes in this process until one fails, and says what becomes visible.
fn live(folder: &Path, params: &Params, checkpoint: u32) {
    let workloads = Arc::new(Workloads::built_in());
    let cluster = cluster(folder, params, &workloads);
    let options = Options::from([
        ("interval".to_owned(), OptionValue::Duration(INTERVAL)),
        ("block".to_owned(), OptionValue::Duration(INTERVAL / 6)),
        ("checkpoint".to_owned(), OptionValue::Duration(INTERVAL * checkpoint)),
        ("input".to_owned(), OptionValue::Choice("log".to_owned())),
    ]);
    let output = workloads.query(&cluster.job).unwrap().outputs.swap_remove(0);
    let engine = Arc::new(DStreams::new());
    let nodes = engine.nodes(&cluster, &options).unwrap();
    let store = Arc::new(DirectoryStore::open(folder.join("store"), "cluster").unwrap());
    let start = Arc::new(move |node, host| engine.start(node, host, workloads.clone()));
    let mut world = RealWorld::new(start, 7, SharedTrace::new(), store);
    nodes.into_iter().for_each(|node| world.start(node).unwrap());
    let mut told = 0;
    let ended = world.run_while(LONGEST_LIFE, |log| {
        tell(log, &mut told, &output);
        true
    });
    let failure = ended.map_err(dstream::Failure::from).expect_err("it lives until it is killed");
    eprintln!("{failure}");
    std::process::exit(i32::from(failure.ending.code()));
}

/// Says what has become visible since it was called last.
fn tell(log: &TraceLog, told: &mut usize, output: &OutputSpec) {
    let mut out = std::io::stdout().lock();
    for line in &log.lines()[*told..] {
        match &line.event {
            Event::ResultVisible { interval, rows, .. } => {
                for (pattern, count) in (output.render)(&rows.0).unwrap() {
                    writeln!(out, "count {interval} {pattern} {count}").unwrap();
                }
            }
            Event::IntervalSealed { interval, .. } => writeln!(out, "sealed {interval}").unwrap(),
            Event::CheckpointComplete { through } => writeln!(out, "checkpoint {through}").unwrap(),
            _ => {}
        }
    }
    *told = log.lines().len();
    out.flush().unwrap();
}

fn cluster(folder: &Path, params: &Params, workloads: &Workloads) -> ClusterSpec {
    let job = workloads.job("grep", params, INTERVAL).unwrap();
    let plan = SourcePlan::File { paths: vec![folder.join("in.txt")], rate_per_s: Some(LINES_PER_S) };
    let source = workloads.source_spec(&job, &plan, 7, 1).unwrap().to_bytes();
    let free = 0.0;
    ClusterSpec {
        workers: 2,
        cores: 1,
        clients: 1,
        partitions: 2,
        heartbeat: Duration::from_millis(500),
        failure_timeout: Duration::from_secs(5),
        costs: Costs {
            map_ns_per_byte: free,
            single_record_factor: 1.0,
            merge_ns_per_row: free,
            codec_ns_per_byte: free,
            task_ns: free,
            master_task_ns: free,
            message_ns: free,
            checkpoint_ns_per_byte: free,
        },
        scale: 1,
        seed: 7,
        job,
        source,
        pace: Pace::Rate { per_second: LINES_PER_S },
        interval: INTERVAL,
        origin: Moment::from_millis(300),
        load_end: Moment::NEVER,
    }
}
