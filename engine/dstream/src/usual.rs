//! What clients usually send, and how large blocks and batches may become where more comes.
//!
//! A block is one map task, and a task is one core's. What piled up while nobody took records, or while a client stood
//! still, comes all at once, often to the first worker that is reached; in blocks by time alone it would keep one core for
//! as long as it took to pile up. Knows no record. Invariant: what comes as usual is cut by time, never by size.

use dstream_cluster::spec::{ClusterSpec, Pace};
use std::time::Duration;

/// A block of so many times what a receiver usually gets in a block's time is whole. Turns of clients do not fall alike, so
/// less would cut what comes as usual; tasks of twice the usual length still end within an interval that is half full.
const MOST_SHARES: f64 = 2.0;

/// The rate at which records come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Records a second, of one client.
    per_second: f64,
    clients: f64,
    /// How often a client sends what is due.
    period: Duration,
}

impl Usual {
    /// What clients send that send something each `period`; nothing where they send as much as is taken.
    pub fn of(cluster: &ClusterSpec, period: Duration) -> Option<Usual> {
        match cluster.pace {
            Pace::Rate { per_second } | Pace::AtMost { per_second, .. } => {
                Some(Usual::steady(per_second, cluster.clients, period))
            }
            Pace::Max { .. } => None,
        }
    }

    /// So many clients that send so many records a second each.
    pub fn steady(per_second: f64, clients: u32, period: Duration) -> Usual {
        Usual { per_second, clients: f64::from(clients), period }
    }

    /// What one of so many receivers gets in the time of a block; no less than a client sends at once.
    fn share(&self, block: Duration, receivers: usize) -> f64 {
        let all = self.per_second * self.clients * block.as_secs_f64();
        (all / receivers.max(1) as f64).max(self.per_second * self.period.as_secs_f64())
    }

    /// A block of so many records waits for no more.
    pub fn most_of_a_block(&self, block: Duration, receivers: usize) -> u64 {
        ((self.share(block, receivers) * MOST_SHARES).ceil() as u64).max(1)
    }

    /// A client sends no more at once: what is late goes round as what is not does, and blocks end where they are to.
    pub fn most_of_a_batch(&self, block: Duration, receivers: usize) -> u64 {
        // A timer may come late by a little: what is due then still goes together.
        let period = self.per_second * self.period.as_secs_f64() * MOST_SHARES;
        (self.share(block, receivers).max(period).ceil() as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(per_second: f64, clients: f64) -> Usual {
        Usual { per_second, clients, period: Duration::from_millis(20) }
    }

    #[test]
    fn a_block_is_whole_with_twice_its_receivers_share_and_a_batch_is_no_more_than_that_share() {
        // 2 clients, 4 workers, blocks of 200 ms: 400 records in that time, 100 for each worker.
        let blocks = |receivers| usual(1000.0, 2.0).most_of_a_block(Duration::from_millis(200), receivers);
        assert_eq!([4, 2, 1, 0].map(blocks), [200, 400, 800, 800]);
        assert_eq!(usual(1000.0, 2.0).most_of_a_batch(Duration::from_millis(200), 4), 100);
    }

    #[test]
    fn what_a_client_sends_at_once_is_never_cut() {
        // 20 records in 20 ms, in blocks of 10 ms at 20 workers: far less than a batch each.
        let usual = usual(1000.0, 2.0);
        assert_eq!(usual.most_of_a_block(Duration::from_millis(10), 20), 40);
        assert_eq!(usual.most_of_a_batch(Duration::from_millis(10), 20), 40);
        assert_eq!(Usual { per_second: 0.1, ..usual }.most_of_a_block(Duration::from_millis(10), 20), 1);
    }
}
