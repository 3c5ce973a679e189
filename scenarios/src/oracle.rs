//! The oracle: reads every client's stream once more, in order, and says what each interval's outputs must be.
//!
//! Knows no engine and not the kernel: plain code on one thread. Memory holds the open intervals only. Invariant: an
//! expectation depends on the sealed ranges and the source alone.

use dstream_cluster::{JobError, LineSource};
use dstream_trace::{RangeSet, RecordRange};
use std::collections::{BTreeMap, BTreeSet};

/// output -> key -> value, as text.
pub type Expected = BTreeMap<String, BTreeMap<String, String>>;

/// What a job's outputs must be, computed without the kernel.
pub trait Oracle: Send {
    /// Takes a line of an interval, without its end. Lines of later intervals may come before earlier ones are
    /// finished.
    fn line(&mut self, interval: u64, line: &[u8]);

    /// What the interval's outputs must be; an output that is not due at its end is left out. Called once for each interval,
    /// in order, after all its lines.
    fn finish(&mut self, interval: u64) -> Expected;

    /// Of outputs that hold only the greatest of many values: all of them, as of the interval that was finished last. Asked
    /// for only where records are gone: it bounds what a list may then be.
    fn chosen_from(&self) -> Expected {
        Expected::new()
    }
}

/// The words of a line: maximal runs of bytes other than 09-0D and 20.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, 0x09..=0x0D | 0x20)).filter(|word| !word.is_empty())
}

/// What is asked of the oracle.
pub struct Question<'a> {
    /// interval -> its sealed ranges. Intervals without an entry are empty.
    pub sealed: &'a BTreeMap<u64, Vec<RecordRange>>,
    /// interval -> those of its records that are known to be gone.
    pub missing: &'a BTreeMap<u64, RangeSet>,
    /// The same at moments before all of that was known to be gone.
    pub missing_at_first: &'a [BTreeMap<u64, RangeSet>],
    /// The same for rows of partitions that lost no state, where some partition did.
    pub missing_elsewhere: Option<&'a BTreeMap<u64, RangeSet>>,
    /// The intervals to answer for, from 0 to this one.
    pub last: u64,
}

/// Outputs of an interval over some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// What they must be.
    pub rows: Expected,
    /// [`Oracle::chosen_from`], where there is more than one answer.
    pub chosen_from: Expected,
}

/// What one interval's outputs must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Over all sealed records.
    pub full: Rows,
    /// Over those that are not missing; `None` where that is the same.
    pub reduced: Option<Rows>,
    /// Over those that were not missing at moments before, each that is another one than both.
    pub between: Vec<Expected>,
    /// Over those that are not missing in partitions that lost no state; `None` where none did.
    pub elsewhere: Option<Rows>,
    /// A sealed range reaches beyond the end of its client's stream.
    pub beyond_end: Option<RecordRange>,
}

/// Lines are read in steps of so many records and bytes: bounded memory, few calls.
const STEP_RECORDS: u64 = 4096;
const STEP_BYTES: usize = 1 << 20;

/// Makes oracles and opens sources.
pub struct Replay<'a> {
    /// A fresh oracle of the job.
    pub oracle: &'a dyn Fn() -> Result<Box<dyn Oracle>, JobError>,
    /// Opens a client's stream from its beginning.
    pub open: &'a dyn Fn(u32) -> Result<Box<dyn LineSource>, JobError>,
}

