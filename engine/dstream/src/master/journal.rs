//! The journal: what a master must not decide twice, in slots of the durable store, and what it was when it is read again.
//!
//! Knows no store. What is written takes effect only then: tasks of an interval run when its seal is written, records count
//! as gone when that is, and nothing is forgotten before the snapshot that does without it. Invariants: a slot is written
//! once, and after all before it; a master begins its term with a slot of its own, with which an older master's next one
//! collides, so that whoever reads the slots in order sees each term's words before the next term's.
//!
//! ```text
//! slot 7: term 1, seal 12   slot 8: term 1, snapshot (open: 11, 12)   slot 9: term 2 begins   slot 10: term 2, seal 13
//!                                   everything before it is deleted           ^ term 1's slot 9 is refused
//! ```

use crate::master::ledger::Allotment;
use crate::master::panes::Place;
use crate::master::program::Program;
use bytes::Bytes;
use dstream_cluster::message::{open, seal};
use dstream_trace::{BlockName, RangeSet, RecordRange};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An interval whose input is fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedInterval {
    /// The interval.
    pub interval: u64,
    /// Its records.
    pub ranges: Vec<RecordRange>,
    /// Its blocks, in the order of its map tasks.
    pub blocks: Vec<Allotment>,
}

/// A block that nobody holds any more: its records are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The block.
    pub block: BlockName,
    /// Its records that are in no other block.
    pub ranges: Vec<RecordRange>,
    /// The interval that goes on without it, if it was in one.
    pub interval: Option<u64>,
}

/// Everything that is not over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// All records that are in some interval.
    pub allotted: Vec<RecordRange>,
    /// The interval that is sealed next.
    pub next: u64,
    /// Nothing of the intervals below this one is computed again.
    pub below: u64,
    /// Panes of intervals below this one are not read again.
    pub panes_below: u64,
    /// The complete checkpoints that are still read: through which interval, and whose objects count.
    pub checkpoints: Vec<(u64, Vec<(Place, u32)>)>,
    /// Blocks that stay given up whoever brings them back, each with the interval that went on without it.
    pub given_up: Vec<(BlockName, Option<u64>)>,
    /// What is gone, though the master that wrote so may have ended before it said so: the next one says it, maybe again.
    pub unsaid: Vec<GivenUp>,
    /// Intervals that are sealed and not over.
    pub open: Vec<SealedInterval>,
    /// Workers that have left: a new master does not wait for them.
    pub left: BTreeSet<u32>,
    /// Workers that were lost: a new master does not wait for them as long as there are others.
    pub lost: BTreeSet<u32>,
    /// About so many records were let in in the time of an interval; none if that was never said.
    pub let_in: u64,
}

/// One thing that is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// An interval's input is fixed.
    Sealed(SealedInterval),
    /// Records are gone.
    GivenUp(GivenUp),
    /// These records were acknowledged and nobody has them any more, nor knows their block: they are in no interval, whoever
    /// brings them back.
    Gone(GivenUp),
    /// What came before is not needed any more.
    Snapshot(Snapshot),
    /// A worker has left.
    Left(u32),
    /// A worker was lost.
    Lost(u32),
    /// A worker that had left or was lost is back: it is a member when this is written, so that each later master waits for
    /// it.
    Back(u32),
    /// About so many records are let in in the time of an interval: a new master begins with that.
    LetIn(u64),
}

/// What stands in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The term of the master that wrote it.
    pub term: u64,
    /// The program that is run from here on. A slot with one begins a term.
    pub begins: Option<Box<Program>>,
    /// In the order in which they were decided.
    pub entries: Vec<Entry>,
}

/// What slots begin with. It grows whenever they say something else, so that what another build wrote is refused and never
/// misread.
const FORM: u32 = 2;

/// A slot as the store holds it.
pub fn written(slot: &Slot) -> Bytes {
    seal(FORM.to_le_bytes().to_vec(), slot)
}

/// What the store holds, as a slot; nothing if it is none of this form.
pub fn as_read(bytes: &Bytes) -> Option<Slot> {
    let (slot, form) = open(bytes).ok()?;
    (*form == FORM.to_le_bytes()).then_some(slot)
}

/// What the keys of slots begin with.
pub const PREFIX: &str = "journal/";

