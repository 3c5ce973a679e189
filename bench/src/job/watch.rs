//! Reads a running job's events, one by one, and says which intervals are whole and when everything read is in a
//! result.
//!
//! Keeps only what is not whole yet. Invariant: intervals come out in order, each once, each with all its partitions.

use dstream_trace::{Event, NodeName, RangeSet, RecordRange, Rows, TraceLine};
use std::collections::{BTreeMap, BTreeSet};

/// All results of one interval.
#[derive(Debug, PartialEq)]
pub struct WholeInterval {
    /// Its number.
    pub number: u64,
    /// By output that was due, the encoded rows of each partition.
    pub outputs: BTreeMap<String, Vec<Rows>>,
}

/// What is known of the job so far.
#[derive(Debug)]
pub struct Watch {
    /// By name: due at the end of every so many intervals.
    outputs: BTreeMap<String, u64>,
    clients: usize,
    /// Clients that sent and had acknowledged all they read.
    done: BTreeSet<NodeName>,
    /// Sent by clients, in this life of the job or an earlier one, and not in a whole interval yet.
    open: RangeSet,
    /// In whole intervals, of this life or an earlier one, or lost.
    settled: RangeSet,
    /// Ranges of sealed intervals that are not whole yet.
    sealed: BTreeMap<u64, RangeSet>,
    /// Output -> partition -> rows, of intervals that are not whole yet.
    parts: BTreeMap<u64, BTreeMap<String, Parts>>,
    next: u64,
    /// Acknowledged, and on no worker any more. A master that takes over may say so again.
    lost: RangeSet,
    /// Behind the last interval that had records.
    records_end: u64,
}

#[derive(Debug, Default)]
struct Parts {
    of: usize,
    rows: BTreeMap<u32, Rows>,
}

impl Watch {
    /// Watches a job with these outputs, each due every so many intervals, fed by so many clients.
    pub fn new(outputs: impl IntoIterator<Item = (String, u64)>, clients: usize) -> Watch {
        Watch {
            outputs: outputs.into_iter().collect(),
            clients,
            done: BTreeSet::new(),
            open: RangeSet::new(),
            settled: RangeSet::new(),
            sealed: BTreeMap::new(),
            parts: BTreeMap::new(),
            next: 0,
            lost: RangeSet::new(),
            records_end: 0,
        }
    }

    /// The same job goes on: intervals below this one came out in earlier lives, with these records.
    pub fn goes_on(&mut self, below: u64, over: &[RecordRange]) {
        (self.next, self.records_end) = (below, below);
        over.iter().for_each(|range| drop(self.settled.insert(*range)));
    }

    /// Takes note of an event.
    pub fn take(&mut self, line: TraceLine) {
        match line.event {
            // What is acknowledged without having been sent an earlier life has sent.
            Event::RecordsSent { range, .. } | Event::RecordsAcked { range } => {
                for range in self.settled.gaps(range) {
                    self.open.insert(range);
                }
            }
            Event::ClientDone { .. } => {
                self.done.insert(line.node);
            }
            Event::IntervalSealed { interval, ranges, .. } if interval >= self.next => {
                self.sealed.insert(interval, ranges.into_iter().collect());
            }
            // Engines may also say that there is nothing where nothing is due.
            Event::ResultVisible { output, interval, partition, of, rows, .. } if self.is_due(&output, interval) => {
                let parts = self.parts.entry(interval).or_default().entry(output).or_default();
                parts.of = of as usize;
                parts.rows.insert(partition, rows);
            }
            Event::BlockLost { ranges, .. } => {
                for range in ranges {
                    self.open.remove(range);
                    self.settled.insert(range);
                    self.lost.insert(range);
                }
            }
            _ => {}
        }
    }

    fn is_due(&self, output: &str, interval: u64) -> bool {
        self.outputs.get(output).is_some_and(|every| (interval + 1).is_multiple_of(*every))
    }

