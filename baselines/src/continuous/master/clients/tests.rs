//! Where a client's life ends when those who held its records are lost, too.

use super::*;
use Heard::{Acknowledged, Answers, Back, Down, LetGo, Over, Punctuated, Took};
use std::num::NonZeroU64;

const TIMEOUT: Duration = Duration::from_millis(500);

/// One record a batch, two sources in turn.
const CUT: Cut = Cut::Runs { records: NonZeroU64::MIN, sources: 2, period: Duration::from_millis(10) };

/// What the master hears of the only client; the only member has just begun, and holds nothing.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// It may count a source's records before this one as safe.
    Acknowledged(u32, u64),
    /// An operator of the member has a source's records before this one.
    Took(u32, u64),
    /// An interval ends before this record.
    Punctuated(u64, u64),
    /// Nobody asks for records of this interval or of one before.
    LetGo(u64),
    /// Its connection broke.
    Down,
    /// A failure timeout passes.
    Over,
    /// The member says that it has nothing, twice: when it is asked and when it has closed the client.
    Answers,
    /// It is connected in its second life.
    Back,
}

/// Which records before `ends` of which source are settled in the end, by source, and where intervals are known to end.
fn check(heard: &[Heard], sealed: &[(u32, u64)], ends: &[u64], punctuations: &[(u64, u64)]) {
    let gate = gate(heard, sealed);
    assert_eq!(gate.ends, ends, "{heard:?}");
    assert_eq!(gate.punctuations, punctuations.iter().copied().collect(), "{heard:?}");
}

/// What is decided in the end.
fn gate(heard: &[Heard], sealed: &[(u32, u64)]) -> Gate {
    gate_where(true, heard, sealed)
}

/// The same, where a client's later life may send otherwise.
fn gate_where(sends_alike: bool, heard: &[Heard], sealed: &[(u32, u64)]) -> Gate {
    let (_, said) = after(sends_alike, heard, sealed);
    let gates = said.iter().rev().filter_map(|said| match said {
        Said::Node(7, FromMaster::ClientIs { gate, .. }) => Some(gate),
        _ => None,
    });
    gates.clone().next().expect("it was decided").clone()
}

/// What the master knows in the end, and has said.
fn after(sends_alike: bool, heard: &[Heard], sealed: &[(u32, u64)]) -> (Clients, Vec<Said>) {
    let mut clients = Clients::new(1, 2, (CUT, sends_alike), TIMEOUT);
    let (mut now, mut said, mut taken) = (Moment::from_millis(1000), Vec::new(), Vec::new());
    let sealed: BTreeMap<u32, u64> = sealed.iter().copied().collect();
    clients.members([7].into_iter(), &mut said);
    clients.begin(Moment::ZERO);
    clients.up(1, 1, &mut said);
    for heard in heard {
        match *heard {
            Acknowledged(source, end) => clients.take_note(&[(1, source, end)], Punctuations::new()),
            Punctuated(interval, end) => {
                clients.take_note(&[], BTreeMap::from([(1, BTreeMap::from([(interval, end)]))]));
            }
            LetGo(interval) => clients.trim(interval),
            Took(source, end) => taken.push((source, end)),
            Down => clients.down(now, 1),
            Over => {
                now = now + TIMEOUT * 4;
                clients.tick(now, &mut said);
            }
            Answers => {
                for _ in 0..2 {
                    let round = clients.clients[&1].round;
                    let (upto, taken, punctuations) = (vec![(0, 0), (1, 0)], taken.clone(), BTreeMap::new());
                    let (epoch, client, is_connected, open_from) = (1, 1, false, 5);
                    let word = ToMaster::ClientHeld {
                        epoch,
                        client,
                        round,
                        is_connected,
                        upto,
                        taken,
                        open_from,
                        punctuations,
                    };
                    clients.word(now, 7, word, &sealed, &mut said);
                }
            }
            Back => clients.up(1, 2, &mut said),
        }
    }
    (clients, said)
}

