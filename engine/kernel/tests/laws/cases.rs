//! The programs that are held to the laws, each with a reference that computes the same without the kernel.

use dstream_kernel::{DStream, Query, QueryBuilder, Stage, StageEnd, StageInput, Window};
use std::collections::BTreeMap;
use std::num::NonZeroU64;

pub type Row = (String, String);

/// Repetitions of a word, at most: rows that no combine wrote may say any number. For the same reason sums wrap.
const LONGEST: u64 = 1000;

/// A program and what it should compute.
pub struct Case {
    pub name: &'static str,
    pub query: Query,
    /// Whether each output is behind a shuffle.
    pub shuffles: bool,
    expected: fn(&[String]) -> Vec<Row>,
}

impl Case {
    /// All rows of all outputs, as `rendered` gives them. Every output of a program has the same rows.
    pub fn reference(&self, lines: &[String]) -> Vec<(String, String, String)> {
        let rows = (self.expected)(lines);
        let of_output = |name: &String| rows.iter().map(move |(k, v)| (name.clone(), k.clone(), v.clone())).collect();
        let mut all: Vec<_> = self.query.outputs.iter().flat_map(|o| -> Vec<_> { of_output(&o.name) }).collect();
        all.sort();
        all
    }

    pub fn stages_on_lines(&self) -> impl Iterator<Item = &Stage> {
        self.query.stages.iter().filter(|stage| stage.input == StageInput::Lines)
    }
}

fn case(name: &'static str, program: fn(DStream<String>), expected: fn(&[String]) -> Vec<Row>) -> Case {
    let builder = QueryBuilder::new();
    program(builder.lines());
    let query = builder.build().expect("the case is a whole program");
    let ends_in_shuffle = |stage: &Stage| matches!(stage.end, StageEnd::Shuffle(_));
    let shuffles = query.stages.iter().all(|stage| stage.input != StageInput::Lines || ends_in_shuffle(stage));
    Case { name, query, shuffles, expected }
}

pub fn cases() -> Vec<Case> {
    let mut all = narrow();
    all.extend(keyed());
    all.extend(windowed());
    all
}

fn narrow() -> Vec<Case> {
    vec![
        case("no operator", |lines| lines.output("o"), |lines| single(lines.iter())),
        case(
            "map",
            |lines| lines.map::<(u64, String)>(|line| (line.len() as u64, line)).output("o"),
            |lines| lines.iter().map(|line| (line.len().to_string(), line.clone())).collect(),
        ),
        case(
            "map_owned",
            |lines| lines.map_owned::<String>(|line| line.to_uppercase()).output("o"),
            |lines| single(lines.iter().map(|line| line.to_uppercase())),
        ),
        case(
            "filter",
            |lines| lines.filter(|line| line.len() % 2 == 0).output("o"),
            |lines| single(lines.iter().filter(|line| line.len() % 2 == 0)),
        ),
        case(
            "flat_map",
            |lines| lines.flat_map::<String>(|line, out| out.extend(line.split('a'))).output("o"),
            |lines| single(lines.iter().flat_map(|line| line.split('a'))),
        ),
        case(
            "flat_map with computed strings",
            |lines| {
                let twice = lines.flat_map::<(String, u64)>(|line, out| {
                    out.emit((out.arena.str(&line.replace('a', "aa")), 1));
                    out.emit_owned((line.replace('a', ""), 2));
                });
                twice.output("o")
            },
            |lines| {
                let both = |line: &String| [(line.replace('a', "aa"), text(1)), (line.replace('a', ""), text(2))];
                lines.iter().flat_map(both).collect()
            },
        ),
        case("words", |lines| lines.words().output("o"), |lines| single(words(lines).iter())),
        case(
            "words of records",
            |lines| lines.filter(|_| true).words().output("o"),
            |lines| single(words(lines).iter()),
        ),
        case("grep", |lines| lines.grep("ab").output("o"), |lines| single(having(lines, "ab"))),
        case(
            "grep of records",
            |lines| lines.words().grep("ab").output("o"),
            |lines| single(words(lines).into_iter().filter(|word| word.contains("ab"))),
        ),
        case("grep for nothing", |lines| lines.grep("").output("o"), |lines| single(lines.iter())),
        case("grep across lines", |lines| lines.grep("a\n").output("o"), |_| Vec::new()),
        case(
            "words of grep",
            |lines| lines.grep("b").words().output("o"),
            |lines| single(having(lines, "b").flat_map(|line| words(std::slice::from_ref(line)))),
        ),
        case(
            "two consumers",
            |lines| {
                let words = lines.words();
                words.output("one");
                words.output("two");
            },
            |lines| single(words(lines).iter()),
        ),
    ]
}