/// The key of a slot.
pub fn slot_key(number: u64) -> String {
    format!("{PREFIX}{number:020}")
}

/// The number of the slot with this key; nothing if it is no slot's.
pub fn slot_number(key: &str) -> Option<u64> {
    key.strip_prefix(PREFIX)?.parse().ok()
}

/// The program under which the last of these slots were written.
pub fn program(slots: &[Slot]) -> Option<&Program> {
    let newest = slots.iter().map(|slot| slot.term).max()?;
    slots.iter().find(|slot| slot.term == newest).and_then(|slot| slot.begins.as_deref())
}

/// What slots in order say. One of an older term than a slot before it was written too late to count. Where another program
/// begins, all that was sealed before is over: it may begin nowhere else.
pub fn replay(slots: impl IntoIterator<Item = Slot>) -> Snapshot {
    let (mut newest, mut now) = (0, Snapshot::default());
    let mut allotted = RangeSet::new();
    let mut open: BTreeMap<u64, SealedInterval> = BTreeMap::new();
    let mut program: Option<Box<Program>> = None;
    for Slot { term, begins, entries } in slots {
        if term < newest {
            continue;
        }
        newest = term;
        if let Some(begins) = begins {
            if program.is_some_and(|before| before != begins) {
                open.clear();
                now.below = now.next;
                now.let_in = 0;
            }
            program = Some(begins);
        }
        for entry in entries {
            match entry {
                Entry::Sealed(sealed) => {
                    now.next = now.next.max(sealed.interval + 1);
                    sealed.ranges.iter().for_each(|range| drop(allotted.insert(*range)));
                    open.insert(sealed.interval, sealed);
                }
                Entry::Gone(gone) => {
                    gone.ranges.iter().for_each(|range| drop(allotted.insert(*range)));
                    now.unsaid.push(gone);
                }
                Entry::GivenUp(given_up) => {
                    now.given_up.push((given_up.block, given_up.interval));
                    now.unsaid.push(given_up);
                }
                Entry::Left(worker) => _ = now.left.insert(worker),
                Entry::Lost(worker) => _ = now.lost.insert(worker),
                Entry::Back(worker) => {
                    now.left.remove(&worker);
                    now.lost.remove(&worker);
                }
                Entry::LetIn(records) => now.let_in = records,
                Entry::Snapshot(snapshot) => {
                    allotted = snapshot.allotted.iter().copied().collect();
                    open = snapshot.open.iter().map(|sealed| (sealed.interval, sealed.clone())).collect();
                    now = snapshot;
                }
            }
        }
    }
    now.allotted = allotted.iter().collect();
    now.open = open.into_values().collect();
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Input;
    use dstream_cluster::JobSpec;
    use std::time::Duration;

    fn sealed(interval: u64) -> SealedInterval {
        let range = RecordRange { client: 1, first: interval * 10, last: interval * 10 + 9 };
        SealedInterval { interval, ranges: vec![range], blocks: Vec::new() }
    }

    fn slot(term: u64, entries: Vec<Entry>) -> Slot {
        Slot { term, begins: None, entries }
    }

    /// (next interval, open intervals, records that are in some)
    #[track_caller]
    fn check(slots: Vec<Slot>, expected: (u64, &[u64], u64)) {
        let found = replay(slots);
        let open: Vec<u64> = found.open.iter().map(|sealed| sealed.interval).collect();
        let allotted = found.allotted.iter().map(RecordRange::count).sum();
        assert_eq!((found.next, open.as_slice(), allotted), expected);
    }

    #[test]
    fn seals_are_what_is_open() {
        let seals = [0, 1].map(|interval| slot(1, vec![Entry::Sealed(sealed(interval))]));
        check([vec![slot(1, vec![])], seals.to_vec()].concat(), (2, &[0, 1], 20));
        check(vec![], (0, &[], 0));
    }

    #[test]
    fn a_snapshot_stands_for_what_came_before_it() {
        let snapshot = replay([slot(1, (0..5).map(|interval| Entry::Sealed(sealed(interval))).collect())]);
        let snapshot = Snapshot { open: vec![sealed(4)], below: 4, ..snapshot };
        let slots = vec![slot(1, vec![Entry::Snapshot(snapshot), Entry::Sealed(sealed(5))])];
        check(slots, (6, &[4, 5], 60));
    }

    #[test]
    fn what_was_given_up_is_said_until_a_snapshot_knows_that_it_was() {
        let given_up = |number| {
            let block = BlockName { origin: 1, epoch: 1, number };
            Entry::GivenUp(GivenUp { block, ranges: Vec::new(), interval: Some(0) })
        };
        let unsaid = |entries: Vec<Entry>| -> Vec<u64> {
            replay([slot(1, entries)]).unsaid.iter().map(|given_up| given_up.block.number).collect()
        };
        assert_eq!(unsaid(vec![given_up(1), given_up(2)]), [1, 2]);
        assert_eq!(unsaid(vec![given_up(1), Entry::Snapshot(Snapshot::default()), given_up(2)]), [2]);
        let of_first = replay([slot(1, vec![given_up(1)])]);
        assert_eq!(unsaid(vec![given_up(1), Entry::Snapshot(of_first), given_up(2)]), [1, 2]);
    }

    #[test]
    fn what_an_older_master_wrote_after_a_new_one_began_does_not_count() {
        let slots = vec![
            slot(1, vec![Entry::Sealed(sealed(0))]),
            slot(2, vec![]),
            slot(1, vec![Entry::Sealed(sealed(1))]),
            slot(2, vec![Entry::Sealed(sealed(1))]),
        ];
        check(slots.clone(), (2, &[0, 1], 20));
        check(slots[..3].to_vec(), (1, &[0], 10));
    }

    #[test]
    fn where_another_program_begins_all_that_was_sealed_is_over() {
        let program = |build| {
            let job = JobSpec { name: "j".into(), params: BTreeMap::new(), interval: Duration::from_secs(1) };
            let (outputs, kept) = (BTreeMap::new(), BTreeMap::new());
            Some(Box::new(Program { job, fingerprint: 0, build, input: Input::Memory, partitions: 1, outputs, kept }))
        };
        let begins = |term, build| Slot { term, begins: program(build), entries: Vec::new() };
        let seals = |term, interval| slot(term, vec![Entry::Sealed(sealed(interval))]);
        check(vec![begins(1, 1), seals(1, 0), begins(2, 1), seals(2, 1)], (2, &[0, 1], 20));
        let changed = vec![begins(1, 1), seals(1, 0), begins(2, 2), seals(2, 1)];
        check(changed.clone(), (2, &[1], 20));
        assert_eq!(replay(changed.clone()).below, 1);
        assert_eq!(super::program(&changed), program(2).as_deref());
        assert_eq!(super::program(&changed[..2]), program(1).as_deref());
    }

    /// Whoever changes what slots say changes their form.
    #[test]
    fn a_slot_of_this_form_is_read_and_one_of_another_build_is_refused() {
        let given_up =
            GivenUp { block: BlockName { origin: 1, epoch: 2, number: 3 }, ranges: vec![], interval: Some(4) };
        let snapshot = Snapshot { next: 9, unsaid: vec![given_up.clone()], left: [7].into(), ..Snapshot::default() };
        let entries = vec![
            Entry::Sealed(sealed(2)),
            Entry::GivenUp(given_up.clone()),
            Entry::Gone(given_up),
            Entry::Snapshot(snapshot),
            Entry::Left(5),
            Entry::Lost(6),
            Entry::Back(5),
            Entry::LetIn(8),
        ];
        let slot = slot(3, entries);
        let bytes = written(&slot);
        assert_eq!(as_read(&bytes), Some(slot.clone()));
        assert_eq!(as_read(&seal(Vec::new(), &slot)), None);
        assert_eq!(as_read(&seal((FORM + 1).to_le_bytes().to_vec(), &slot)), None);
        let of_form_2 = "0200000003000800020101141d000101020300010402010203000104\
            03000900000000010102030001040001070000040505060605070833000000";
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((FORM, hex.as_str()), (2, of_form_2));
    }

    #[test]
    fn keys_are_in_the_order_of_their_slots() {
        for number in [0, 7, 12_345_678_901] {
            assert_eq!(slot_number(&slot_key(number)), Some(number));
            assert!(slot_key(number) < slot_key(number + 1));
        }
        assert_eq!(slot_number("journal/x"), None);
    }
}
