//! Which program a journal was written under, and whether another one may go on from it.
//!
//! Pure, and plain data. What is kept for later intervals is bytes that only its own program reads, so what they are is
//! written down beside it: place, types, distances. Functions cannot be compared: whoever changes one answers for what it
//! makes of what was kept. Invariant: an interval is computed by one program; where another one goes on, nothing
//! that was sealed before is computed again, neither a result nor what was kept.
//!
//! ```text
//! the same program ----------------------------------------------> goes on, from lineage as after any loss
//! another one: what is kept differs -----------------------------> refused: what, old, new
//!              it agrees, and all that was sealed is over --------> goes on, with the next interval
//!              it agrees, and something sealed is not over ------> refused: which intervals
//! ```

use crate::master::journal::Snapshot;
use crate::options::Input;
use dstream_cluster::JobSpec;
use dstream_cluster::message::VisibleResult;
use dstream_kernel::{Query, StageEnd, Width};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A program, as far as a later one must know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The job and its parameters.
    pub job: JobSpec,
    /// Shape, operators and types of its query.
    pub fingerprint: u64,
    /// Tells one build of its functions from another, where the binary says so.
    pub build: u64,
    /// What holds records that are acknowledged.
    pub input: Input,
    /// Reduce partitions.
    pub partitions: u32,
    /// How many partitions each output's results of an interval come in.
    pub outputs: BTreeMap<String, u32>,
    /// What it keeps, by stage and number of the pane within it.
    pub kept: BTreeMap<(u32, u32), KeptSchema>,
}

/// What the panes of one place are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSchema {
    /// `values`, `window`, `state`.
    pub label: String,
    /// The type of their rows.
    pub rows: String,
    /// The nearest and the farthest interval back that reads them.
    pub back: (u64, u64),
    /// They are changes and segments of a state in place.
    pub in_place: bool,
    /// How many partitions they come in.
    pub partitions: u32,
}

/// Whether a program may go on from a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one that wrote it, or nobody wrote anything.
    Same,
    /// It is another one, and may go on if the sink has all results of the intervals that are open.
    Agrees,
    /// It may not. Why, for people.
    Refused(String),
}

/// Where the journal is, and what can be done about a refusal.
const MEND: &str = "nothing in the store was changed: start the program that wrote `journal/` there again, \
                    or give this one a store of its own";

impl Program {
    /// The program that all nodes of a cluster run.
    pub fn of(query: &Query, job: JobSpec, build: u64, (partitions, input): (u32, Input)) -> Program {
        let width = |width: Width| if width == Width::One { 1 } else { partitions };
        let outputs = query.stages.iter().filter_map(|stage| match stage.end {
            StageEnd::Output(id) => Some((query.outputs[id.0 as usize].name.clone(), width(stage.width))),
            StageEnd::Shuffle(_) => None,
        });
        let kept = query.stages.iter().flat_map(|stage| {
            (0..).zip(&stage.kept).map(|(number, kept)| {
                let (label, rows) = (kept.label.clone(), kept.rows.clone());
                let (back, in_place) = ((*kept.back.start(), *kept.back.end()), stage.is_in_place);
                let schema = KeptSchema { label, rows, back, in_place, partitions: width(stage.width) };
                ((stage.id.0, number), schema)
            })
        });
        let (outputs, kept) = (outputs.collect(), kept.collect());
        Program { job, fingerprint: query.fingerprint, build, input, partitions, outputs, kept }
    }

    /// Whether this program may go on from what another one, or it itself, has written.
    pub fn judge(&self, before: Option<&Program>, found: &Snapshot) -> Verdict {
        let Some(before) = before.filter(|before| *before != self) else { return Verdict::Same };
        let differences = self.differences(before);
        if !differences.is_empty() {
            return Verdict::Refused(format!(
                "this program cannot read what the one before it kept: {}; {MEND}",
                differences.join("; ")
            ));
        }
        if !self.kept.is_empty() && found.below < found.next {
            return Verdict::Refused(unfinished(found.below, found.next, "are in no complete checkpoint"));
        }
        Verdict::Agrees
    }

