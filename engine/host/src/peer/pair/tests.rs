//! What the core of a pair promises, event by event and for any order of events.

use super::*;
use crate::Random;
use dstream_trace::NodeName;
use proptest::prelude::*;

const LIMITS: Limits = Limits { silence: Duration::from_millis(400), connect_deadline: Duration::from_millis(200) };

fn pair(side: Side) -> Pair {
    let random = Random::new(1, NodeName::new("a"), 1).stream("test");
    Pair::new(Moment::ZERO, side, LIMITS, Backoff::new(random, LIMITS.silence))
}

fn step(pair: &mut Pair, millis: u64, event: PairEvent) -> Vec<PairAction> {
    let mut actions = Vec::new();
    pair.step(Moment::from_millis(millis), event, &mut actions);
    actions
}

fn fresh(millis: u64) -> [Signs; 2] {
    let now = Moment::from_millis(millis);
    [Signs { heard: now, sent: now, listening: true }; 2]
}

fn tick(millis: u64) -> PairEvent {
    PairEvent::Tick { signs: fresh(millis) }
}

fn arrived(lane: Lane, incarnation: u64, session: u64) -> PairEvent {
    PairEvent::Arrived { lane, incarnation, session }
}

fn up_acceptor(incarnation: u64, session: u64) -> Pair {
    let mut pair = pair(Side::Acceptor);
    step(&mut pair, 1, arrived(Lane::Control, incarnation, session));
    let actions = step(&mut pair, 2, arrived(Lane::Data, incarnation, session));
    assert_eq!(actions, [PairAction::Admit { lane: Lane::Data }, PairAction::Up { incarnation, session }]);
    pair
}

fn up_dialer(incarnation: u64) -> Pair {
    let mut pair = pair(Side::Dialer);
    assert_eq!(step(&mut pair, 50, tick(50)), [PairAction::Dial { session: 1 }]);
    let actions = step(&mut pair, 60, PairEvent::Dialled { session: 1, incarnation });
    assert_eq!(actions, [PairAction::Up { incarnation, session: 1 }]);
    pair
}

#[test]
fn an_acceptor_is_up_when_both_connections_of_one_session_have_come() {
    up_acceptor(1, 1);
}

#[test]
fn a_dialer_is_up_when_its_dial_ends_well_and_dials_again_after_it_broke() {
    let mut pair = up_dialer(3);
    assert_eq!(step(&mut pair, 70, PairEvent::Broken), [PairAction::Down { incarnation: 3 }]);
    assert_eq!(step(&mut pair, 70, PairEvent::Broken), [], "Down comes once");
    let again = pair.deadline(fresh(70)).0 / 1_000_000 + 1;
    assert_eq!(step(&mut pair, again, tick(again)), [PairAction::Dial { session: 2 }]);
}

#[test]
fn a_failed_dial_is_followed_by_another_and_a_late_answer_to_the_first_is_nothing() {
    let mut pair = pair(Side::Dialer);
    step(&mut pair, 50, tick(50));
    assert_eq!(step(&mut pair, 60, PairEvent::DialFailed { session: 1 }), []);
    assert_eq!(step(&mut pair, 200, tick(200)), [PairAction::Dial { session: 2 }]);
    assert_eq!(step(&mut pair, 201, PairEvent::Dialled { session: 1, incarnation: 1 }), []);
}

#[test]
fn hellos_that_do_not_fit_are_refused_with_their_word() {
    let cases: [(Side, PairEvent, &str); 6] = [
        (Side::Dialer, arrived(Lane::Control, 2, 2), word::WRONG_SIDE),
        (Side::Acceptor, arrived(Lane::Control, 1, 9), word::OLD_INCARNATION),
        (Side::Acceptor, arrived(Lane::Control, 2, 4), word::OLD_SESSION),
        (Side::Acceptor, arrived(Lane::Control, 2, 5), word::OLD_SESSION),
        (Side::Acceptor, arrived(Lane::Data, 2, 6), word::LANE),
        (Side::Acceptor, arrived(Lane::Data, 2, 5), word::LANE),
    ];
    for (side, event, why) in cases {
        let mut pair = if side == Side::Dialer { up_dialer(2) } else { up_acceptor(2, 5) };
        assert_eq!(step(&mut pair, 100, event), [PairAction::Refuse { why }], "{event:?}");
    }
}

