//! grep: how many lines contain a pattern, in an interval, in a window, or from the start. Output `matches`: the pattern,
//! count; the row is there also where no line matches.

use super::param::{Covers, ParamKind, ParamSpec};
use super::sliding::{Sliding, add};
use super::{Params, Workload};
use crate::oracle::{Expected, Oracle};
use dstream_cluster::JobError;
use dstream_kernel::{Query, QueryBuilder};
use std::collections::BTreeMap;
use std::time::Duration;

const PATTERN: &str = "pattern";
/// What generated needle records contain where nobody says otherwise.
const DEFAULT_PATTERN: &str = "needle";

/// Counts matching lines.
#[derive(Clone, Copy, Debug)]
pub struct Grep;

fn pattern(params: &Params) -> String {
    params.get(PATTERN).map_or(DEFAULT_PATTERN, String::as_str).to_owned()
}

impl Workload for Grep {
    fn name(&self) -> &'static str {
        "grep"
    }

    fn about(&self) -> &'static str {
        "counts the lines that contain a pattern; output `matches`: the pattern, count"
    }

    fn params(&self) -> Vec<ParamSpec> {
        let about = "what a line contains, letter for letter";
        let text = ParamKind::Text;
        let pattern = ParamSpec { name: PATTERN, about, default: DEFAULT_PATTERN, kind: text, unbuilt: false };
        [vec![pattern], ParamSpec::windows()].concat()
    }

    fn query(&self, params: &Params, interval: Duration) -> Result<Query, JobError> {
        let (builder, pattern) = (QueryBuilder::new(), pattern(params));
        let matching = builder.lines().grep(&pattern);
        let count = match Covers::of(params, interval)? {
            Covers::Last(window) => matching.count_by_window(window),
            Covers::All(slide) => matching.running_count(slide),
        };
        count.map_owned::<(String, u64)>(move |count| (pattern.clone(), count)).output("matches");
        builder.build().map_err(|error| JobError(error.to_string()))
    }

    fn oracle(&self, params: &Params, interval: Duration) -> Result<Box<dyn Oracle>, JobError> {
        Ok(Box::new(GrepOracle { pattern: pattern(params), counts: Sliding::new(Covers::of(params, interval)?) }))
    }

    fn needle(&self, params: &Params) -> String {
        pattern(params)
    }

    fn map_cost(&self) -> &'static str {
        "grep"
    }
}

struct GrepOracle {
    pattern: String,
    counts: Sliding,
}

impl Oracle for GrepOracle {
    fn line(&mut self, interval: u64, line: &[u8]) {
        let pattern = self.pattern.as_bytes();
        if pattern.is_empty() || line.windows(pattern.len()).any(|part| part == pattern) {
            add(self.counts.open(interval), pattern, 1);
        }
    }

    fn finish(&mut self, interval: u64) -> Expected {
        if !self.counts.finish(interval) {
            return Expected::new();
        }
        let count = self.counts.total().get(self.pattern.as_bytes()).copied().unwrap_or(0);
        Expected::from([("matches".to_owned(), BTreeMap::from([(self.pattern.clone(), count.to_string())]))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn lines_with_the_pattern_are_counted_and_none_is_a_count() {
        let lines = ["0 a needle", "0 needles, needle", "1 need", "3 needle"];
        check(&Grep, &[], &lines, &["matches needle 2", "matches needle 0", "matches needle 0", "matches needle 1"]);
        let ne = [("pattern", "ne"), ("window", "2s")];
        check(&Grep, &ne, &lines, &["matches ne 2", "matches ne 3", "matches ne 1", "matches ne 1"]);
        let all = [("pattern", ""), ("window", "all"), ("slide", "2s")];
        check(&Grep, &all, &lines, &["", "matches  3", "", "matches  4"]);
    }
}
