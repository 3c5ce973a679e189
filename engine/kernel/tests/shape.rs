//! How programs are cut into stages, which ones are refused, and when two have the same fingerprint.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use dstream_kernel::{BuildError, DStream, QueryBuilder, Width, Window};
use std::num::NonZeroU64;

fn check_stages(program: fn(&QueryBuilder), expected: &[&str]) {
    let builder = QueryBuilder::new();
    program(&builder);
    let query = builder.build().unwrap();
    let stages: Vec<String> = query.stages.iter().map(|stage| format!("{stage:?}")).collect();
    assert_eq!(stages, expected);
    for (stage, number) in query.stages.iter().zip(0..) {
        assert_eq!(stage.id.0, number);
    }
    for (output, number) in query.outputs.iter().zip(0..) {
        assert_eq!(output.id.0, number);
    }
}

fn check_refused(outputs: &[&str], expected: BuildError) {
    let builder = QueryBuilder::new();
    outputs.iter().for_each(|name| builder.lines().output(name));
    assert_eq!(builder.build().err(), Some(expected));
}

fn fingerprint(program: fn(&QueryBuilder)) -> u64 {
    let builder = QueryBuilder::new();
    program(&builder);
    builder.build().unwrap().fingerprint
}

#[test]
fn stages_are_cut_at_shuffles_in_topological_order() {
    check_stages(|b| b.lines().output("o"), &["0: Lines > lines > Output(OutputId(0))"]);
    check_stages(
        |b| b.lines().words().map::<(String, u64)>(|w| (w, 1)).reduce_by_key(|a, b| a + b).output("o"),
        &[
            "0: Lines > lines > words > map > combine > Shuffle(ShuffleId(0))",
            "1: Shuffle(ShuffleId(0)) > reduce > Output(OutputId(0))",
        ],
    );
}

#[test]
fn a_shuffle_is_written_once_for_all_its_readers() {
    check_stages(
        |b| {
            let unused = b.lines().map::<(String, u64)>(|line| (line, 1)).reduce_by_key(|a, b| a + b);
            drop(unused);
            let counts = b.lines().grep("x").map::<(String, u64)>(|line| (line, 1)).reduce_by_key(|a, b| a + b);
            counts.map::<(u64, u64)>(|(_, n)| (n, 1)).reduce_by_key(|a, b| a + b).output("histogram");
            counts.output("counts");
            b.lines().filter(|line| !line.is_empty()).output("lines");
        },
        &[
            "0: Lines > lines > grep \"x\" > map > combine > Shuffle(ShuffleId(0))",
            "1: Shuffle(ShuffleId(0)) > reduce > map > combine > Shuffle(ShuffleId(1))",
            "2: Shuffle(ShuffleId(1)) > reduce > Output(OutputId(0))",
            "3: Shuffle(ShuffleId(0)) > reduce > Output(OutputId(1))",
            "4: Lines > lines > filter > Output(OutputId(2))",
        ],
    );
}

fn by(length: u64, slide: u64) -> Window {
    Window::of(length).unwrap().sliding_by(NonZeroU64::new(slide).unwrap())
}

fn ones(builder: &QueryBuilder) -> DStream<(String, u64)> {
    builder.lines().words().map::<(String, u64)>(|word| (word, 1))
}

fn sums(builder: &QueryBuilder, window: Window) -> DStream<(String, u64)> {
    ones(builder).reduce_by_key_and_window(u64::wrapping_add, window)
}

fn differences(builder: &QueryBuilder, window: Window) -> DStream<(String, u64)> {
    let ones = ones(builder);
    ones.reduce_by_key_and_window_invertible(u64::wrapping_add, u64::wrapping_sub, |count| count > 0, window)
}

/// The stage that makes the output: its label, what it keeps, whether it is one partition, how often it is due.
fn check_kept(program: fn(&QueryBuilder), expected: &str) {
    let builder = QueryBuilder::new();
    program(&builder);
    let query = builder.build().unwrap();
    let stage = query.stages.last().unwrap();
    let kept: Vec<String> = stage.kept.iter().map(|kept| format!(", {} {:?}", kept.label, kept.back)).collect();
    let width = if stage.width == Width::One { ", one partition" } else { "" };
    let seen = format!("{}{}{width}, every {}", stage.label, kept.concat(), query.outputs[0].every);
    assert_eq!(seen, expected);
}

#[test]
fn stages_keep_what_their_window_needs_and_no_more() {
    check_kept(|b| sums(b, by(1, 1)).output("o"), "window 1 by 1, every 1");
    check_kept(|b| sums(b, by(5, 1)).output("o"), "window 5 by 1, values 1..=4, every 1");
    check_kept(|b| differences(b, by(1, 2)).output("o"), "invertible window 1 by 2, every 2");
    check_kept(
        |b| differences(b, by(5, 3)).output("o"),
        "invertible window 5 by 3, values 5..=5, window 1..=1, every 3",
    );
    let running = |b: &QueryBuilder| ones(b).running_reduce_by_key(u64::wrapping_add, NonZeroU64::MIN).output("o");
    check_kept(running, "running by 1, state 1..=1, every 1");
    let state = |b: &QueryBuilder| ones(b).update_state_by_key::<u64>(|_, _, before| before).output("o");
    check_kept(state, "state of u64, state 1..=1, every 1");
    let track = |b: &QueryBuilder| ones(b).track::<u64>(|_, one| one, |_, _, _| None, NonZeroU64::new(5)).output("o");
    check_kept(track, "track u64 for 5, state 1..=1, every 1");
    check_kept(
        |b| ones(b).map_with_state::<u64, (String, u64)>(None, |_, _, before, _| before).output("o"),
        "map with state of u64, state 1..=1, every 1",
    );
    check_kept(
        |b| b.lines().count_by_window(by(5, 3)).output("o"),
        "count 5 by 3, values 5..=5, window 1..=1, one partition, every 3",
    );
    check_kept(|b| sums(b, by(5, 3)).top_k(2).output("o"), "top 2, one partition, every 3");
}