    /// The next interval, once it is whole.
    pub fn next_whole(&mut self) -> Option<WholeInterval> {
        let number = self.next;
        let parts = self.parts.get(&number);
        let part = |output: &String| parts.and_then(|parts| parts.get(output));
        let is_whole = |output: &String| part(output).is_some_and(|parts| parts.rows.len() == parts.of);
        let mut due = self.outputs.keys().filter(|output| self.is_due(output, number));
        if !self.sealed.contains_key(&number) || !due.all(is_whole) {
            return None;
        }
        self.next += 1;
        for range in self.sealed.remove(&number)?.iter() {
            self.open.remove(range);
            self.settled.insert(range);
            self.records_end = self.next;
        }
        let parts = self.parts.remove(&number).unwrap_or_default();
        let outputs = parts.into_iter().map(|(output, parts)| (output, parts.rows.into_values().collect()));
        Some(WholeInterval { number, outputs: outputs.collect() })
    }

    /// Whether the sources ended and everything that was read is in a result of each output that came out.
    pub fn is_finished(&self) -> bool {
        // Behind the last interval that had a result of this output.
        let last_due = |every: &u64| self.next / every * every;
        let is_covered = self.outputs.values().all(|every| last_due(every) >= self.records_end);
        self.done.len() >= self.clients && self.open.is_empty() && self.next > 0 && is_covered
    }

    /// Records that no later result will hold, because every worker that held them is gone.
    pub fn lost(&self) -> u64 {
        self.lost.count()
    }

    /// Intervals of which something is known that did not come out.
    pub fn waiting(&self) -> usize {
        self.parts.len().max(self.sealed.len())
    }

    /// Intervals that came out.
    pub fn intervals(&self) -> u64 {
        self.next
    }