impl Replay<'_> {
    /// Answers for every interval in order, each handed to `each` as soon as it is known.
    pub fn answer(&self, question: &Question<'_>, each: &mut dyn FnMut(u64, Answer)) -> Result<(), JobError> {
        let mut full = (self.oracle)()?;
        let mut reduced = if question.missing.is_empty() { None } else { Some((self.oracle)()?) };
        let mut elsewhere = question.missing_elsewhere.map(|_| (self.oracle)()).transpose()?;
        let mut between: Vec<_> =
            question.missing_at_first.iter().map(|_| (self.oracle)()).collect::<Result<_, _>>()?;
        let is_gone = |of: &BTreeMap<u64, RangeSet>, owner: u64, client: u32, sequence: u64| {
            of.get(&owner).is_some_and(|gone| gone.contains(client, sequence))
        };
        let mut streams = self.streams(question)?;
        for interval in 0..=question.last {
            let mut beyond_end = None;
            for range in question.sealed.get(&interval).into_iter().flatten() {
                let stream = streams.get_mut(&range.client).expect("a stream was opened for every sealed client");
                let reached = stream.read_to(range.last, &mut |owner, sequence, line| {
                    full.line(owner, line);
                    if let Some(reduced) = &mut reduced
                        && !is_gone(question.missing, owner, range.client, sequence)
                    {
                        reduced.line(owner, line);
                    }
                    if let (Some(oracle), Some(missing)) = (&mut elsewhere, question.missing_elsewhere)
                        && !is_gone(missing, owner, range.client, sequence)
                    {
                        oracle.line(owner, line);
                    }
                    for (oracle, missing) in between.iter_mut().zip(question.missing_at_first) {
                        if !is_gone(missing, owner, range.client, sequence) {
                            oracle.line(owner, line);
                        }
                    }
                })?;
                beyond_end = beyond_end.or((!reached).then_some(*range));
            }
            let answer = answer(interval, &mut *full, reduced.as_deref_mut(), beyond_end);
            let rows = elsewhere.as_mut().map(|oracle| oracle.finish(interval));
            let elsewhere = rows.map(|rows| Rows { rows, chosen_from: Expected::new() });
            let mut between: Vec<_> = between.iter_mut().map(|oracle| oracle.finish(interval)).collect();
            between.retain(|rows| {
                answer.full.rows != *rows && answer.reduced.as_ref().is_some_and(|reduced| reduced.rows != *rows)
            });
            each(interval, Answer { elsewhere, between, ..answer });
        }
        Ok(())
    }

    fn streams(&self, question: &Question<'_>) -> Result<BTreeMap<u32, Stream>, JobError> {
        let mut owners: BTreeMap<u32, Vec<Owner>> = BTreeMap::new();
        for (interval, ranges) in question.sealed {
            for range in ranges {
                let owner = Owner { first: range.first, last: range.last, interval: *interval };
                owners.entry(range.client).or_default().push(owner);
            }
        }
        owners.into_iter().map(|(client, owners)| Ok((client, Stream::new((self.open)(client)?, owners)))).collect()
    }
}

fn answer(
    interval: u64,
    full: &mut dyn Oracle,
    reduced: Option<&mut (dyn Oracle + 'static)>,
    beyond_end: Option<RecordRange>,
) -> Answer {
    let mut full_rows = Rows { rows: full.finish(interval), chosen_from: Expected::new() };
    let reduced = reduced.and_then(|reduced| {
        let rows = reduced.finish(interval);
        if rows == full_rows.rows {
            return None;
        }
        full_rows.chosen_from = full.chosen_from();
        Some(Rows { rows, chosen_from: reduced.chosen_from() })
    });
    Answer { full: full_rows, reduced, between: Vec::new(), elsewhere: None, beyond_end }
}

/// A range and the interval it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    first: u64,
    last: u64,
    interval: u64,
}

/// One client's stream, read forwards.
struct Stream {
    source: Box<dyn LineSource>,
    lines: Vec<u8>,
    offset: usize,
    /// The number of the next line.
    next: u64,
    /// Ranges that begin at or after `next`, the nearest last.
    waiting: Vec<Owner>,
    /// Ranges that hold `next`.
    active: BTreeSet<Owner>,
}

impl Stream {
    fn new(source: Box<dyn LineSource>, mut owners: Vec<Owner>) -> Stream {
        owners.sort_unstable_by(|a, b| b.cmp(a));
        Stream { source, lines: Vec::new(), offset: 0, next: 0, waiting: owners, active: BTreeSet::new() }
    }

    /// Reads up to and including record `last` and hands each line to its intervals. False if the stream ends before.
    fn read_to(&mut self, last: u64, each: &mut dyn FnMut(u64, u64, &[u8])) -> Result<bool, JobError> {
        while self.next <= last {
            if self.offset == self.lines.len() {
                self.lines.clear();
                self.offset = 0;
                if self.source.fill(STEP_RECORDS, STEP_BYTES, &mut self.lines)? == 0 {
                    return Ok(false);
                }
            }
            let rest = &self.lines[self.offset..];
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            while self.waiting.last().is_some_and(|owner| owner.first <= self.next) {
                self.active.extend(self.waiting.pop());
            }
            for owner in &self.active {
                each(owner.interval, self.next, &rest[..end]);
            }
            let next = self.next;
            if self.active.iter().any(|owner| owner.last <= next) {
                self.active.retain(|owner| owner.last > next);
            }
            self.offset = (self.offset + end + 1).min(self.lines.len());
            self.next += 1;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Params, WordCount, Workload};
    use std::time::Duration;

    /// A stream of the words `<client>-<sequence>`.
    struct Numbered {
        client: u32,
        next: u64,
        end: u64,
    }

    impl LineSource for Numbered {
        fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
            let mut made = 0;
            while made < records.min(3) && lines.len() < bytes && self.next < self.end {
                lines.extend_from_slice(format!("{}-{} x\n", self.client, self.next).as_bytes());
                self.next += 1;
                made += 1;
            }
            Ok(made)
        }
    }