    /// What is not what it was, for people.
    fn differences(&self, before: &Program) -> Vec<String> {
        let mut differences = Vec::new();
        let mut differ = |what: &str, was: String, is: String| {
            if was != is {
                differences.push(format!("{what} was {was}, is {is}"));
            }
        };
        differ("the interval", show(before.job.interval), show(self.job.interval));
        differ("`input`", input(before.input), input(self.input));
        let places: BTreeSet<_> = before.kept.keys().chain(self.kept.keys()).collect();
        for place in places {
            let what = format!("pane {} of stage {}", place.1, place.0);
            let shown = |kept: Option<&KeptSchema>| kept.map_or_else(|| "not kept".to_owned(), KeptSchema::show);
            differ(&what, shown(before.kept.get(place)), shown(self.kept.get(place)));
        }
        differences
    }

    /// Why a program that agrees with this one cannot go on while results of open intervals are not at the sink; nothing
    /// if all are.
    pub fn unfinished(&self, found: &Snapshot, visible: &[VisibleResult]) -> Option<String> {
        let is_whole = |interval: u64| {
            self.outputs.iter().all(|(output, of)| {
                let of_output = visible.iter().filter(|result| result.interval == interval && result.output == *output);
                of_output.map(|result| result.partition).collect::<BTreeSet<_>>().len() >= *of as usize
            })
        };
        let first = found.open.iter().map(|sealed| sealed.interval).find(|interval| !is_whole(*interval))?;
        Some(unfinished(first, found.next, "have results that are not out"))
    }
}

/// What another program finds when all that was sealed is over: nothing to compute again.
pub fn as_over(found: Snapshot) -> Snapshot {
    Snapshot { below: found.next, open: Vec::new(), let_in: 0, ..found }
}

fn unfinished(first: u64, next: u64, what: &str) -> String {
    format!(
        "the program has changed, and intervals {first} to {} were sealed by the one before it and {what}: another \
         program would compute them differently; {MEND}",
        next.saturating_sub(1)
    )
}

impl KeptSchema {
    fn show(&self) -> String {
        let KeptSchema { label, rows, back: (nearest, farthest), in_place, partitions } = self;
        let how = if *in_place { "in place" } else { "whole" };
        format!("`{label}` of {rows}, {how}, read {nearest} to {farthest} intervals later, in {partitions} partitions")
    }
}

fn show(interval: Duration) -> String {
    format!("{interval:?}")
}