#[test]
fn a_later_session_or_incarnation_replaces_the_old_pair() {
    for (incarnation, session) in [(2, 6), (3, 1)] {
        let mut pair = up_acceptor(2, 5);
        let actions = step(&mut pair, 100, arrived(Lane::Control, incarnation, session));
        assert_eq!(actions, [PairAction::Down { incarnation: 2 }, PairAction::Admit { lane: Lane::Control }]);
        let actions = step(&mut pair, 101, arrived(Lane::Data, incarnation, session));
        assert_eq!(actions, [PairAction::Admit { lane: Lane::Data }, PairAction::Up { incarnation, session }]);
    }
}

#[test]
fn a_dialer_refuses_an_older_life_of_its_peer() {
    let mut pair = up_dialer(3);
    step(&mut pair, 70, PairEvent::Broken);
    step(&mut pair, 200, tick(200));
    let actions = step(&mut pair, 210, PairEvent::Dialled { session: 2, incarnation: 2 });
    assert_eq!(actions, [PairAction::Refuse { why: word::OLD_INCARNATION }]);
}

#[test]
fn half_a_pair_is_dropped_at_its_deadline() {
    let mut pair = pair(Side::Acceptor);
    assert_eq!(step(&mut pair, 10, arrived(Lane::Control, 1, 1)), [PairAction::Admit { lane: Lane::Control }]);
    assert_eq!(step(&mut pair, 209, tick(209)), []);
    assert_eq!(step(&mut pair, 210, tick(210)), [PairAction::DropHalf]);
    assert_eq!(step(&mut pair, 220, arrived(Lane::Data, 1, 1)), [PairAction::Refuse { why: word::LANE }]);
}

#[test]
fn silence_on_one_connection_ends_both() {
    let mut pair = up_acceptor(1, 1);
    let mut signs = fresh(500);
    signs[1].heard = Moment::from_millis(100);
    pair.deadline(signs);
    assert_eq!(step(&mut pair, 500, PairEvent::Tick { signs }), [PairAction::Down { incarnation: 1 }]);
}

#[test]
fn a_tick_that_comes_much_too_late_asks_before_it_accuses() {
    let mut pair = up_acceptor(1, 1);
    let old = fresh(2);
    assert_eq!(pair.deadline(old), Moment::from_millis(102));
    let ask = [PairAction::Ask { lane: Lane::Control }, PairAction::Ask { lane: Lane::Data }];
    assert_eq!(step(&mut pair, 9000, PairEvent::Tick { signs: old }), ask);
    let limit = pair.deadline([Signs { sent: Moment::from_millis(9199), ..old[0] }; 2]);
    assert_eq!(limit, Moment::from_millis(9200));
    assert_eq!(step(&mut pair, 9200, PairEvent::Tick { signs: old }), [PairAction::Down { incarnation: 1 }]);
}

fn any_event() -> impl Strategy<Value = PairEvent> {
    let lane = prop_oneof![Just(Lane::Control), Just(Lane::Data)];
    prop_oneof![
        (0u64..3000, 0u64..3000).prop_map(|(heard, sent)| {
            let signs = Signs { heard: Moment::from_millis(heard), sent: Moment::from_millis(sent), listening: true };
            PairEvent::Tick { signs: [signs; 2] }
        }),
        (0u64..5, 0u64..4).prop_map(|(session, incarnation)| PairEvent::Dialled { session, incarnation }),
        (0u64..5).prop_map(|session| PairEvent::DialFailed { session }),
        (lane, 0u64..4, 0u64..4).prop_map(|(lane, incarnation, session)| arrived(lane, incarnation, session)),
        Just(PairEvent::Broken),
    ]
}

proptest! {
    #[test]
    fn down_comes_once_for_each_up_and_lives_never_go_back(
        dialer in any::<bool>(),
        events in proptest::collection::vec((0u64..120, any_event()), 0..60),
    ) {
        let mut pair = pair(if dialer { Side::Dialer } else { Side::Acceptor });
        let (mut now, mut up, mut latest) = (0, None, 0);
        for (wait, event) in events {
            now += wait;
            for action in step(&mut pair, now, event) {
                match action {
                    PairAction::Up { incarnation, .. } => {
                        prop_assert_eq!(up, None);
                        prop_assert!(incarnation >= latest);
                        (up, latest) = (Some(incarnation), incarnation);
                    }
                    PairAction::Down { incarnation } => prop_assert_eq!(up.take(), Some(incarnation)),
                    PairAction::Show { .. } | PairAction::Ask { .. } => prop_assert!(up.is_some()),
                    PairAction::Dial { .. } | PairAction::Admit { .. } => prop_assert_eq!(up, None),
                    PairAction::Refuse { .. } | PairAction::DropHalf => {}
                }
            }
        }
    }
}
