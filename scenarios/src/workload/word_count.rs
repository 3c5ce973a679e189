//! word-count: how often each word occurs in an interval, in a window, or from the start. Output `counts`: word, count.

use super::param::{Covers, ParamSpec};
use super::sliding::{Sliding, Tally, add};
use super::{Params, Workload};
use crate::oracle::{Expected, Oracle, words};
use dstream_cluster::JobError;
use dstream_kernel::{DStream, Query, QueryBuilder};
use std::time::Duration;

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
        ParamSpec::windows()
    }

    fn query(&self, params: &Params, interval: Duration) -> Result<Query, JobError> {
        let builder = QueryBuilder::new();
        counts(&builder.lines(), Covers::of(params, interval)?).output("counts");
        builder.build().map_err(|error| JobError(error.to_string()))
    }

    fn oracle(&self, params: &Params, interval: Duration) -> Result<Box<dyn Oracle>, JobError> {
        Ok(Box::new(WordCountOracle { counts: Sliding::new(Covers::of(params, interval)?) }))
    }
}

/// How often each word occurs.
pub(super) fn counts(lines: &DStream<String>, covers: Covers) -> DStream<(String, u64)> {
    let ones = lines.words().map::<(String, u64)>(|word| (word, 1));
    match covers {
        Covers::Last(window) => {
            ones.reduce_by_key_and_window_invertible(|a, b| a + b, |a, b| a - b, |count| count > 0, window)
        }
        Covers::All(slide) => ones.running_reduce_by_key(|a, b| a + b, slide),
    }
}

/// Counts the words of a line.
pub(super) fn tally_words(tally: &mut Tally, line: &[u8]) {
    words(line).for_each(|word| add(tally, word, 1));
}

/// A count for each word, as text.
pub(super) fn rows<'a>(
    counts: impl IntoIterator<Item = (&'a Vec<u8>, &'a u64)>,
) -> std::collections::BTreeMap<String, String> {
    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    counts.into_iter().map(|(word, count)| (text(word), count.to_string())).collect()
}

struct WordCountOracle {
    counts: Sliding,
}

impl Oracle for WordCountOracle {
    fn line(&mut self, interval: u64, line: &[u8]) {
        tally_words(self.counts.open(interval), line);
    }

    fn finish(&mut self, interval: u64) -> Expected {
        let due = self.counts.finish(interval);
        due.then(|| ("counts".to_owned(), rows(self.counts.total()))).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn words_are_counted_by_interval() {
        let lines = ["0 a b a", "1 c", "0   b\tä "];
        check(&WordCount, &[], &lines, &["counts a 2, b 2, ä 1", "counts c 1", "counts "]);
    }

    #[test]
    fn words_are_counted_by_window_where_one_ends() {
        let lines = ["0 a", "1 a b", "3 c"];
        let by_one = ["counts a 1", "counts a 2, b 1", "counts a 1, b 1", "counts c 1", "counts c 1", "counts "];
        check(&WordCount, &[("window", "2s")], &lines, &by_one);
        let by_two = ["", "counts a 2, b 1", "", "counts a 1, b 1, c 1", "", "counts c 1"];
        check(&WordCount, &[("window", "3s"), ("slide", "2s")], &lines, &by_two);
        let all = ["", "counts a 2, b 1", "", "counts a 2, b 1, c 1"];
        check(&WordCount, &[("window", "all"), ("slide", "2s")], &lines, &all);
    }
}
