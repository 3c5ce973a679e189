//! How programs are cut into stages, which ones are refused, and when two have the same fingerprint.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use dstream_kernel::{BuildError, QueryBuilder};

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
    let programs: [fn(&QueryBuilder); 8] = [
        |b| b.lines().output("o"),
        |b| b.lines().output("p"),
        |b| b.lines().words().output("o"),
        |b| b.lines().grep("a").output("o"),
        |b| b.lines().grep("b").output("o"),
        |b| b.lines().map::<(String, u64)>(|line| (line, 1)).output("o"),
        |b| b.lines().map::<(String, u32)>(|line| (line, 1)).output("o"),
        |b| b.lines().map::<(String, u64)>(|line| (line, 1)).reduce_by_key(|a, b| a + b).output("o"),
    ];
    let mut all: Vec<u64> = programs.iter().map(|program| fingerprint(*program)).collect();
    let again: Vec<u64> = programs.iter().map(|program| fingerprint(*program)).collect();
    assert_eq!(all, again);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), programs.len());
}
