//! Jobs of the suite's own: shapes of queries that no built-in job has, and that an engine may refuse.

use dstream_cluster::JobError;
use dstream_kernel::{Query, QueryBuilder};
use dstream_scenarios::oracle::{Expected, Oracle, words};
use dstream_scenarios::workload::{ParamSpec, Params, Workload};
use std::collections::BTreeMap;
use std::time::Duration;

/// Lines of at least so many bytes count as long: about half of the generated ones.
const LONG_BYTES: usize = 99;

/// Lines as they come, without a shuffle.
pub(super) struct LongLines;

/// Two outputs, each behind a shuffle of its own.
pub(super) struct WordsAndInitials;

fn built(builder: QueryBuilder) -> Result<Query, JobError> {
    builder.build().map_err(|error| JobError(error.to_string()))
}

fn initial(line: &str) -> String {
    line.chars().take(1).collect()
}

impl Workload for LongLines {
    fn name(&self) -> &'static str {
        "long-lines"
    }

    fn about(&self) -> &'static str {
        "long lines as they come; output `long`: line, length"
    }

    fn params(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    fn query(&self, _params: &Params, _interval: Duration) -> Result<Query, JobError> {
        let builder = QueryBuilder::new();
        let long = builder.lines().filter(|line| line.len() >= LONG_BYTES);
        long.map::<(String, u64)>(|line| (line, line.len() as u64)).output("long");
        built(builder)
    }

    fn oracle(&self, _params: &Params, _interval: Duration) -> Result<Box<dyn Oracle>, JobError> {
        let rows = |line: &str| vec![("long", line.to_owned(), line.len() as u64)];
        Ok(Box::new(Tally {
            rows: Box::new(move |line| if line.len() >= LONG_BYTES { rows(line) } else { Vec::new() }),
            outputs: &["long"],
            open: BTreeMap::new(),
        }))
    }
}

impl Workload for WordsAndInitials {
    fn name(&self) -> &'static str {
        "words-and-initials"
    }

    fn about(&self) -> &'static str {
        "counts words and first letters of lines; outputs `counts`: word, count, and `initials`: letter, lines"
    }

    fn params(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    fn query(&self, _params: &Params, _interval: Duration) -> Result<Query, JobError> {
        let builder = QueryBuilder::new();
        let lines = builder.lines();
        lines.words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b).output("counts");
        let initials = lines.map_owned::<(String, u64)>(|line| (initial(line), 1));
        initials.reduce_by_key(|a, b| a + b).output("initials");
        built(builder)
    }

    fn oracle(&self, _params: &Params, _interval: Duration) -> Result<Box<dyn Oracle>, JobError> {
        let rows = |line: &str| {
            let words = words(line.as_bytes()).map(|word| ("counts", String::from_utf8_lossy(word).into_owned(), 1));
            words.chain([("initials", initial(line), 1)]).collect()
        };
        Ok(Box::new(Tally { rows: Box::new(rows), outputs: &["counts", "initials"], open: BTreeMap::new() }))
    }
}

/// Output, key, what is added to its value.
type Row = (&'static str, String, u64);

/// What a line adds.
type RowsOf = Box<dyn Fn(&str) -> Vec<Row> + Send>;

/// Sums by output and key, interval by interval.
struct Tally {
    rows: RowsOf,
    outputs: &'static [&'static str],
    /// interval -> (output, key) -> sum
    open: BTreeMap<u64, BTreeMap<(&'static str, String), u64>>,
}

impl Oracle for Tally {
    fn line(&mut self, interval: u64, line: &[u8]) {
        let sums = self.open.entry(interval).or_default();
        for (output, key, value) in (self.rows)(&String::from_utf8_lossy(line)) {
            *sums.entry((output, key)).or_default() += value;
        }
    }

    fn finish(&mut self, interval: u64) -> Expected {
        let mut expected: Expected =
            self.outputs.iter().map(|output| ((*output).to_owned(), BTreeMap::new())).collect();
        for ((output, key), sum) in self.open.remove(&interval).unwrap_or_default() {
            expected.entry(output.to_owned()).or_default().insert(key, sum.to_string());
        }
        expected
    }
}