fn keyed() -> Vec<Case> {
    vec![
        case("word count", |lines| counts(&lines).output("o"), |lines| shown(count(words(lines)))),
        case(
            "reduce to strings",
            |lines| {
                let by_start = lines.words().map::<(bool, String)>(|word| (word.starts_with('a'), word));
                by_start.reduce_by_key(|one, other| one.max(other).to_owned()).output("o")
            },
            |lines| {
                let mut greatest = BTreeMap::new();
                for word in words(lines) {
                    let entry = greatest.entry(word.starts_with('a')).or_insert_with(|| word.clone());
                    *entry = word.max(entry.clone());
                }
                shown(greatest)
            },
        ),
        case(
            "keys of several parts",
            |lines| {
                let keyed = lines.words().map::<((String, u32), (i64, u64))>(|word| {
                    let length = word.len() as i64;
                    ((word, word.len() as u32), (-length, 1))
                });
                keyed.reduce_by_key(|a, b| (a.0.wrapping_add(b.0), a.1.wrapping_add(b.1))).output("o")
            },
            |lines| {
                let row = |(word, n): (String, u64)| {
                    let length = word.len() as i64;
                    (format!("({word}, {length})"), format!("({}, {n})", -length * n as i64))
                };
                count(words(lines)).into_iter().map(row).collect()
            },
        ),
        case(
            "a shuffle after a shuffle",
            |lines| counts(&lines).map::<(u64, u64)>(|(_, n)| (n, 1)).reduce_by_key(u64::wrapping_add).output("o"),
            |lines| shown(count(count(words(lines)).into_values())),
        ),
        case(
            "operators after a shuffle",
            |lines| {
                let often = counts(&lines).filter(|(_, n)| n > 1);
                often
                    .flat_map::<String>(|(word, n), out| out.emit(out.arena.str(&word.repeat(n.min(LONGEST) as usize))))
                    .output("o")
            },
            |lines| {
                let often = count(words(lines)).into_iter().filter(|(_, n)| *n > 1);
                single(often.map(|(word, n)| word.repeat(n.min(LONGEST) as usize)))
            },
        ),
        case(
            "two consumers of a shuffle",
            |lines| {
                let counts = counts(&lines);
                counts.output("one");
                counts.filter(|_| true).output("two");
                counts.map::<(String, u64)>(|pair| pair).reduce_by_key(u64::wrapping_add).output("three");
            },
            |lines| shown(count(words(lines))),
        ),
    ]
}

/// In interval 0 a window holds that interval alone; later ones are the matter of `windows`.
fn windowed() -> Vec<Case> {
    let plain = |lines: &[String]| shown(count(words(lines)));
    vec![
        case("a window", |lines| ones(&lines).reduce_by_key_and_window(u64::wrapping_add, by(3, 1)).output("o"), plain),
        case(
            "an invertible window",
            |lines| {
                let ones = ones(&lines);
                let add = u64::wrapping_add;
                ones.reduce_by_key_and_window_invertible(add, u64::wrapping_sub, |_| true, by(3, 1)).output("o");
            },
            plain,
        ),
        case(
            "from the start",
            |lines| ones(&lines).running_reduce_by_key(u64::wrapping_add, NonZeroU64::MIN).output("o"),
            plain,
        ),
        case(
            "a state",
            |lines| {
                let sum = |counts: &[u64]| counts.iter().copied().fold(0, u64::wrapping_add);
                ones(&lines).update_state_by_key::<u64>(move |_, counts, _| Some(sum(counts))).output("o");
            },
            plain,
        ),
        case(
            "track",
            |lines| {
                let (ones, two) = (ones(&lines), NonZeroU64::new(2));
                ones.track::<u64>(|_, one| one, |_, count, one| Some(count.wrapping_add(one)), two).output("o");
            },
            plain,
        ),
        case(
            "map with state",
            |lines| {
                let told = ones(&lines).map_with_state::<u64, (String, u64)>(None, |word, touched, before, out| {
                    let count = touched.values().iter().copied().fold(before.unwrap_or(0), u64::wrapping_add);
                    out.emit((word, count));
                    Some(count)
                });
                told.output("o");
            },
            plain,
        ),
        case(
            "a count",
            |lines| lines.words().count_by_window(by(3, 1)).output("o"),
            |lines| single(std::iter::once(words(lines).len())),
        ),
        case(
            "the most frequent",
            |lines| counts(&lines).top_k(2).output("o"),
            |lines| {
                let mut counts: Vec<(String, u64)> = count(words(lines)).into_iter().collect();
                counts.sort_by(|(word, n), (other, m)| m.cmp(n).then_with(|| word.cmp(other)));
                counts.into_iter().take(2).map(|(word, n)| (word, text(n))).collect()
            },
        ),
    ]
}

/// So many intervals with a result every so many.
pub fn by(length: u64, slide: u64) -> Window {
    let slide = NonZeroU64::new(slide).expect("a window slides by at least one interval");
    Window::of(length).expect("a window has at least one interval").sliding_by(slide)
}

pub fn ones(lines: &DStream<String>) -> DStream<(String, u64)> {
    lines.words().map::<(String, u64)>(|word| (word, 1))
}

fn counts(lines: &DStream<String>) -> DStream<(String, u64)> {
    ones(lines).reduce_by_key(u64::wrapping_add)
}

pub fn text(value: impl ToString) -> String {
    value.to_string()
}

pub fn single(records: impl Iterator<Item = impl ToString> + Sized) -> Vec<Row> {
    records.map(|record| (record.to_string(), String::new())).collect()
}

pub fn shown(rows: BTreeMap<impl ToString, impl ToString>) -> Vec<Row> {
    rows.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

pub fn count<K: Ord>(keys: impl IntoIterator<Item = K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    keys.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

pub fn words(lines: &[String]) -> Vec<String> {
    let is_separator = |letter: char| matches!(letter, '\t'..='\r' | ' ');
    lines.iter().flat_map(|line| line.split(is_separator)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn having<'a>(lines: &'a [String], literal: &'static str) -> impl Iterator<Item = &'a String> {
    lines.iter().filter(move |line| line.contains(literal))
}
