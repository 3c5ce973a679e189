//! Tables of states in place, one for each stage and partition, between the tasks that use them.
//!
//! Knows nothing of what is in a table. They lie on the shelf, where they count as all else does that a worker holds.
//! Invariants: a task has a table for itself, and what it makes of it comes back only when its cost is paid; a task is never
//! given a table that was made of other panes than those that it is told to read; a table that a task has counts, too.
//!
//! ```text
//! held --taken by a task--> in use --its panes are kept--> held, if it is the newest
//!   ^                         '--error, panic, another epoch--> gone: the next task makes its table of panes
//!   |--- interval by interval; gone when no task to come reads the newest interval behind which it stands
//!   '--- or when memory is short
//! ```

use crate::worker::memory::Thing;
use crate::worker::shelf::{Pin, Shelf};
use crate::worker::store::Pane;
use dstream_kernel::HeldState;
use std::collections::BTreeMap;

/// A stage and one of its partitions.
type Place = (u32, u32);

/// Which panes of an interval there are, without their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// See [`Pane::attempt`].
    pub attempt: u32,
    /// See [`Pane::lacks`].
    pub lacks: u64,
}

impl Tag {
    /// Of these panes.
    pub fn of(pane: &Pane) -> Tag {
        Tag { attempt: pane.attempt, lacks: pane.lacks }
    }

    /// Whether those have the same bytes: every attempt's have, where nothing was given up.
    fn is_same(self, other: Tag) -> bool {
        self == other || (self.lacks, other.lacks) == (0, 0)
    }
}

/// The panes of some intervals.
pub type Tags = BTreeMap<u64, Tag>;

/// The newest interval that is in what was made of these.
fn newest(tags: &Tags) -> Option<u64> {
    tags.last_key_value().map(|(interval, _)| *interval)
}

/// A state in place that a task has, with what it was made of.
#[derive(Default)]
pub struct Table {
    /// The state.
    pub state: HeldState,
    stands_on: Tags,
    /// As it was when the task got it, it counts until this is dropped.
    counts: Option<Pin>,
}

impl Table {
    /// A task of this interval, which read `past`, has gone on with it and left these panes.
    pub fn went_on(&mut self, past: &Tags, interval: u64, left: Tag) {
        drop(self.stands_on.split_off(&interval));
        self.stands_on.extend(past);
        self.stands_on.insert(interval, left);
    }
}

/// One that no task has.
struct Held {
    thing: Thing,
    stands_on: Tags,
}

impl Held {
    /// Whether it was made of other panes of these intervals.
    fn differs(&self, past: &Tags) -> bool {
        past.iter().any(|(interval, tag)| self.stands_on.get(interval).is_some_and(|other| !other.is_same(*tag)))
    }
}

/// All that no task has.
#[derive(Default)]
pub struct Tables(BTreeMap<Place, Held>);

impl Tables {
    /// The table for a task that reads these panes, an empty one where there is none for it.
    pub fn take(&mut self, place: Place, past: &Tags, shelf: &mut Shelf) -> Table {
        let Some(held) = self.0.remove(&place) else { return Table::default() };
        if held.differs(past) {
            shelf.forget(held.thing);
            return Table::default();
        }
        match shelf.take_state(held.thing) {
            Some((state, pin)) => Table { state, stands_on: held.stands_on, counts: Some(pin) },
            None => Table::default(),
        }
    }

    /// A task is done with its table. Of two that had none each makes its own: the one that went further stays.
    pub fn put(&mut self, place: Place, table: Table, shelf: &mut Shelf) {
        let Table { state, stands_on, counts } = table;
        // From here on it counts as it is now.
        drop(counts);
        if self.0.get(&place).is_none_or(|there| newest(&there.stands_on) <= newest(&stands_on)) {
            let held = Held { thing: shelf.keep_state(state), stands_on };
            let before = self.0.insert(place, held);
            before.into_iter().for_each(|before| shelf.forget(before.thing));
        }
    }

    /// No task reads panes of intervals below this one: tables behind those are no use, and of others they say nothing.
    pub fn forget(&mut self, below: u64, shelf: &mut Shelf) {
        for (_, held) in self.0.extract_if(.., |_, held| newest(&held.stands_on) < Some(below)) {
            shelf.forget(held.thing);
        }
        self.0.values_mut().for_each(|held| held.stands_on = held.stands_on.split_off(&below));
    }

