//! The batches of an interval that are in no block yet.
//!
//! Part of the receiver. Knows no time but the one that it is given. Invariant: a block is whole with the batch that fills
//! it, also where batches had to wait for a master to name their blocks. Where no size is usual, it is whole with the last
//! batch before a cut: cuts beside sizes would make of each block of what piled up two, and of each task.

use super::MOST_BLOCK_BYTES;
use dstream_trace::{Moment, RecordRange};

/// Batches in the order of their arrival.
#[derive(Debug)]
pub(super) struct Open {
    batches: Vec<Batch>,
    size: Size,
    /// They wait for no more.
    pub(super) seal_at: Moment,
}

/// Which records, the length of their lines, and the cut before which they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) range: RecordRange,
    pub(super) bytes: u64,
    pub(super) cut: Moment,
}

/// The content of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) ranges: Vec<RecordRange>,
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    records: u64,
    bytes: u64,
}

impl Size {
    fn add(&mut self, batch: Batch) {
        self.records += batch.range.count();
        self.bytes += batch.bytes;
    }

    /// So many records are usual, if any number is.
    fn is_full(self, most_records: Option<u64>) -> bool {
        most_records.is_some_and(|most| self.records >= most) || self.bytes >= MOST_BLOCK_BYTES
    }
}

impl Open {
    pub(super) fn until(seal_at: Moment) -> Open {
        Open { batches: Vec::new(), size: Size::default(), seal_at }
    }

    /// Takes a batch; if they are a block now, they wait no longer.
    pub(super) fn push(&mut self, now: Moment, batch: Batch, most_records: Option<u64>) {
        self.batches.push(batch);
        self.size.add(batch);
        if self.size.is_full(most_records) {
            self.seal_at = now;
        }
    }

    /// All of them, each block with as many batches as fill it; where no size is usual, with those before one cut.
    pub(super) fn into_blocks(self, most_records: Option<u64>) -> Vec<Content> {
        let mut blocks = Vec::new();
        let mut waiting = self.batches.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut size = Size::default();
            let mut ranges = Vec::new();
            let cut = waiting.peek().map(|first| first.cut).filter(|_| most_records.is_none());
            let belongs = |next: &Batch| cut.is_none_or(|cut| cut == next.cut);
            while let Some(batch) = waiting.next_if(|next| !size.is_full(most_records) && belongs(next)) {
                size.add(batch);
                ranges.push(batch.range);
            }
            blocks.push(Content { ranges, bytes: size.bytes });
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many batches each block has, of batches of so many records and bytes; what is open is a block, or waits.
    fn check(batches: &[(u64, u64)], expected: &[usize], is_ripe: bool) {
        let later = Moment::from_millis(200);
        let batches: Vec<_> = batches.iter().map(|(records, bytes)| (*records, *bytes, later)).collect();
        check_cuts(&batches, Some(100), expected, is_ripe);
    }

    /// The same, where each came before its cut.
    fn check_cuts(batches: &[(u64, u64, Moment)], most_records: Option<u64>, expected: &[usize], is_ripe: bool) {
        let later = Moment::from_millis(200);
        let mut open = Open::until(later);
        let mut first = 0;
        for (records, bytes, cut) in batches.iter().copied() {
            let range = RecordRange { client: 1, first, last: first + records - 1 };
            open.push(Moment::ZERO, Batch { range, bytes, cut }, most_records);
            first += records;
        }
        assert_eq!(open.seal_at < later, is_ripe, "{batches:?}");
        let all: u64 = batches.iter().map(|(_, bytes, _)| bytes).sum();
        let blocks = open.into_blocks(most_records);
        assert_eq!(blocks.iter().map(|block| block.ranges.len()).collect::<Vec<_>>(), expected, "{batches:?}");
        assert_eq!(blocks.iter().map(|block| block.bytes).sum::<u64>(), all, "{batches:?}");
    }

    #[test]
    fn a_block_is_whole_with_the_batch_that_fills_it() {
        check(&[], &[], false);
        check(&[(10, 1), (10, 1)], &[2], false);
        check(&[(60, 1), (60, 1), (60, 1)], &[2, 1], true);
        check(&[(1000, 1), (10, 1), (90, 1), (10, 1)], &[1, 2, 1], true);
        check(&[(1, MOST_BLOCK_BYTES), (1, 1), (1, MOST_BLOCK_BYTES), (1, 1)], &[1, 2, 1], true);
    }

    #[test]
    fn where_no_size_is_usual_a_block_ends_with_a_cut() {
        let at = |cut_ms| (10, 1, Moment::from_millis(cut_ms));
        let batches = [at(200), at(200), at(400), at(600), at(600)];
        check_cuts(&batches, None, &[2, 1, 2], false);
        check_cuts(&batches, Some(100), &[5], false);
        check_cuts(&batches, Some(20), &[2, 2, 1], true);
    }
}
