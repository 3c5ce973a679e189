//! The lines of batches that are in no block yet.
//!
//! Knows nothing of ranges: the receiver says which batches become a block. Invariant: batches of an interval leave in the
//! order in which they came.

use bytes::Bytes;
use std::collections::BTreeMap;

/// Lines by interval, a piece for each batch.
#[derive(Debug, Default)]
pub(super) struct Arrived(BTreeMap<u64, Vec<Bytes>>);

impl Arrived {
    /// A batch came.
    pub(super) fn keep(&mut self, interval: u64, lines: Bytes) {
        self.0.entry(interval).or_default().push(lines);
    }

    /// The first so many batches of an interval, or all if there are fewer.
    pub(super) fn take(&mut self, interval: u64, batches: usize) -> Vec<Bytes> {
        let Some(mut first) = self.0.remove(&interval) else { return Vec::new() };
        let rest = first.split_off(batches.min(first.len()));
        if !rest.is_empty() {
            self.0.insert(interval, rest);
        }
        first
    }

    /// Nobody wants them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_of_an_interval_leave_in_the_order_in_which_they_came() {
        let mut arrived = Arrived::default();
        for (interval, lines) in [(1, "a"), (2, "x"), (1, "b"), (1, "c")] {
            arrived.keep(interval, Bytes::from_static(lines.as_bytes()));
        }
        assert_eq!(arrived.take(1, 2), ["a", "b"]);
        assert_eq!(arrived.take(1, 2), ["c"]);
        assert_eq!(arrived.take(2, 1), ["x"]);
        assert!(arrived.take(1, 1).is_empty() && arrived.0.is_empty());
    }
}