#[test]
fn what_a_client_that_is_gone_may_have_counted_as_safe_is_part_of_its_life() {
    let (even, odd) = (CUT.source_of(1, 8), CUT.source_of(1, 9));
    let ends = |even_end: u64, odd_end: u64| if even < odd { [even_end, odd_end] } else { [odd_end, even_end] };
    let told = [Acknowledged(even, 9), Acknowledged(odd, 8)];
    let heard = |more: &[Heard]| [&told[..], &[Punctuated(0, 4), Punctuated(1, 20)], more].concat();
    // The next record of a source behind its last one is where it ends; what reaches further is not known to be whole.
    check(&heard(&[Down, Over, Answers]), &[], &ends(10, 9), &[(0, 4)]);
    // One that is here sends again what nobody has.
    check(&heard(&[Down, Back, Answers]), &[], &[0, 0], &[]);
    // Nobody had said more.
    check(&[Down, Over, Answers], &[], &[0, 0], &[]);
}

#[test]
fn an_interval_ends_where_a_client_that_is_gone_had_said_at_sources_to_which_all_before_came() {
    let (even, odd) = (CUT.source_of(1, 8), CUT.source_of(1, 9));
    let told = [Acknowledged(even, 9), Acknowledged(odd, 8), Punctuated(0, 4), Punctuated(1, 10), Punctuated(2, 11)];
    let heard = |more: &[Heard]| [&told[..], more].concat();
    let borders = |heard: &[Heard], interval| {
        let gate = gate(heard, &[]);
        [even, odd].map(|source| gate.border(source, interval))
    };
    let gone = heard(&[Down, Over, Answers]);
    assert_eq!(borders(&gone, 0), [None, None], "all know it as it is");
    assert_eq!(borders(&gone, 1), [Some(10), None], "record 9 never came");
    assert_eq!(borders(&gone, 2), [None, None]);
    assert_eq!(borders(&heard(&[Down, Back, Answers]), 1), [None, None], "it says it again");
    // What was settled stays, whoever returns.
    assert_eq!(borders(&heard(&[Down, Over, Answers, Back, Answers]), 1), [Some(10), None]);
}

#[test]
fn what_only_operators_have_a_client_that_is_here_sends_again_unless_it_may_come_otherwise() {
    let source = CUT.source_of(1, 8);
    let ends = |sends_alike, heard: &[Heard]| gate_where(sends_alike, heard, &[]).ends[source as usize];
    let took = [Took(source, 9)];
    let heard = |more: &[Heard]| [&took[..], more].concat();
    // Who held it is lost: the operator's copy alone keeps nothing for another one that begins anew.
    assert_eq!(ends(true, &heard(&[Down, Back, Answers])), 0);
    assert_eq!(ends(false, &heard(&[Down, Back, Answers])), 9);
    // What it had said of intervals before stands, if it goes for good before it says that anew.
    let (even, odd) = (CUT.source_of(1, 8), CUT.source_of(1, 9));
    let told = [Took(even, 10), Took(odd, 9), Punctuated(0, 4), Punctuated(1, 9)];
    let gone = [Down, Over, Answers];
    let [once, twice] = [&gone[..], &[&[Down, Back, Answers][..], &gone].concat()]
        .map(|rest| gate_where(true, &[&told[..], rest].concat(), &[]));
    assert_eq!((&once.ends, &once.punctuations), (&twice.ends, &twice.punctuations));
    assert_eq!(once.punctuations, BTreeMap::from([(0, 4), (1, 9)]));
    // Nobody sends it again, or intervals behind it may be closed.
    assert_eq!(ends(true, &heard(&[Down, Over, Answers])), 9);
    assert_eq!(ends(true, &heard(&[Down, Over, Answers, Back, Answers])), 9);
}

