//! The timing rule: by the harness's own clocks, a record's interval ends after its scheduled send and begins no later
//! than its acknowledgement + slack + failure timeout + one interval. Where sources seal intervals by the clients'
//! punctuation, it is the interval in which the record was due; only a record of a client that a fault held off until that
//! interval was over may be in a later one.
//!
//! It keeps an engine from putting records wherever it likes.

use super::reach::held_off;
use super::{CheckInput, records};
use dstream_trace::measure::Sent;
use dstream_trace::{BlockName, Event, Moment, NodeName, RangeSet, RecordRange, TraceLine};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After a fault at a client, and two failure timeouts, its records arrive in time again by then.
const RETURN_GRACE: Duration = Duration::from_secs(1);

/// What was due at an interval's last moment may be under way for so long after it: a client's buffer and the network.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// The first record of the interval that breaks the rule, in words.
pub(super) fn violation(input: &CheckInput<'_>, interval: u64) -> Option<String> {
    let seal = input.facts.sealed.get(&interval)?;
    let end = input.run.closed(interval);
    let begin = end - input.run.interval;
    seal.ranges.iter().find_map(|range| {
        never_sent(input, *range)
            .or_else(|| too_early(input, *range, end))
            .or_else(|| too_late(input, *range, begin))
            .or_else(|| due_before(input, *range, begin))
    })
}

fn never_sent(input: &CheckInput<'_>, range: RecordRange) -> Option<String> {
    let sent: Vec<RecordRange> = input.facts.sent_within(range).map(|sent| sent.range).collect();
    (records::count(&sent) < range.count()).then(|| format!("not all of its records {range:?} were sent"))
}

fn too_early(input: &CheckInput<'_>, range: RecordRange, end: Moment) -> Option<String> {
    input.facts.sent_within(range).find_map(|sent| {
        let (record, due) = (sent.range.last, sent.scheduled(sent.range.last));
        (due >= end)
            .then(|| format!("it ended at {end}, but record {record} of client {} was due at {due}", range.client))
    })
}

fn too_late(input: &CheckInput<'_>, range: RecordRange, begin: Moment) -> Option<String> {
    let bound = longest_way(input);
    let mut late = input.facts.acked_within(range).filter(|acked| begin > acked.at + bound).peekable();
    late.peek()?;
    let again = sent_again(input, begin, bound);
    let acked = late.find(|acked| !again.gaps(acked.range).is_empty())?;
    let (record, at) = (acked.range.first, acked.at);
    Some(format!("it began at {begin}, but record {record} of client {} was held at {at}", range.client))
}

/// A record that was acknowledged is in an interval that begins within this.
fn longest_way(input: &CheckInput<'_>) -> Duration {
    input.slack + input.run.failure_timeout + input.run.interval
}

/// A source may put a record in no later interval than its own, unless it could not have it in time, or had it no more.
fn due_before(input: &CheckInput<'_>, range: RecordRange, begin: Moment) -> Option<String> {
    let is_punctuated = !input.facts.shares.is_empty();
    let sent = input.facts.sent_within(range).filter(|_| is_punctuated);
    let mut early =
        sent.filter(|sent| sent.scheduled(sent.range.first) < begin && !was_held_off(input, sent)).peekable();
    early.peek()?;
    let again = sent_again(input, begin, longest_way(input));
    let early = early.find(|sent| !again.gaps(sent.range).is_empty())?;
    let (record, due) = (early.range.first, early.scheduled(early.range.first));
    Some(format!("it began at {begin}, but record {record} of client {} was due at {due}", range.client))
}

/// Whether a fault at the client explains that nobody held the records before the interval was over in which they were due.
fn was_held_off(input: &CheckInput<'_>, sent: &Sent) -> bool {
    let due = sent.scheduled(sent.range.first);
    let over = input.run.closed(input.run.open_at(due));
    let client = NodeName::client(sent.range.client);
    let under_way = under_way(input, over);
    let is_hit = input.run.faults.iter().any(|fault| {
        let times = input.facts.faults.get(&fault.number).copied().unwrap_or_default();
        let until = times.ended.map_or(Moment::NEVER, |ended| ended + input.run.failure_timeout * 2 + RETURN_GRACE);
        let hits = fault.nodes.contains(&client) || fault.others.contains(&client);
        // A fault that came later than usual explains it only if nobody had the records even then.
        let explains = |applied: Moment| {
            applied <= over + UNDER_WAY || applied <= under_way && !is_held_by(input, sent.range, applied)
        };
        hits && times.applied.is_some_and(explains) && due <= until
    });
    is_hit && !is_held_by(input, sent.range, over)
}

