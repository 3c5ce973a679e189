//! word-count: how often each word occurs in an interval. Output `counts`: word, count.

use super::{OFF, ParamSpec, Params, Workload};
use crate::oracle::{Expected, Oracle, words};
use dstream_cluster::JobError;
use dstream_kernel::{Query, QueryBuilder};
use foldhash::fast::FixedState;
use std::collections::BTreeMap;

/// Counts words.
#[derive(Clone, Copy, Debug)]
pub struct WordCount;

impl Workload for WordCount {
    fn name(&self) -> &'static str {
        "word-count"
    }

    fn about(&self) -> &'static str {
        "counts words; output `counts`: word, count"
    }

    fn params(&self) -> Vec<ParamSpec> {
        vec![
            ParamSpec {
                name: "window",
                about: "a result covers so much time, or `all` from the start; off: one interval",
                default: OFF,
                unbuilt: true,
            },
            ParamSpec {
                name: "slide",
                about: "how far a window slides; off: one interval",
                default: OFF,
                unbuilt: true,
            },
        ]
    }

    fn query(&self, _params: &Params) -> Result<Query, JobError> {
        let builder = QueryBuilder::new();
        builder.lines().words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b).output("counts");
        builder.build().map_err(|error| JobError(error.to_string()))
    }

    fn oracle(&self, _params: &Params) -> Result<Box<dyn Oracle>, JobError> {
        Ok(Box::new(WordCountOracle::default()))
    }
}

/// word -> count. The hasher is fixed: equal runs take equal steps.
type Counts = hashbrown::HashMap<Vec<u8>, u64, FixedState>;

#[derive(Default)]
struct WordCountOracle {
    open: BTreeMap<u64, Counts>,
}

impl Oracle for WordCountOracle {
    fn line(&mut self, interval: u64, line: &[u8]) {
        let counts = self.open.entry(interval).or_default();
        for word in words(line) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.to_vec(), 1);
                }
            }
        }
    }

    fn finish(&mut self, interval: u64) -> Expected {
        let counts = self.open.remove(&interval).unwrap_or_default();
        let text = |word: Vec<u8>| String::from_utf8_lossy(&word).into_owned();
        let rows = counts.into_iter().map(|(word, count)| (text(word), count.to_string())).collect();
        Expected::from([("counts".to_owned(), rows)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[(u64, &str)], interval: u64, expected: &[(&str, &str)]) {
        let mut oracle = WordCount.oracle(&Params::new()).unwrap();
        for (interval, line) in lines {
            oracle.line(*interval, line.as_bytes());
        }
        let rows = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(oracle.finish(interval), Expected::from([("counts".to_owned(), rows)]));
    }

    #[test]
    fn words_are_counted_by_interval() {
        let lines = [(0, "a b a"), (1, "c"), (0, "  b\tä ")];
        check(&lines, 0, &[("a", "2"), ("b", "2"), ("ä", "1")]);
        check(&lines, 1, &[("c", "1")]);
        check(&lines, 2, &[]);
    }
}
