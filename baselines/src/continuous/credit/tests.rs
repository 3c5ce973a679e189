//! Credits between two nodes: what is under way is bounded, and who worked everything off may get more.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const WRITER: NodeNumber = 1;
const READER: NodeNumber = 2;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Send so many bytes, if there is room.
    Send(usize),
    /// The reader gets what was sent first.
    Deliver,
    /// It works off what it got first.
    Work,
    /// It says what it worked off, and the writer hears it.
    Say,
    /// The connection breaks and is made anew.
    Reconnect,
}

/// Two nodes and the way between them.
struct Pair {
    writer: Credits,
    reader: Credits,
    way: VecDeque<usize>,
    queue: VecDeque<Debt>,
    /// What the writer must believe to be under way.
    owed: usize,
}

impl Pair {
    fn new() -> Pair {
        let (mut writer, mut reader) = (Credits::of(WRITER), Credits::of(READER));
        writer.up(READER);
        reader.up(WRITER);
        Pair { writer, reader, way: VecDeque::new(), queue: VecDeque::new(), owed: 0 }
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Send(bytes) => {
                assert_eq!(self.writer.has_room(READER), self.owed < WINDOW_BYTES, "{} under way", self.owed);
                if self.writer.has_room(READER) {
                    self.writer.spend(READER, bytes);
                    self.way.push_back(bytes);
                    self.owed += bytes;
                }
            }
            Step::Deliver => {
                let bytes = self.way.pop_front();
                self.queue.extend(bytes.map(|bytes| self.reader.debt(WRITER, bytes as u64)));
            }
            Step::Work => {
                let debt = self.queue.pop_front();
                debt.into_iter().for_each(|debt| self.reader.pay(debt));
            }
            Step::Say => {
                for (node, bytes) in self.reader.say() {
                    assert_eq!(node, WRITER);
                    self.writer.paid(READER, bytes);
                    let bytes = usize::try_from(bytes).unwrap();
                    assert!(bytes <= self.owed, "{bytes} are paid of {}", self.owed);
                    self.owed -= bytes;
                }
            }
            Step::Reconnect => {
                self.writer.down(READER);
                assert!(!self.writer.has_room(READER), "nobody is there");
                self.reader.down(WRITER);
                self.way.clear();
                self.owed = 0;
                self.writer.up(READER);
                self.reader.up(WRITER);
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..WINDOW_BYTES / 3).prop_map(Step::Send),
        4 => Just(Step::Deliver),
        4 => Just(Step::Work),
        3 => Just(Step::Say),
        1 => Just(Step::Reconnect),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn what_is_under_way_is_bounded_and_never_stuck(steps in steps()) {
        let mut pair = Pair::new();
        for step in steps {
            pair.play(step);
            // The last entry that goes may be as large as one is.
            prop_assert!(pair.owed < WINDOW_BYTES + WINDOW_BYTES / 3);
        }
        while !pair.way.is_empty() || !pair.queue.is_empty() {
            pair.play(Step::Deliver);
            pair.play(Step::Work);
        }
        pair.play(Step::Say);
        prop_assert!(pair.owed < SAID_AT_BYTES as usize, "{} of nothing", pair.owed);
        prop_assert!(pair.writer.has_room(READER));
    }
}

#[test]
fn a_node_has_room_for_itself_and_none_for_a_stranger() {
    let mut credits = Credits::of(WRITER);
    credits.spend(WRITER, 10 * WINDOW_BYTES);
    assert!(credits.has_room(WRITER) && !credits.has_room(READER));
}