#[test]
fn what_is_sealed_and_held_by_nobody_a_client_that_is_here_sends_again() {
    let (even, odd) = (CUT.source_of(1, 8), CUT.source_of(1, 9));
    let (back, gone) = (&[Down, Back, Answers][..], &[Down, Over, Answers][..]);
    for (sends_alike, heard, expected) in [
        (true, vec![back], [0, 0]),
        // What nobody asks for any more it need not send.
        (true, vec![&[LetGo(0)], back], [4, 5]),
        // Of one that may send otherwise, and of one that is gone, what is in an interval stays there, whatever is missing;
        (false, vec![back], [8, 9]),
        (true, vec![gone], [8, 9]),
        (true, vec![gone, back], [8, 9]),
        // and if it goes before it has said again where that ends.
        (true, vec![back, gone], [8, 9]),
        (true, vec![back, gone, back], [8, 9]),
    ] {
        let heard = [&[Punctuated(0, 4), Punctuated(1, 8)][..], &heard.concat()].concat();
        let ends = gate_where(sends_alike, &heard, &[(even, 1), (odd, 1)]).ends;
        assert_eq!([even, odd].map(|source| ends[source as usize]), expected, "{sends_alike}, {heard:?}");
    }
}

#[test]
fn an_interval_is_held_when_all_before_its_end_is_here_or_settled() {
    let (even, odd) = (CUT.source_of(1, 8), CUT.source_of(1, 9));
    let ended = [Punctuated(0, 4), Punctuated(1, 8), Punctuated(3, 12)];
    let heard = |more: &[Heard]| [&ended[..], more].concat();
    for (heard, (even_end, odd_end), expected) in [
        (heard(&[]), (12, 13), Some(3)),
        (heard(&[]), (12, 11), Some(1)),
        (heard(&[]), (8, 99), Some(1)),
        (heard(&[]), (6, 99), Some(0)),
        (heard(&[]), (2, 99), None),
        (vec![], (99, 99), None),
        // Nobody waits for one that is gone; of one that is back what was before is settled.
        (heard(&[Down, Over, Answers]), (0, 0), Some(9)),
        (heard(&[Down, Over, Answers, Back, Answers]), (0, 0), Some(4)),
        (heard(&[Down, Back, Answers]), (0, 0), None),
        (heard(&[Took(even, 8), Took(odd, 9), Down, Over, Answers, Back, Answers, Punctuated(6, 8)]), (0, 0), Some(6)),
        (heard(&[Took(even, 8), Took(odd, 9), Down, Over, Answers, Back, Answers, Punctuated(6, 9)]), (0, 0), Some(4)),
    ] {
        let (clients, _) = after(true, &heard, &[]);
        let held = |source, _| if source == even { even_end } else { odd_end };
        assert_eq!(clients.held_through(0..=9, held), expected, "{heard:?}, {even_end}, {odd_end}");
    }
}

#[test]
fn an_answer_to_what_was_asked_before_the_client_is_closed_is_none_to_what_is_asked_then() {
    let mut clients = Clients::new(1, 2, (CUT, true), TIMEOUT);
    let (now, mut said, sealed) = (Moment::from_millis(1000), Vec::new(), BTreeMap::new());
    clients.members([7].into_iter(), &mut said);
    clients.up(1, 2, &mut said);
    let asked = |said: &[Said]| {
        let round = said.iter().rev().find_map(|said| match said {
            Said::Node(7, FromMaster::AskClient { round, .. } | FromMaster::CloseClient { round, .. }) => Some(*round),
            _ => None,
        });
        round.expect("it is asked about")
    };
    let answer = |round: u64| {
        let (upto, taken, punctuations) = (vec![(0, 0), (1, 0)], Vec::new(), BTreeMap::new());
        let (epoch, client, is_connected, open_from) = (1, 1, true, 5);
        ToMaster::ClientHeld { epoch, client, round, is_connected, upto, taken, open_from, punctuations }
    };
    let is_decided = |said: &[Said]| said.iter().any(|said| matches!(said, Said::Node(_, FromMaster::ClientIs { .. })));
    let first = asked(&said);
    // Its connection was new: it is asked again, and answers both.
    clients.welcome_back(7, &mut said);
    clients.word(now, 7, answer(first), &sealed, &mut said);
    clients.word(now, 7, answer(first), &sealed, &mut said);
    assert!(!is_decided(&said), "it may lack what others have");
    clients.word(now, 7, answer(asked(&said)), &sealed, &mut said);
    assert!(is_decided(&said));
}