/// Until when what was due before `over` may be under way: also what was sent to a node that had died, until that must be
/// known.
fn under_way(input: &CheckInput<'_>, over: Moment) -> Moment {
    let is_death = |line: &&TraceLine| line.event == Event::ProcessEnded && line.node.is_of_the_work();
    let deaths = input.lines.iter().take_while(|line| line.at <= over).filter(is_death);
    let known = deaths.map(|line| line.at + input.run.failure_timeout).max().unwrap_or(over);
    known.max(over) + UNDER_WAY
}

/// Whether any node held one of the records by then.
fn is_held_by(input: &CheckInput<'_>, range: RecordRange, by: Moment) -> bool {
    let lines = input.lines.iter().take_while(|line| line.at <= by);
    lines
        .filter_map(|line| match &line.event {
            Event::BlockHeld { ranges, .. } => Some(ranges),
            _ => None,
        })
        .flatten()
        .any(|held| held.client == range.client && held.first <= range.last && range.first <= held.last)
}

/// Records that the engine had given up, or that nobody held any more, and that a client, started again, sent once more, or
/// a worker brought back that had been away: they are held anew, and that counts where it was not too long before `begin`.
/// Where sources seal, who is declared lost forgets what it has when it hears so: it holds nothing from then on.
fn sent_again(input: &CheckInput<'_>, begin: Moment, bound: Duration) -> RangeSet {
    let (mut gone, mut again) = (RangeSet::new(), RangeSet::new());
    let mut holders = Holders::default();
    let dies_out = !input.promise.logs && input.promise.replays.is_none();
    let forgets = dies_out && !input.facts.shares.is_empty();
    let (mut away, mut lost): (BTreeSet<&NodeName>, BTreeSet<&NodeName>) = (BTreeSet::new(), BTreeSet::new());
    for line in input.lines {
        if let Event::WorkerLost { worker, .. } = &line.event {
            lost.insert(worker);
        }
        match &line.event {
            Event::BlockLost { ranges, interval: None, .. } => {
                ranges.iter().for_each(|range| drop(gone.insert(*range)))
            }
            Event::BlockHeld { block, ranges, .. } if away.contains(&line.node) => {
                let alone = ranges.iter().filter(|_| !holders.has(block));
                alone.for_each(|range| drop(gone.insert(*range)));
            }
            Event::WorkerLost { worker, .. } if forgets && held_off(input, worker, line.at) => {
                away.insert(worker);
                holders.die(worker).into_iter().for_each(|range| drop(gone.insert(range)));
            }
            Event::WorkerJoined { worker, .. } => {
                away.remove(worker);
                let is_back = lost.remove(worker) && !forgets && line.at + bound >= begin;
                let brought = holders.held_by(worker).filter(|_| is_back);
                brought.flat_map(|range| gone.overlap(*range)).for_each(|part| drop(again.insert(part)));
            }
            Event::BlockHeld { block, ranges, .. } if dies_out => holders.hold(*block, &line.node, ranges),
            Event::BlockForgotten { block } => holders.forget(block, &line.node),
            Event::ProcessEnded => holders.die(&line.node).into_iter().for_each(|range| drop(gone.insert(range))),
            Event::RecordsAcked { range } if line.at + bound >= begin => {
                gone.overlap(*range).into_iter().for_each(|part| drop(again.insert(part)));
            }
            _ => {}
        }
    }
    again
}

/// Who has which block.
#[derive(Default)]
struct Holders(BTreeMap<BlockName, (BTreeSet<NodeName>, Vec<RecordRange>)>);

impl Holders {
    fn hold(&mut self, block: BlockName, node: &NodeName, ranges: &[RecordRange]) {
        let held = self.0.entry(block).or_insert_with(|| (BTreeSet::new(), ranges.to_vec()));
        held.0.insert(node.clone());
    }

    fn has(&self, block: &BlockName) -> bool {
        self.0.get(block).is_some_and(|(holders, _)| !holders.is_empty())
    }

    fn held_by<'h>(&'h self, node: &'h NodeName) -> impl Iterator<Item = &'h RecordRange> {
        self.0.values().filter(|(holders, _)| holders.contains(node)).flat_map(|(_, ranges)| ranges)
    }

    /// The node needs it no longer: its records are in results.
    fn forget(&mut self, block: &BlockName, node: &NodeName) {
        if let Some((holders, _)) = self.0.get_mut(block) {
            holders.remove(node);
        }
    }

    /// The node is gone, and with it the records of the answer: nobody else had them.
    fn die(&mut self, node: &NodeName) -> Vec<RecordRange> {
        let alone = self.0.extract_if(.., |_, (holders, _)| holders.remove(node) && holders.is_empty());
        let gone: Vec<RecordRange> = alone.flat_map(|(_, (_, ranges))| ranges).collect();
        let left = self.0.values().filter(|(holders, _)| !holders.is_empty()).flat_map(|(_, ranges)| ranges);
        let left: RangeSet = left.copied().collect();
        gone.into_iter().flat_map(|range| left.gaps(range)).collect()
    }
}
