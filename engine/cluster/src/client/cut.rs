//! How a client cuts its stream into batches.
//!
//! Invariant: where records go to fixed sources, a batch ends at borders that follow from the records' numbers and due times
//! alone, so a client that starts again cuts the same batches, and all of a batch goes to one source.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::time::Duration;

/// How often due records are gathered into batches where nobody waits for one of them. Short against an interval, long
/// against a message's cost.
const BATCH_PERIOD: Duration = Duration::from_millis(20);

/// A run without a rate to follow from: a few pages of text.
const RUN_RECORDS: u64 = 256;

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cut {
    /// Whatever is due goes together, to whoever has its turn. Nobody is told when an interval is over.
    AsDue {
        /// But no more records at once: what waited for long goes to several.
        most: u64,
    },
    /// Runs of so many records go together, run after run to the next source; intervals are closed by punctuation.
    Runs {
        /// The run's length.
        records: NonZeroU64,
        /// How many sources there are.
        sources: u32,
        /// How often the client looks what is due.
        period: Duration,
    },
}

impl Cut {
    /// Runs as long as what a client of this rate sends in a period, and of at least so many records.
    pub fn runs(per_second: Option<f64>, at_least: u64, sources: u32, period: Duration) -> Cut {
        let records = per_second.map_or(RUN_RECORDS, |rate| (rate * period.as_secs_f64()).round() as u64);
        let records = NonZeroU64::new(records.max(at_least)).unwrap_or(NonZeroU64::MIN);
        Cut::Runs { records, sources, period }
    }

    /// How often the client looks what is due.
    pub fn period(self) -> Duration {
        match self {
            Cut::AsDue { .. } => BATCH_PERIOD,
            Cut::Runs { period, .. } => period,
        }
    }

    /// Whether the client says when an interval is over.
    pub fn punctuates(self) -> bool {
        matches!(self, Cut::Runs { .. })
    }

    /// The first record after `sequence` that cannot be in its batch.
    pub fn border(self, sequence: u64) -> u64 {
        match self {
            Cut::AsDue { most } => sequence.saturating_add(most.max(1)),
            Cut::Runs { records, .. } => (sequence / records).saturating_add(1).saturating_mul(records.get()),
        }
    }

    /// The source that a client's record goes to; 0 where there are no fixed ones.
    pub fn source_of(self, client: u32, sequence: u64) -> u32 {
        match self {
            Cut::AsDue { .. } => 0,
            Cut::Runs { records, sources, .. } => {
                let turn = (sequence / records) % u64::from(sources.max(1)) + u64::from(client);
                u32::try_from(turn % u64::from(sources.max(1))).expect("a remainder is below its 32-bit divisor")
            }
        }
    }

    /// The first of the client's records from `sequence` on that goes to this source.
    pub fn next_of(self, source: u32, client: u32, sequence: u64) -> u64 {
        match self {
            Cut::AsDue { .. } => sequence,
            Cut::Runs { records, sources, .. } => {
                let ahead = u64::from(source + sources - self.source_of(client, sequence)) % u64::from(sources.max(1));
                match ahead {
                    0 => sequence,
                    runs => (sequence / records + runs) * records.get(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_record_of_a_source_is_the_first_that_goes_there() {
        for (records, sources) in [(1, 1), (1, 3), (4, 3), (5, 8)] {
            let period = Duration::from_millis(2);
            let cut = Cut::Runs { records: NonZeroU64::new(records).unwrap(), sources, period };
            for (client, source) in (1..4).flat_map(|client| (0..sources).map(move |source| (client, source))) {
                for sequence in 0..100 {
                    let expected = (sequence..).find(|next| cut.source_of(client, *next) == source).unwrap();
                    assert_eq!(cut.next_of(source, client, sequence), expected, "{cut:?} {client} {source} {sequence}");
                }
            }
        }
    }

    #[test]
    fn what_waited_for_long_is_cut_into_batches_of_the_most() {
        let cut = Cut::AsDue { most: 100 };
        assert_eq!([0, 99, 100, 250].map(|sequence| cut.border(sequence)), [100, 199, 200, 350]);
        assert_eq!(Cut::AsDue { most: u64::MAX }.border(7), u64::MAX);
    }

    #[test]
    fn all_of_a_run_goes_to_one_source_and_the_next_run_to_the_next() {
        let cut = Cut::runs(Some(2000.0), 1, 3, Duration::from_millis(2));
        let of = |sequence| cut.source_of(1, sequence);
        assert_eq!((0..13).map(of).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 1]);
        assert_eq!((cut.border(0), cut.border(3), cut.border(4)), (4, 4, 8));
    }
}