    /// All go.
    pub fn clear(&mut self, shelf: &mut Shelf) {
        std::mem::take(&mut self.0).into_values().for_each(|held| shelf.forget(held.thing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::memory::Memory;
    use crate::worker::shelf::tests::Standing;
    use bytes::Bytes;
    use dstream_kernel::{Query, QueryBuilder, Scratch, TaskAt, TaskInput};
    use std::num::NonZeroU64;
    use std::sync::Arc;

    const PLACE: Place = (1, 3);

    /// The panes of these intervals and attempts, which lack the same.
    fn tags(panes: &[(u64, u32)], lacks: u64) -> Tags {
        panes.iter().map(|(interval, attempt)| (*interval, Tag { attempt: *attempt, lacks })).collect()
    }

    fn query() -> Query {
        let builder = QueryBuilder::new();
        let ones = builder.lines().map::<(String, u64)>(|line| (line, 1));
        ones.track::<u64>(|_, one| one, |_, count, one| Some(count + one), None).output("o");
        builder.build().unwrap().in_place(NonZeroU64::MIN)
    }

    /// A table that went through these intervals, each with its attempt.
    fn table(query: &Query, steps: &[(u64, u32)], lacks: u64) -> Table {
        let mut table = Table::default();
        for (index, (interval, attempt)) in steps.iter().enumerate() {
            let input = TaskInput::Slices { slices: vec![], past: vec![vec![Bytes::new()]; 2] };
            let at = TaskAt { interval: *interval, partitions: 1 };
            let program = &query.stages[1].program;
            program.run_held(&input, at, &mut table.state, &mut Scratch::default()).unwrap();
            table.went_on(&tags(&steps[..index], lacks), *interval, Tag { attempt: *attempt, lacks });
        }
        table
    }

    /// Which interval the table stands behind that a task gets.
    fn given((tables, shelf): &mut (Tables, Shelf), panes: &[(u64, u32)], lacks: u64) -> Option<u64> {
        tables.take(PLACE, &tags(panes, lacks), shelf).state.version()
    }

    fn put((tables, shelf): &mut (Tables, Shelf), place: Place, table: Table) {
        tables.put(place, table, shelf);
    }

    /// Intervals, each with an attempt.
    type Steps<'s> = &'s [(u64, u32)];

    #[test]
    fn a_task_gets_the_table_that_was_made_of_the_panes_that_it_reads() {
        let query = query();
        let cases: [(&str, Steps<'_>, Option<u64>); 5] = [
            ("the same", &[(3, 0), (4, 2)], Some(4)),
            ("it went on elsewhere meanwhile", &[(4, 2), (5, 0)], Some(4)),
            ("again, for an earlier interval", &[(2, 0), (3, 0)], Some(4)),
            ("the newest were made again", &[(3, 0), (4, 3)], None),
            ("older ones were made again", &[(3, 1), (4, 2)], None),
        ];
        for (name, panes, expected) in cases {
            let mut tables = <(Tables, Shelf)>::default();
            put(&mut tables, PLACE, table(&query, &[(3, 0), (4, 2)], 7));
            assert_eq!(given(&mut tables, panes, 7), expected, "{name}");
            assert_eq!(given(&mut tables, panes, 7), None, "a table has one user at a time: {name}");
        }
    }

    #[test]
    fn which_attempt_it_was_does_not_count_where_nothing_was_given_up() {
        let query = query();
        for (lacked, lack, expected) in [(0, 0, Some(4)), (0, 7, None), (7, 0, None), (7, 7, None)] {
            let mut tables = <(Tables, Shelf)>::default();
            put(&mut tables, PLACE, table(&query, &[(3, 0), (4, 2)], lacked));
            assert_eq!(given(&mut tables, &[(3, 0), (4, 3)], lack), expected, "{lacked} {lack}");
        }
    }

    #[test]
    fn of_two_attempts_that_raced_the_table_that_went_further_stays() {
        let query = query();
        for order in [[(3, 0), (4, 0)], [(4, 0), (3, 0)]] {
            let mut tables = <(Tables, Shelf)>::default();
            order.iter().for_each(|step| put(&mut tables, PLACE, table(&query, &[*step], 0)));
            assert_eq!(given(&mut tables, &[], 0), Some(4));
        }
    }

    #[test]
    fn a_step_that_is_made_again_is_what_the_table_stands_on_and_what_came_of_it_is_not() {
        let mut table = table(&query(), &[(3, 0), (4, 2), (5, 0)], 0);
        table.went_on(&tags(&[(2, 0), (3, 0)], 0), 4, Tag { attempt: 7, lacks: 0 });
        assert_eq!(table.stands_on, tags(&[(2, 0), (3, 0), (4, 7)], 0));
    }

    #[test]
    fn tables_go_that_stand_behind_what_nobody_reads_any_more() {
        let query = query();
        let mut tables = <(Tables, Shelf)>::default();
        put(&mut tables, PLACE, table(&query, &[(3, 0), (4, 2)], 7));
        put(&mut tables, (1, 4), table(&query, &[(3, 0)], 7));
        tables.0.forget(4, &mut tables.1);
        assert_eq!(tables.0.0.keys().collect::<Vec<_>>(), [&PLACE]);
        assert_eq!(given(&mut tables, &[(3, 9), (4, 2)], 7), Some(4));
    }

    #[test]
    fn where_memory_is_short_the_table_goes_that_was_used_longest_ago_and_one_in_use_stays() {
        let query = query();
        let bytes = table(&query, &[(3, 0)], 0).state.bytes();
        // Room for two.
        let limited = || Shelf::limited(Box::new(Memory::new(bytes * 5 / 2)), Arc::new(Standing));
        let places = [(1, 0), (1, 1), (1, 2)];
        let mut there = (Tables::default(), limited());
        places.iter().for_each(|place| put(&mut there, *place, table(&query, &[(3, 0)], 0)));
        let (tables, shelf) = &mut there;
        let taken = places.map(|place| tables.take(place, &Tags::new(), shelf));
        assert_eq!(taken.each_ref().map(|table| table.state.version()), [None, Some(3), Some(3)]);
        // Two are in use: there is room for no other one before one of them comes back.
        let [_, first, second] = taken;
        tables.put(places[0], table(&query, &[(4, 0)], 0), shelf);
        assert_eq!(tables.take(places[0], &Tags::new(), shelf).state.version(), None);
        drop(second);
        tables.put(places[1], first, shelf);
        tables.put(places[0], table(&query, &[(4, 0)], 0), shelf);
        let left = places.map(|place| tables.take(place, &Tags::new(), shelf).state.version());
        assert_eq!(left, [Some(4), Some(3), None]);
    }
}
