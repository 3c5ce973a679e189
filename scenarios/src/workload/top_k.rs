//! top-k: the most frequent words of an interval, of a window, or from the start. Output `top`: word, count.

use super::param::{Covers, ParamKind, ParamSpec, count_of};
use super::sliding::Sliding;
use super::word_count::{counts, rows, tally_words};
use super::{Params, Workload};
use crate::oracle::{Expected, Oracle};
use dstream_cluster::JobError;
use dstream_kernel::{Query, QueryBuilder};
use std::time::Duration;

/// The most rows of a result: they are gathered by one task.
const MOST: u64 = 100_000;

const OUTPUT: &str = "top";

/// Ranks words.
#[derive(Clone, Copy, Debug)]
pub struct TopK;

fn k_spec() -> ParamSpec {
    let about = "how many words a result has; of equal counts the words first by their bytes";
    ParamSpec { name: "k", about, default: "10", kind: ParamKind::Count(1..=MOST), unbuilt: false }
}

fn k(params: &Params) -> Result<usize, JobError> {
    count_of(params, &k_spec()).map(|k| usize::try_from(k).expect("the most rows of a result fit a machine word"))
}

impl Workload for TopK {
    fn name(&self) -> &'static str {
        "top-k"
    }

    fn about(&self) -> &'static str {
        "ranks words by how often they occur; output `top`: word, count"
    }

    fn params(&self) -> Vec<ParamSpec> {
        [vec![k_spec()], ParamSpec::windows()].concat()
    }

    fn query(&self, params: &Params, interval: Duration) -> Result<Query, JobError> {
        let builder = QueryBuilder::new();
        counts(&builder.lines(), Covers::of(params, interval)?).top_k(k(params)?).output(OUTPUT);
        builder.build().map_err(|error| JobError(error.to_string()))
    }

    fn oracle(&self, params: &Params, interval: Duration) -> Result<Box<dyn Oracle>, JobError> {
        Ok(Box::new(TopKOracle { k: k(params)?, counts: Sliding::new(Covers::of(params, interval)?) }))
    }
}

struct TopKOracle {
    k: usize,
    counts: Sliding,
}

impl Oracle for TopKOracle {
    fn line(&mut self, interval: u64, line: &[u8]) {
        tally_words(self.counts.open(interval), line);
    }

    fn finish(&mut self, interval: u64) -> Expected {
        if !self.counts.finish(interval) {
            return Expected::new();
        }
        let mut ranked: Vec<(&Vec<u8>, &u64)> = self.counts.total().iter().collect();
        ranked.sort_unstable_by(|(word, count), (other, others)| others.cmp(count).then_with(|| word.cmp(other)));
        ranked.truncate(self.k);
        Expected::from([(OUTPUT.to_owned(), rows(ranked))])
    }

    fn chosen_from(&self) -> Expected {
        Expected::from([(OUTPUT.to_owned(), rows(self.counts.total()))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn the_most_frequent_words_are_ranked_and_ties_go_by_the_words_bytes() {
        let lines = ["0 b a bb c c", "1 bb bb a"];
        check(&TopK, &[("k", "2")], &lines, &["top a 1, c 2", "top a 1, bb 2"]);
        check(
            &TopK,
            &[("k", "2"), ("window", "2s")],
            &lines,
            &["top a 1, c 2", "top a 2, bb 3", "top a 1, bb 2", "top "],
        );
        check(&TopK, &[], &lines, &["top a 1, b 1, bb 1, c 2"]);
    }

    #[test]
    fn a_list_of_nothing_and_a_list_too_long_are_refused() {
        for k in ["0", "100001", "ten"] {
            let params = Params::from([("k".to_owned(), k.to_owned())]);
            assert!(
                TopK.query(&params, Duration::from_secs(1)).is_err_and(|error| error.0.contains("from 1 to 100000"))
            );
        }
    }
}
