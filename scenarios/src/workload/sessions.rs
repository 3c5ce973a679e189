//! sessions: how often each word has come since it was last silent for `idle` intervals. Output `open`: word, count, of
//! every word with an open session.
//!
//! One chain of two states, so that every engine runs it: `map_with_state` says how often the words of an interval have
//! come in their sessions, `track` remembers that until the session is over.

use super::param::{ParamKind, ParamSpec, count_of};
use super::sliding::Tally;
use super::word_count::{rows, tally_words};
use super::{Params, Workload};
use crate::oracle::{Expected, Oracle};
use dstream_cluster::JobError;
use dstream_kernel::{DStream, Query, QueryBuilder};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// The longest silence, in intervals; a bound for typing errors.
const LONGEST: u64 = 1_000_000;

const OPEN: &str = "open";

/// Counts words by session.
#[derive(Clone, Copy, Debug)]
pub struct Sessions;

fn idle_spec() -> ParamSpec {
    let about = "a word's session ends with so many intervals in a row without it";
    ParamSpec { name: "idle", about, default: "10", kind: ParamKind::Count(1..=LONGEST), unbuilt: false }
}

fn idle(params: &Params) -> Result<Option<NonZeroU64>, JobError> {
    count_of(params, &idle_spec()).map(NonZeroU64::new)
}

impl Workload for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn about(&self) -> &'static str {
        "counts words by session; output `open`: word, count so far"
    }

    fn params(&self) -> Vec<ParamSpec> {
        vec![idle_spec()]
    }

    fn query(&self, params: &Params, _interval: Duration) -> Result<Query, JobError> {
        let (builder, idle) = (QueryBuilder::new(), idle(params)?);
        let ones = builder.lines().words().map::<(String, u64)>(|word| (word, 1));
        counted(&ones, idle).track::<u64>(|_, count| count, |_, _, count| Some(count), idle).output(OPEN);
        builder.build().map_err(|error| JobError(error.to_string()))
    }

    fn oracle(&self, params: &Params, _interval: Duration) -> Result<Box<dyn Oracle>, JobError> {
        let idle = idle(params)?.map_or(u64::MAX, NonZeroU64::get);
        Ok(Box::new(SessionsOracle { idle, arrived: BTreeMap::new(), open: BTreeMap::new() }))
    }
}

/// The words of each interval, with their counts so far.
fn counted(ones: &DStream<(String, u64)>, idle: Option<NonZeroU64>) -> DStream<(String, u64)> {
    ones.map_with_state::<u64, (String, u64)>(idle, |word, touched, before, out| {
        let came: u64 = touched.values().iter().sum();
        let count = before.unwrap_or(0) + came;
        if came > 0 {
            out.emit((word, count));
        }
        Some(count)
    })
}

struct SessionsOracle {
    idle: u64,
    /// Of intervals that are not finished.
    arrived: BTreeMap<u64, Tally>,
    /// word -> the interval in which it came last, and its count.
    open: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Oracle for SessionsOracle {
    fn line(&mut self, interval: u64, line: &[u8]) {
        tally_words(self.arrived.entry(interval).or_default(), line);
    }

    fn finish(&mut self, interval: u64) -> Expected {
        for (word, came) in self.arrived.remove(&interval).unwrap_or_default() {
            let session = self.open.entry(word).or_default();
            *session = (interval, session.1 + came);
        }
        self.open.retain(|_, (last, _)| interval - *last < self.idle);
        let open = self.open.iter().map(|(word, (_, count))| (word, count));
        Expected::from([(OPEN.to_owned(), rows(open))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_session_lasts_until_its_word_was_silent_for_so_long() {
        let lines = ["0 a b a", "1 b", "3 a b"];
        let by_two = ["open a 2, b 1", "open a 2, b 2", "open b 2", "open a 1, b 3", "open a 1, b 3", "open "];
        check(&Sessions, &[("idle", "2")], &lines, &by_two);
        check(&Sessions, &[("idle", "1")], &lines, &["open a 2, b 1", "open b 2", "open "]);
        check(&Sessions, &[], &["0 a", "9 b"], &["open a 1"]);
    }
}
