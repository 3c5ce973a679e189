//! What upstream backup's options mean.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use super::*;
use crate::options::refuse_buffer;

fn settings(options: &[(&str, OptionValue)]) -> Settings {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Settings::from_options(&options)
}

fn word(word: &str) -> OptionValue {
    OptionValue::Choice(word.to_owned())
}

/// Sets options; compares the protocol of four workers with intervals of a second, as it differs from the default one.
fn check(options: &[(&str, OptionValue)], change: impl FnOnce(&mut Protocol)) {
    let of = |settings: Settings| settings.protocol(4, Duration::from_secs(1));
    let mut expected = of(settings(&[]));
    change(&mut expected);
    assert_eq!(of(settings(options)), expected);
}

#[test]
fn what_is_not_said_is_as_declared() {
    let expected = Settings {
        checkpoint: Some(Duration::from_secs(10)),
        standbys: 1,
        is_parallel: false,
        chunk: 1,
        buffer: Duration::from_millis(10),
        straggler: None,
        copies: 2,
    };
    assert_eq!(settings(&[]), expected);
    let declared: Options = declared().into_iter().map(|option| (option.name.to_owned(), option.default)).collect();
    assert_eq!(Settings::from_options(&declared), expected);
}

#[test]
fn by_default_one_host_is_restored_from_the_store_by_one_heir() {
    let Protocol { heirs, rules, redundancy, chunk, straggler } = settings(&[]).protocol(4, Duration::from_secs(1));
    assert_eq!((heirs, chunk, straggler), (Heirs { replicas: 0, standbys: 1 }, 1, None));
    assert_eq!((rules.checkpoint_intervals, rules.replays, rules.is_single), (Some(10), false, true));
    assert!(!rules.reads_all && !rules.is_ordered && !rules.only_leader_hands_in);
    let (heir, border) = (Heir::One, Border::Saved { every: 10 });
    assert_eq!(redundancy, Redundancy { workers: 4, hosts: 1, copies: 2, standbys: 1, heir, border });
}

#[test]
fn a_checkpoint_is_a_number_of_intervals_and_without_one_heirs_replay() {
    let every = |millis| [("checkpoint", OptionValue::Duration(Duration::from_millis(millis)))];
    for (millis, intervals) in [(3000, 3), (2500, 3), (1, 1)] {
        check(&every(millis), |protocol| {
            protocol.rules.checkpoint_intervals = Some(intervals);
            protocol.redundancy.border = Border::Saved { every: intervals };
        });
    }
    check(&[("checkpoint", OptionValue::Off)], |protocol| {
        (protocol.rules.checkpoint_intervals, protocol.rules.replays) = (None, true);
        protocol.redundancy.border = Border::Replayed { reach: None };
    });
}

#[test]
fn each_option_changes_its_own_part() {
    check(&[("restore", word("parallel"))], |protocol| protocol.redundancy.heir = Heir::Many);
    check(&[("restore", word("serial"))], |_| ());
    check(&[("copies", OptionValue::Count(3))], |protocol| protocol.redundancy.copies = 3);
    check(&[("standbys", OptionValue::Count(2))], |protocol| {
        (protocol.redundancy.standbys, protocol.heirs.standbys) = (2, 2);
    });
    check(&[("chunk", OptionValue::Count(64))], |protocol| {
        (protocol.chunk, protocol.rules.is_single) = (64, false);
    });
    let length = OptionValue::Duration(Duration::from_millis(300));
    check(&[("buffer", length.clone())], |protocol| protocol.rules.buffer = Duration::from_millis(300));
    check(&[("straggler", length)], |protocol| protocol.straggler = Some(Duration::from_millis(300)));
}

#[test]
fn a_buffer_longer_than_an_interval_is_refused() {
    let refused = |millis| {
        let buffer = OptionValue::Duration(Duration::from_millis(millis));
        refuse_buffer(&Options::from([("buffer".to_owned(), buffer)]), declared())
    };
    assert_eq!(refused(1000), None);
    assert!(refused(1001).is_some_and(|why| why.contains("no longer than the interval")));
}
