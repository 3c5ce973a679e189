//! Which blocks leave the input log, and when.
//!
//! Knows no store. Invariant: a block leaves the log only when a snapshot that does without it is written: a master that was
//! deposed meanwhile removes nothing that its heir may read.
//!
//! ```text
//! over --next snapshot goes to the journal--> with it --it is written--> removed
//!  '------a snapshot that does without it is written already----------------^
//! ```

use dstream_trace::BlockName;
use std::collections::{BTreeSet, VecDeque};

/// Blocks on their way out of the log.
#[derive(Debug, Default)]
pub(super) struct Trimming {
    /// Whether there is a log.
    logs: bool,
    over: Vec<BlockName>,
    /// With each snapshot that is being written, what it does without.
    snapshots: VecDeque<Vec<BlockName>>,
}

impl Trimming {
    pub(super) fn new(logs: bool) -> Trimming {
        Trimming { logs, ..Trimming::default() }
    }

    /// Nobody will read these again.
    pub(super) fn over(&mut self, blocks: &[BlockName]) {
        if self.logs {
            self.over.extend(blocks);
        }
    }

    /// Of these, which are over: a snapshot that does without them is written already.
    pub(super) fn settled(&mut self, blocks: &BTreeSet<BlockName>) -> Vec<BlockName> {
        let (settled, over) = std::mem::take(&mut self.over).into_iter().partition(|block| blocks.contains(block));
        self.over = over;
        settled
    }

    /// A snapshot goes to the journal.
    pub(super) fn snapshot(&mut self) {
        self.snapshots.push_back(std::mem::take(&mut self.over));
    }

    /// The oldest of those snapshots is written: what can be removed now.
    pub(super) fn written(&mut self) -> Vec<BlockName> {
        self.snapshots.pop_front().unwrap_or_default()
    }

    /// All that are on their way out.
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockName> + '_ {
        self.snapshots.iter().flatten().chain(&self.over).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64) -> BlockName {
        BlockName { origin: 1, epoch: 1, number }
    }

    #[test]
    fn a_block_goes_with_the_first_snapshot_that_is_begun_after_it_was_over() {
        let mut trimming = Trimming::new(true);
        trimming.over(&[block(1)]);
        trimming.snapshot();
        trimming.over(&[block(2)]);
        assert_eq!(trimming.blocks().collect::<Vec<_>>(), [block(1), block(2)]);
        assert_eq!(trimming.written(), [block(1)]);
        trimming.snapshot();
        assert_eq!((trimming.written(), trimming.written()), (vec![block(2)], vec![]));
        trimming.over(&[block(3), block(4)]);
        assert_eq!(trimming.settled(&[block(4), block(5)].into()), [block(4)]);
        trimming.snapshot();
        assert_eq!(trimming.written(), [block(3)]);
    }

    #[test]
    fn without_a_log_nothing_is_remembered() {
        let mut trimming = Trimming::new(false);
        trimming.over(&[block(1)]);
        assert_eq!(trimming.blocks().count(), 0);
    }
}