#[test]
fn windows_over_streams_that_slide_take_whole_numbers_of_their_results() {
    let program = |inner: Window, outer: Window| {
        let builder = QueryBuilder::new();
        let over = |stream: DStream<(String, u64)>| stream.reduce_by_key_and_window(u64::wrapping_add, outer);
        over(sums(&builder, inner)).filter(|_| true).output("o");
        builder.build().map(|query| query.outputs[0].every)
    };
    let refused = |operator: &str, every: u64| {
        let every = NonZeroU64::new(every).unwrap();
        Err(BuildError::BadSlide { operator: operator.to_owned(), every })
    };
    assert_eq!(program(by(3, 1), by(2, 1)), Ok(1));
    assert_eq!(program(by(3, 2), by(4, 6)), Ok(6));
    assert_eq!(program(by(3, 2), by(4, 1)), refused("window 4 by 1", 2));
    assert_eq!(program(by(3, 2), by(3, 2)), refused("window 3 by 2", 2));
    let error = program(by(3, 2), by(3, 2)).unwrap_err().to_string();
    assert!(
        error.ends_with("has a result every 2 intervals: length and slide must be whole multiples of 2"),
        "{error}"
    );
}

#[test]
fn programs_without_a_place_for_their_results_are_refused() {
    check_refused(&[], BuildError::NoOutput);
    check_refused(&["a", "b", "a"], BuildError::NameTaken("a".to_owned()));
    for name in ["", "../up", "a b", "é"] {
        check_refused(&[name], BuildError::BadName(name.to_owned()));
    }
}

#[test]
fn fingerprints_tell_programs_apart_by_shape_names_and_types() {
    let programs: [fn(&QueryBuilder); 20] = [
        |b| b.lines().output("o"),
        |b| b.lines().output("p"),
        |b| b.lines().words().output("o"),
        |b| b.lines().grep("a").output("o"),
        |b| b.lines().grep("b").output("o"),
        |b| b.lines().map::<(String, u64)>(|line| (line, 1)).output("o"),
        |b| b.lines().map::<(String, u32)>(|line| (line, 1)).output("o"),
        |b| b.lines().map::<(String, u64)>(|line| (line, 1)).reduce_by_key(|a, b| a + b).output("o"),
        |b| sums(b, by(2, 1)).output("o"),
        |b| sums(b, by(3, 1)).output("o"),
        |b| sums(b, by(3, 3)).output("o"),
        |b| differences(b, by(3, 3)).output("o"),
        |b| ones(b).running_reduce_by_key(u64::wrapping_add, NonZeroU64::MIN).output("o"),
        |b| ones(b).update_state_by_key::<u64>(|_, _, before| before).output("o"),
        |b| ones(b).update_state_by_key::<u32>(|_, _, before| before).output("o"),
        |b| ones(b).track::<u64>(|_, one| one, |_, count, _| Some(count), None).output("o"),
        |b| ones(b).track::<u64>(|_, one| one, |_, count, _| Some(count), NonZeroU64::new(5)).output("o"),
        |b| ones(b).map_with_state::<u64, (String, u64)>(None, |_, _, before, _| before).output("o"),
        |b| sums(b, by(2, 1)).top_k(2).output("o"),
        |b| sums(b, by(2, 1)).top_k(3).output("o"),
    ];
    let mut all: Vec<u64> = programs.iter().map(|program| fingerprint(*program)).collect();
    let again: Vec<u64> = programs.iter().map(|program| fingerprint(*program)).collect();
    assert_eq!(all, again);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), programs.len());
}

/// The reach of the last stage.
fn check_reach(program: fn(DStream<(String, u64)>), expected: Option<u64>) {
    let builder = QueryBuilder::new();
    program(builder.lines().map::<(String, u64)>(|line| (line, 1)));
    assert_eq!(builder.build().unwrap().stages.last().unwrap().reach, expected);
}

#[test]
fn the_reach_of_a_stage_is_how_far_back_a_result_of_it_goes() {
    check_reach(|pairs| pairs.output("o"), Some(0));
    check_reach(|pairs| pairs.reduce_by_key(|a, b| a + b).output("o"), Some(0));
    check_reach(|pairs| pairs.reduce_by_key(|a, b| a + b).top_k(3).output("o"), Some(0));
    check_reach(|pairs| pairs.reduce_by_key_and_window(|a, b| a + b, four_by_two()).output("o"), Some(3));
    check_reach(|pairs| pairs.reduce_by_key_and_window(|a, b| a + b, Window::ONE).output("o"), Some(0));
    check_reach(
        |pairs| {
            let (add, subtract) = (u64::wrapping_add, u64::wrapping_sub);
            pairs.reduce_by_key_and_window_invertible(add, subtract, |n| n > 0, four_by_two()).output("o");
        },
        Some(3),
    );
    check_reach(|pairs| pairs.count_by_window(four_by_two()).output("o"), Some(3));
    check_reach(|pairs| pairs.running_count(NonZeroU64::MIN).output("o"), None);
    check_reach(|pairs| pairs.running_reduce_by_key(|a, b| a + b, NonZeroU64::MIN).output("o"), None);
    check_reach(|pairs| pairs.update_state_by_key::<u64>(|_, _, before| before).output("o"), None);
    check_reach(|pairs| pairs.track::<u64>(|_, one| one, |_, _, _| None, None).output("o"), None);
}

fn four_by_two() -> Window {
    Window::of(4).unwrap().sliding_by(NonZeroU64::new(2).unwrap())
}