    /// Records in them, but for those that were lost, before or since.
    pub fn records(&self) -> u64 {
        self.settled.count() - self.lost.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_trace::{BlockName, Moment};

    fn range(first: u64, last: u64) -> RecordRange {
        RecordRange { client: 1, first, last }
    }

    fn sent(first: u64, last: u64) -> Event {
        let moment = Moment::ZERO;
        Event::RecordsSent { range: range(first, last), first_scheduled: moment, last_scheduled: moment }
    }

    fn sealed(interval: u64, ranges: &[RecordRange]) -> Event {
        Event::IntervalSealed { interval, ranges: ranges.to_vec(), blocks: Vec::new() }
    }

    fn visible(interval: u64, partition: u32) -> Event {
        let rows = Rows([partition as u8].as_slice().into());
        let (output, from) = ("counts".to_string(), NodeName::worker(1));
        Event::ResultVisible { output, interval, partition, of: 2, from, epoch: 1, rows }
    }

    /// Takes the events in order; after all of them these intervals are out, and the job is finished or not.
    fn check(events: &[Event], intervals: &[u64], finished: bool) {
        check_every(1, events, intervals, finished);
    }

    fn check_every(every: u64, events: &[Event], intervals: &[u64], finished: bool) {
        let mut watch = Watch::new([("counts".to_string(), every)], 1);
        let mut out = Vec::new();
        for event in events {
            let line = TraceLine { at: Moment::ZERO, sequence: 0, node: NodeName::client(1), event: event.clone() };
            watch.take(line);
            while let Some(whole) = watch.next_whole() {
                let due = (whole.number + 1).is_multiple_of(every);
                assert_eq!(whole.outputs.get("counts").map(Vec::len), due.then_some(2), "{events:?}");
                out.push(whole.number);
            }
        }
        assert_eq!((&out[..], watch.is_finished()), (intervals, finished), "{events:?}");
    }

    #[test]
    fn an_interval_comes_out_when_all_its_partitions_are_visible() {
        check(&[sealed(0, &[range(0, 9)]), visible(0, 1)], &[], false);
        check(&[sent(0, 9), sealed(0, &[range(0, 9)]), visible(0, 1), visible(0, 0)], &[0], false);
        check(&[visible(0, 1), visible(0, 0), sealed(0, &[])], &[0], false);
    }

    #[test]
    fn intervals_come_out_in_order_even_if_the_later_is_whole_first() {
        let later = [sealed(0, &[]), sealed(1, &[]), visible(1, 0), visible(1, 1), visible(0, 0)];
        check(&later, &[], false);
        check(&[&later[..], &[visible(0, 1)]].concat(), &[0, 1], false);
    }

    #[test]
    fn the_job_is_finished_when_all_that_was_sent_is_in_a_result() {
        let first = [sent(0, 9), sealed(0, &[range(0, 4)]), visible(0, 0), visible(0, 1)];
        let done = Event::ClientDone { records: 10 };
        check(&[&first[..], std::slice::from_ref(&done)].concat(), &[0], false);
        let rest = [sealed(1, &[range(5, 9)]), visible(1, 0), visible(1, 1)];
        check(&[&first[..], &rest[..]].concat(), &[0, 1], false);
        check(&[&first[..], std::slice::from_ref(&done), &rest[..]].concat(), &[0, 1], true);
        check(&[done, sealed(0, &[]), visible(0, 0), visible(0, 1)], &[0], true);
    }

    #[test]
    fn a_job_that_goes_on_waits_for_what_its_earlier_life_had_acknowledged_and_not_in_a_result() {
        let mut watch = Watch::new([("counts".to_string(), 1)], 1);
        watch.goes_on(3, &[range(0, 9)]);
        let mut out = Vec::new();
        let mut take = |watch: &mut Watch, event| {
            watch.take(TraceLine { at: Moment::ZERO, sequence: 0, node: NodeName::client(1), event });
            out.extend(std::iter::from_fn(|| watch.next_whole()).map(|whole| whole.number));
            watch.is_finished()
        };
        take(&mut watch, Event::RecordsAcked { range: range(0, 14) });
        assert!(!take(&mut watch, Event::ClientDone { records: 15 }), "five records are in no result");
        // Said again of an interval that was out: it does not come out again.
        take(&mut watch, sealed(2, &[range(0, 9)]));
        for event in [sealed(3, &[range(10, 14)]), visible(3, 0)] {
            assert!(!take(&mut watch, event));
        }
        assert!(take(&mut watch, visible(3, 1)));
        // A late acknowledgement of what is in a result opens nothing.
        assert!(take(&mut watch, Event::RecordsAcked { range: range(10, 14) }));
        // Ten of them were in results of the earlier life.
        assert_eq!((out, watch.records()), (vec![3], 15));
    }

    #[test]
    fn records_that_two_masters_say_are_lost_are_lost_once() {
        let mut watch = Watch::new([("counts".to_string(), 1)], 1);
        let lost = |first, last| Event::BlockLost {
            block: BlockName { origin: 1, epoch: 1, number: first },
            ranges: vec![range(first, last)],
            interval: None,
        };
        for event in [sent(0, 19), lost(3, 5), lost(3, 5), lost(10, 10)] {
            watch.take(TraceLine { at: Moment::ZERO, sequence: 0, node: NodeName::client(1), event });
        }
        assert_eq!(watch.lost(), 4);
    }

    #[test]
    fn an_output_that_is_due_now_and_then_has_no_result_between_and_one_that_covers_the_end() {
        let done = Event::ClientDone { records: 10 };
        let first = [sent(0, 9), done, sealed(0, &[range(0, 9)])];
        check_every(2, &first, &[0], false);
        let whole = [sealed(1, &[]), visible(1, 0), visible(1, 1)];
        check_every(2, &[&first[..], &whole[..2]].concat(), &[0], false);
        check_every(2, &[&first[..], &whole[..]].concat(), &[0, 1], true);
        // What is said of an interval in which nothing is due is in no result, early or late.
        let (early, late) = ([visible(0, 0), visible(0, 1)], [visible(2, 0), visible(2, 1)]);
        check_every(2, &[&early[..], &first[..], &whole[..], &late[..]].concat(), &[0, 1], true);
    }
}
