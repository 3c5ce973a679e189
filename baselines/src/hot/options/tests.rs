//! What hot replication's options mean.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use super::*;

fn settings(options: &[(&str, OptionValue)]) -> Settings {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Settings::from_options(&options)
}

fn word(word: &str) -> OptionValue {
    OptionValue::Choice(word.to_owned())
}

/// Sets options; compares the protocol of four workers, as it differs from the default one.
fn check(options: &[(&str, OptionValue)], change: impl FnOnce(&mut Protocol)) {
    let mut expected = settings(&[]).protocol(4);
    change(&mut expected);
    assert_eq!(settings(options).protocol(4), expected);
}

#[test]
fn what_is_not_said_is_as_declared() {
    let expected = Settings {
        is_synchronous: true,
        replicas: 2,
        standbys: 1,
        chunk: 1,
        buffer: Duration::from_millis(10),
        straggler: None,
        tentative: None,
        copies: 2,
    };
    assert_eq!(settings(&[]), expected);
    let declared: Options = declared().into_iter().map(|option| (option.name.to_owned(), option.default)).collect();
    assert_eq!(Settings::from_options(&declared), expected);
}

#[test]
fn by_default_two_hosts_agree_on_the_order_and_one_is_heard() {
    let Protocol { heirs, rules, redundancy, chunk, straggler } = settings(&[]).protocol(4);
    assert_eq!((heirs, chunk, straggler), (Heirs { replicas: 4, standbys: 1 }, 1, None));
    assert_eq!((rules.checkpoint_intervals, rules.replays, rules.is_single), (None, false, true));
    assert!(!rules.reads_all && rules.is_ordered && rules.only_leader_hands_in);
    let (heir, border) = (Heir::IdleElseMany, Border::Closed);
    assert_eq!(redundancy, Redundancy { workers: 4, hosts: 2, copies: 2, standbys: 1, heir, border });
}

#[test]
fn each_option_changes_its_own_part() {
    check(&[("order", word("sync"))], |_| ());
    check(&[("order", word("first-wins"))], |protocol| {
        let rules = &mut protocol.rules;
        (rules.reads_all, rules.is_ordered, rules.only_leader_hands_in) = (true, false, false);
    });
    check(&[("replicas", OptionValue::Count(1))], |protocol| {
        (protocol.redundancy.hosts, protocol.heirs.replicas) = (1, 0);
    });
    check(&[("copies", OptionValue::Count(1))], |protocol| protocol.redundancy.copies = 1);
    check(&[("standbys", OptionValue::Count(0))], |protocol| {
        (protocol.redundancy.standbys, protocol.heirs.standbys) = (0, 0);
    });
    check(&[("chunk", OptionValue::Count(64))], |protocol| {
        (protocol.chunk, protocol.rules.is_single) = (64, false);
    });
    let length = OptionValue::Duration(Duration::from_millis(300));
    check(&[("buffer", length.clone())], |protocol| protocol.rules.buffer = Duration::from_millis(300));
    check(&[("straggler", length)], |protocol| protocol.straggler = Some(Duration::from_millis(300)));
}