fn input(input: Input) -> String {
    let word = match input {
        Input::Memory => "memory",
        Input::Log => "log",
        Input::Replay => "replay",
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::journal::SealedInterval;
    use dstream_kernel::{DStream, QueryBuilder, Window};
    use std::num::NonZeroU64;

    type Pairs = DStream<(String, u64)>;

    fn program(pattern: &str, write: fn(Pairs) -> Pairs) -> Program {
        let builder = QueryBuilder::new();
        let params = [("pattern".to_owned(), pattern.to_owned())].into();
        let pattern = pattern.to_owned();
        let lines = builder.lines().filter(move |line| line.contains(&pattern));
        write(lines.map::<(String, u64)>(|line| (line, 1))).output("o");
        let job = JobSpec { name: "j".to_owned(), params, interval: Duration::from_secs(1) };
        Program::of(&builder.build().unwrap(), job, 0, (4, Input::Log))
    }

    fn window(pairs: Pairs) -> Pairs {
        pairs.reduce_by_key_and_window(|a, b| a + b, Window::of(3).unwrap())
    }

    fn longer(pairs: Pairs) -> Pairs {
        pairs.reduce_by_key_and_window(|a, b| a + b, Window::of(4).unwrap())
    }

    fn state(pairs: Pairs) -> Pairs {
        pairs.running_reduce_by_key(|a, b| a + b, NonZeroU64::MIN)
    }

    fn slower(pairs: Pairs) -> Pairs {
        pairs.running_reduce_by_key(|a, b| a + b, NonZeroU64::new(2).unwrap())
    }

    fn plain(pairs: Pairs) -> Pairs {
        pairs.reduce_by_key(|a, b| a + b)
    }

    fn found(below: u64, next: u64) -> Snapshot {
        let sealed = |interval| SealedInterval { interval, ranges: Vec::new(), blocks: Vec::new() };
        Snapshot { below, next, open: (below..next).map(sealed).collect(), ..Snapshot::default() }
    }

    /// `refused: ` with a part of the reason, or another verdict.
    #[track_caller]
    fn check(before: &Program, after: &Program, found: &Snapshot, expected: &str) {
        match after.judge(Some(before), found) {
            Verdict::Same => assert_eq!("same", expected),
            Verdict::Agrees => assert_eq!("agrees", expected),
            Verdict::Refused(why) => {
                let part = expected.strip_prefix("refused: ").unwrap_or_else(|| panic!("{why}, not {expected}"));
                assert!(why.contains(part) && why.contains("`journal/`"), "{why}");
            }
        }
    }

    #[test]
    fn a_program_goes_on_from_its_own_journal_whatever_is_open() {
        check(&program("a", window), &program("a", window), &found(2, 7), "same");
        assert_eq!(program("a", window).judge(None, &Snapshot::default()), Verdict::Same);
    }

    #[test]
    fn another_program_goes_on_where_what_is_kept_agrees_and_nothing_is_to_be_made_again() {
        let over = found(7, 7);
        check(&program("a", state), &program("b", state), &over, "agrees");
        check(&program("a", state), &program("a", slower), &over, "agrees");
        check(&program("a", state), &Program { build: 1, ..program("a", state) }, &over, "agrees");
        check(&program("a", plain), &program("b", plain), &found(2, 7), "agrees");
        let more = Program { partitions: 8, outputs: [("o".to_owned(), 8)].into(), ..program("a", plain) };
        check(&program("a", plain), &more, &over, "agrees");
    }

    #[test]
    fn another_program_does_not_compute_what_the_one_before_it_sealed() {
        check(&program("a", state), &program("b", state), &found(2, 7), "refused: intervals 2 to 6 were sealed");
    }

    #[test]
    fn what_is_kept_is_read_by_programs_that_keep_the_same() {
        let over = found(7, 7);
        let mut pairs = program("a", state);
        pairs.kept.get_mut(&(1, 0)).unwrap().rows = "(String, i64)".to_owned();
        let words = "refused: pane 0 of stage 1 was `state` of (String, i64), whole, read 1 to 1 intervals later, in 4 \
                     partitions, is `state` of (String, u64), whole";
        check(&pairs, &program("a", state), &over, words);
        check(&program("a", window), &program("a", longer), &over, "refused: read 1 to 2 intervals later");
        check(&program("a", state), &program("a", plain), &over, "refused: partitions, is not kept");
        let mut slow = program("a", plain);
        slow.job.interval = Duration::from_millis(1500);
        check(&program("a", plain), &slow, &over, "refused: the interval was 1s, is 1.5s");
        let memory = Program { input: Input::Memory, ..program("a", plain) };
        check(&program("a", plain), &memory, &over, "refused: `input` was log, is memory");
    }

    #[test]
    fn results_that_are_not_out_hold_another_program_up() {
        let visible = |interval, partition| VisibleResult { interval, output: "o".to_owned(), partition };
        let mut results: Vec<VisibleResult> = (0..4).map(|partition| visible(5, partition)).collect();
        results.extend((1..4).map(|partition| visible(6, partition)));
        let before = program("a", plain);
        let why = before.unfinished(&found(5, 7), &results).unwrap();
        assert!(why.contains("intervals 6 to 6"), "{why}");
        results.push(visible(6, 0));
        assert_eq!(before.unfinished(&found(5, 7), &results), None);
        assert_eq!(as_over(found(5, 7)), found(7, 7));
    }
}