    type Ranges = [(u64, &'static [(u32, u64, u64)])];

    fn range(&(client, first, last): &(u32, u64, u64)) -> RecordRange {
        RecordRange { client, first, last }
    }

    /// Answers as `interval: words with counts | words with counts without the missing ones`.
    fn check(sealed: &Ranges, missing: &Ranges, expected: &[&str]) {
        let sealed = sealed.iter().map(|(interval, ranges)| (*interval, ranges.iter().map(range).collect())).collect();
        let missing =
            missing.iter().map(|(interval, ranges)| (*interval, ranges.iter().map(range).collect())).collect();
        let last = expected.len() as u64 - 1;
        let question =
            Question { sealed: &sealed, missing: &missing, missing_at_first: &[], missing_elsewhere: None, last };
        let replay = Replay {
            oracle: &|| WordCount.oracle(&Params::new(), Duration::from_secs(1)),
            open: &|client| Ok(Box::new(Numbered { client, next: 0, end: 10 })),
        };
        let mut seen = Vec::new();
        let text = |expected: &Rows| {
            expected.rows["counts"].iter().map(|(word, count)| format!("{word}:{count}")).collect::<Vec<_>>().join(" ")
        };
        replay
            .answer(&question, &mut |interval, answer| {
                let mut line = format!("{interval}: {}", text(&answer.full));
                if let Some(reduced) = &answer.reduced {
                    line += &format!(" | {}", text(reduced));
                }
                if let Some(range) = answer.beyond_end {
                    line += &format!(" beyond {range:?}");
                }
                seen.push(line.trim_end().to_owned());
            })
            .unwrap();
        assert_eq!(seen, expected);
    }

    #[test]
    fn ranges_of_all_clients_make_an_interval() {
        check(
            &[(0, &[(1, 0, 1), (2, 0, 0)]), (2, &[(1, 2, 2)])],
            &[],
            &["0: 1-0:1 1-1:1 2-0:1 x:3", "1:", "2: 1-2:1 x:1"],
        );
    }

    #[test]
    fn records_may_fall_into_a_later_interval_than_their_followers() {
        check(
            &[(0, &[(1, 3, 4)]), (1, &[(1, 0, 1), (1, 5, 5)])],
            &[],
            &["0: 1-3:1 1-4:1 x:2", "1: 1-0:1 1-1:1 1-5:1 x:3"],
        );
    }

    #[test]
    fn a_record_in_two_ranges_counts_in_both() {
        check(&[(0, &[(1, 0, 2)]), (1, &[(1, 2, 3)])], &[], &["0: 1-0:1 1-1:1 1-2:1 x:3", "1: 1-2:1 1-3:1 x:2"]);
    }

    #[test]
    fn missing_records_are_left_out_of_the_reduced_answer_only() {
        check(
            &[(0, &[(1, 0, 2)]), (1, &[(1, 3, 3)])],
            &[(0, &[(1, 1, 1)])],
            &["0: 1-0:1 1-1:1 1-2:1 x:3 | 1-0:1 1-2:1 x:2", "1: 1-3:1 x:1"],
        );
    }

    #[test]
    fn a_range_beyond_the_end_of_the_stream_is_named() {
        check(&[(0, &[(1, 8, 11)])], &[], &["0: 1-8:1 1-9:1 x:2 beyond 1:8-11"]);
    }

    #[test]
    fn words_end_at_the_six_bytes_of_white_space_only() {
        let seen: Vec<&[u8]> = words(b"\x09a\x0Ab\x0Bc\x0Cd\x0De f\xC2\xA0g\x1Fh ").collect();
        assert_eq!(seen, [&b"a"[..], b"b", b"c", b"d", b"e", b"f\xC2\xA0g\x1Fh"]);
    }
}
